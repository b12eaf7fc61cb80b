"""A finding in words."""

import re
from typing import get_args

import pytest

from progressive_training.loop.project.receipts import Finding, FindingCode, RehearsalReceipt
from progressive_training.loop.rehearse.page import headline, page, worst
from progressive_training.loop.rehearse.words import size, told
from progressive_training.loop.text import duration, words

VERDICT = {"standing": "broken", "reason": "other_value", "found": "7 | 8", "beside": ""}
PLACES = (
    *(
        "steps",
        "error",
        "rule",
        "value",
        "verdict",
        "names",
        "what",
        "train",
        "validation",
        "number",
        "input",
        "output",
    ),
    *("target", "samples", "shared", "distinct", "compared", "metric", "score", "name", "own", "task", "known"),
    *("monitor", "primary", "epochs", "versions", "batches", "last", "_seconds", "run_seconds", "train_seconds"),
    *("evaluate_seconds", "loop_seconds", "limit_seconds", "version_bytes", "checkpoint_bytes", "loop_bytes"),
    *("near", "one", "other", "within", "groups", "example", "how", "looked"),
    *("free_bytes", "limit_bytes", "fits", "fit", "paths", "file", "by"),
)


@pytest.mark.parametrize("code", get_args(FindingCode))
def test_each_code_has_a_sentence(code: FindingCode) -> None:
    told_of = told(Finding(code=code, level="note", values=dict.fromkeys(PLACES, 1) | VERDICT))
    sentence, korean = str(told_of), told_of.told(words("ko"))
    assert len(sentence) > 10 and "{" not in sentence and "{" not in korean
    assert re.search("[가-힣]", korean)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0 s"), (4.26, "4.3 s"), (42.0, "42 s"), (720.0, "12 min"), (27_000.0, "7 h 30 min"), (360_000.0, "100 h")],
)
def test_a_duration_has_no_more_digits_than_an_estimate(seconds: float, text: str) -> None:
    assert str(duration(seconds)) == text


def test_a_size_is_in_the_unit_that_people_use() -> None:
    assert [size(count) for count in (12, 31_744, 2.5e9, 4e13)] == ["12 B", "31.7 kB", "2.5 GB", "40 TB"]


def test_the_page_puts_each_finding_under_its_question_and_the_worst_ones_first() -> None:
    findings = (
        Finding(code="ran", level="ok", values={"steps": 20, "run_seconds": 5.0}),
        Finding(code="monitors_nothing", level="warning", values={"primary": "accuracy"}),
        Finding(code="rule", level="problem", values={"rule": "seed", "value": "42", **VERDICT}),
    )
    receipt = RehearsalReceipt(attempt=1, script_sha256="", seconds=9.0, findings=findings, at="")
    assert str(headline(receipt)) == "It was rehearsed in 9 s: 1 problem, 1 warning" and not receipt.ok
    text = page("v001", receipt)
    assert text.index("## Does it run\n- ok: It runs: 20 steps") < text.index("## The rules\n- PROBLEM: seed = 42")
    assert "broken: 7 \\| 8" in text and "## The data" not in text and "`repair_version` mends it first" in text
    korean = page("v001", receipt, words("ko"))
    assert korean.startswith("# v001 리허설\n\n리허설 시간 9초, 문제 1건, 경고 1건.\n")
    assert "## 규칙\n- 문제: seed = 42: 어긋남: 7 \\| 8" in korean
    assert worst(receipt)[0].startswith("seed = 42") and len(worst(receipt)) == 2
