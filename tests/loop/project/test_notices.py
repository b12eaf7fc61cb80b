"""What a receipt took note of is a key with its values: said in either language, and never read back out of a text."""

import hashlib
import json
from pathlib import Path
from typing import get_args

import pytest

from progressive_training.loop.project.notices import TEXTS, Notice, NoticeKey
from progressive_training.loop.project.receipts import EvalReceipt, Metric
from progressive_training.loop.store.records import load, save
from progressive_training.loop.store.tree import Tree
from progressive_training.loop.text import words

WARNING = "loss is 0.25, and the mean of its samples 0.5"


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    (tmp_path / "나의 project").mkdir()
    return Tree(tmp_path / "나의 project")


def receipt(*warnings: Notice) -> EvalReceipt:
    return EvalReceipt(
        attempt=1,
        fingerprint="f",
        checkpoint_sha256="c",
        samples_sha256="s",
        num_samples=4,
        metrics=(Metric(name="loss", value=0.25, higher_is_better=False),),
        latency_ms=1.0,
        created_at="2026-11-29T00:00:00+00:00",
        warnings=warnings,
    )


def test_a_notice_is_said_in_either_language() -> None:
    notice = Notice.of("loss_differs", loss=0.25, mean=0.5)
    assert str(notice) == WARNING
    assert notice.told(words("ko")) == "loss는 0.25인데 샘플별 값의 평균은 0.5입니다"


def test_every_key_has_its_words_but_those_that_bring_their_own() -> None:
    assert TEXTS.keys() == set(get_args(NoticeKey)) - {"older", "hunk"}


def test_a_receipt_keeps_the_key_and_the_values(tree: Tree) -> None:
    kept = receipt(Notice.of("metric_missing", metric="f1"), Notice.of("loss_differs", loss=0.25, mean=0.5))
    save(tree, "eval.json", kept)
    assert load(tree, "eval.json", EvalReceipt) == kept
    stored = json.loads(tree.read("eval.json"))["record"]["warnings"]
    assert stored[0] == {"key": "metric_missing", "values": {"metric": "f1"}}


def test_a_receipt_of_an_older_release_is_read_and_its_warning_shown_as_it_is(tree: Tree) -> None:
    # As commit c72e5c0 wrote it: sealed, with the warning as a plain English text.
    record = receipt().model_dump(mode="json") | {"warnings": [WARNING]}
    seal = hashlib.sha256(json.dumps(record, ensure_ascii=False, sort_keys=True).encode()).hexdigest()
    tree.write("eval.json", json.dumps({"record": record, "seal": seal}).encode())
    found = load(tree, "eval.json", EvalReceipt)
    assert found is not None
    (warning,) = found.warnings
    assert (warning.key, str(warning), warning.told(words("ko"))) == ("older", WARNING, WARNING)


def test_a_value_that_holds_braces_or_lines_stays_one_plain_line() -> None:
    said = Notice.of("not_hidden", reason="it {said}\n# so \u202e").words(longest=40)
    assert str(said) == "it could have read the data set while it was scored: it {said} # so \\u202e"
