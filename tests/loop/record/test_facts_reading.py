"""What lies in the facts' folder is believed in its shape only, and never raises."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from progressive_training.loop.record import facts
from progressive_training.loop.record.ranks import merged, run_facts

SECTION: dict[str, Any] = {
    "kind": "fit",
    "began": 1.0,
    "seconds": 2.0,
    "batches": 4,
    "batch_sizes": {"8": 3, "2": 1},
    "epochs": {"count": 1, "rows": [{"epoch": 0, "batches": 4, "samples": 26, "steps": 4, "whole": True}]},
    "optimizers": [{"class": "SGD", "steps": 4, "groups": [{"tensors": 1, "parameters": 2, "lr": None}]}],
}


def process(**values: Any) -> dict[str, Any]:
    return {"schema": 1, "pid": 7, "rank": 0, "world_size": 1, "ended": True, "sections": [SECTION], **values}


def parsed(value: Any) -> facts.ProcessFacts | facts.Problem:
    return facts.parsed("one.json", json.dumps(value).encode())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'{"schema": 2, "pid": 1}',
        b'{"schema": 1, "pid": -1}',
        b'{"schema": 1, "pid": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        b'{"schema": 1, "pid": 1, "problems": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        b"\xff\xfe\x00",
        b'{"schema": 1, "pid": 1, "python": "\\ud800"}',
        b'{"schema": 1, "pid": 1, "sections": [{"kind": "night"}]}',
        b'{"schema": 1, "pid": 1, "seeds": {"0": 1}}',
        b" " * (facts.MAX_FILE_BYTES + 1),
    ],
    ids=lambda data: data[:20].decode("ascii", "replace"),
)
def test_a_damaged_or_hostile_file_is_a_problem_that_names_it(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "rank0-한.json").write_bytes(data)
    processes, problems = facts.read(tmp_path)
    assert not processes and len(problems) == 1
    assert "rank0-" in problems[0].what and len(problems[0].error) < 600


def test_what_is_no_plain_file_is_a_problem(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "link.json").symlink_to("/etc/passwd")
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "rank0.json.part").write_text("{")  # of a process that was killed while it wrote
    processes, problems = facts.read(tmp_path)
    assert not processes and {problem.what for problem in problems} == {
        "pipe.json",
        "link.json",
        "folder.json",
        "notes.txt",
    }


def test_a_missing_folder_and_an_empty_one_are_problems(tmp_path: Path) -> None:
    assert [problem.what for problem in run_facts(tmp_path / "none").problems] == ["facts"]
    assert [problem.error for problem in run_facts(tmp_path).problems] == ["no process left any"]


def test_more_files_than_a_run_can_leave_are_not_all_read(tmp_path: Path) -> None:
    for number in range(facts.MAX_FILES + 2):
        (tmp_path / f"{number}.json").touch()
    processes, problems = facts.read(tmp_path)
    assert not processes and any("more than" in problem.error for problem in problems)
    assert len(problems) <= facts.MAX_FILES + 1


def test_fields_of_a_later_recorder_are_left_out_and_infinity_is_a_number() -> None:
    row = {"epoch": 0, "step": 1, "role": "validation", "values": {"loss": "NaN", "best": "-inf", "odd": None}}
    found = parsed(process(sections=[{**SECTION, "metrics": {"count": 1, "rows": [row]}, "colour": "green"}]))
    assert isinstance(found, facts.ProcessFacts)
    values = found.sections[0].metrics.rows[0].values
    assert values["loss"] != values["loss"] and values["best"] == float("-inf") and values["odd"] is None


def test_ranks_are_added_and_their_differences_are_problems() -> None:
    ranks = [parsed(process(rank=rank, world_size=2, pid=rank)) for rank in (0, 1)]
    good = [one for one in ranks if isinstance(one, facts.ProcessFacts)]
    run = merged(good)
    assert not run.problems and run.ended
    fit = run.fits[0]
    assert (fit.samples_per_epoch, dict(fit.batch_sizes), fit.usual_batch) == (52, {8: 6, 2: 2}, 8)
    alone = merged(good[:1])
    assert [problem.what for problem in alone.problems] == ["ranks"]
    twice = parsed(process(rank=1, world_size=2, sections=[SECTION, SECTION]))
    assert isinstance(twice, facts.ProcessFacts)
    assert len(merged([good[0], twice]).fits) == 2 and merged([good[0], twice]).problems


def test_a_world_of_a_million_ranks_is_not_counted_through() -> None:
    found = parsed(process(world_size=10**15))
    assert isinstance(found, facts.ProcessFacts)
    assert merged([found]).world_size == 10**15
