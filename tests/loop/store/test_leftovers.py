"""What a run left is read elsewhere: every file gives plain values or a reason, and takes nobody along."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from progressive_training.loop.errors import Unreadable
from progressive_training.loop.store.leftovers import reading
from progressive_training.loop.store.leftovers.reading import Form, read
from progressive_training.loop.store.tree import Tree
from support.hostile_files import fault, files

_DIGITS = "9" * 5_000
_LAUGHS = "\n".join(["a0: &a0 [x]", *(f"a{n}: &a{n} [{f'*a{n - 1},' * 9}]" for n in range(1, 40))])


@pytest.mark.parametrize(
    ("form", "text", "reason"),
    [
        ("yaml", "lr: 2026-02-30", "day is out of range"),
        ("yaml", f"lr: {_DIGITS}", "4300 digits"),
        ("yaml", f"lr: 0x{_DIGITS}", "4300 digits"),
        ("yaml", "lr: &lr {inner: *lr}", "holds itself"),
        ("yaml", "lr: &lr [*lr]", "holds itself"),
        ("yaml", _LAUGHS, "more than 200,000 values"),
        ("yaml", "[" * 100_000, "nesting"),
        ("yaml", "#" * (5 << 20), "larger than 4 MiB"),
        ("yaml", "? [1, 2]\n: 3", "unhashable"),
        ("json", "[" * 100_000, "nested too deeply"),
        ("json", "[" * 90 + "]" * 90, "deeper than 60"),
        ("json", f'{{"lr": {_DIGITS}}}', "4300 digits"),
        ("json", '{"a": 1,', "not valid JSON"),
        ("json", " " * (17 << 20), "larger than 16 MiB"),
        ("array", "\x93NUMPY\x02\x00" + "\xff" * 4 + "-" * 4_000_000, "can't be read"),
        ("samples", f'{{"id": "a", "scores": {{"loss": {"9" * 400}}}}}', "not a finite number"),
        ("samples", '{"id": "a", "scores": {}}\n{"id": "a", "scores": {}}', "twice"),
    ],
)  # fmt: skip
def test_a_file_that_no_parser_survives_gives_a_reason(tmp_path: Path, form: Form, text: str, reason: str) -> None:
    (tmp_path / "그 파일").write_bytes(text.encode("latin-1"))
    with pytest.raises(Unreadable, match=reason) as raised:
        read(Tree(tmp_path), form, "그 파일")
    assert raised.value.where is not None and raised.value.where.startswith("그 파일")


def test_what_honest_scripts_leave_is_read_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "h.yaml").write_text("lr: 0.1\nday: 2026-02-03\nnet: !!python/object:x.Y {a: 1}\nsizes: [8, 16]\n")
    tree = Tree(tmp_path)
    assert read(tree, "yaml", "h.yaml") == {"lr": 0.1, "day": "2026-02-03", "net": None, "sizes": [8, 16]}
    (tmp_path / "s.json").write_text('{"n": 1e999, "seed": 123456789012345678901234567890}')
    assert read(tree, "json", "s.json") == {"n": float("inf"), "seed": "123456789012345678901234567890"}


def test_a_header_of_a_million_lines_costs_no_more_than_its_length(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text('"' + "\n" * (1 << 20))
    assert read(Tree(tmp_path), "metrics", "metrics.csv", header=0, offset=0) is None


def test_a_helper_that_somebody_killed_is_replaced_and_a_sealed_one_opens_nothing(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text("[1]")
    assert read(Tree(tmp_path), "json", "s.json") == [1]
    before = reading._helpers[0].process  # pyright: ignore[reportPrivateUsage]
    os.kill(before.pid, signal.SIGKILL)
    before.wait()
    assert read(Tree(tmp_path), "json", "s.json") == [1]
    now = reading._helpers[0].process  # pyright: ignore[reportPrivateUsage]
    assert now.pid != before.pid
    assert "NoNewPrivs:\t1" in Path(f"/proc/{now.pid}/status").read_text()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=files())
def test_whatever_lies_there_there_is_an_answer(tmp_path: Path, drawn: tuple[Form, bytes]) -> None:
    assert fault(tmp_path, *drawn) is None
