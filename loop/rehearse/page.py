"""All that a rehearsal found, on one page."""

from collections.abc import Mapping, Sequence

from ..project.receipts import Finding, FindingCode, FindingLevel, RehearsalReceipt
from ..text import cell, duration
from .words import told

PAGE = "_tests/rehearsal.md"
_MARKS: Mapping[FindingLevel, str] = {"ok": "ok", "note": "note", "warning": "WARNING", "problem": "PROBLEM"}
_PARTS: Sequence[tuple[str, frozenset[FindingCode]]] = (
    ("The rules", frozenset({"rule", "rule_unseen"})),
    (
        "The data",
        frozenset(
            {
                *("took", "sample", "validation_same", "validation_differs", "validation_unchecked", "no_validation"),
                *("shared", "disjoint", "shared_unchecked"),
            }
        ),
    ),
    (
        "The score",
        frozenset(
            {
                *("same_score", "other_score", "score_alone", "score_uncompared", "no_evaluator", "evaluator_failed"),
                *("evaluator_slow", "no_checkpoint", "monitors", "monitors_other", "monitors_nothing"),
            }
        ),
    ),
    ("How long and how big", frozenset({"night", "night_unscored", "night_unknown", "too_long", "disk", "too_big"})),
)


def headline(receipt: RehearsalReceipt) -> str:
    """One line: how it went, and how long it took."""
    counts = {level: sum(one.level == level for one in receipt.findings) for level in _MARKS}
    problems = f"{counts['problem']} problem{'' if counts['problem'] == 1 else 's'}"
    warned = f"{counts['warning']} warning{'' if counts['warning'] == 1 else 's'}"
    return f"rehearsed in {duration(receipt.seconds)}: {problems}, {warned}"


def page(version_id: str, receipt: RehearsalReceipt) -> str:
    """The page as Markdown."""
    lines = [f"# Rehearsal of {version_id}", "", f"It was {headline(receipt)}.", ""]
    if not receipt.ok:
        lines += ["Nothing is blocked: `run_train` trains it as it is, `repair_version` mends it first.", ""]
    listed = {code for _, codes in _PARTS for code in codes}
    first = [one for one in receipt.findings if one.code not in listed]
    lines += _part("Does it run", first)
    for title, codes in _PARTS:
        lines += _part(title, [one for one in receipt.findings if one.code in codes])
    return "\n".join(lines).rstrip() + "\n"


def worst(receipt: RehearsalReceipt) -> tuple[str, ...]:
    """The problems and warnings in words, problems first."""
    found = [one for level in ("problem", "warning") for one in receipt.findings if one.level == level]
    return tuple(cell(str(told(one)), 700) for one in found)


def _part(title: str, findings: Sequence[Finding]) -> list[str]:
    if not findings:
        return []
    lines = [f"## {title}"]
    for one in findings:
        lines.append(f"- {_MARKS[one.level]}: {cell(str(told(one)), 700)}")
    return [*lines, ""]
