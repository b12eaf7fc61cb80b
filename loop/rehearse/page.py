"""All that a rehearsal found, on one page."""

from collections.abc import Mapping, Sequence

from ..project.receipts import Finding, FindingCode, FindingLevel, RehearsalReceipt
from ..text import Say, Told, cell, duration, english
from .words import told

PAGE = "_tests/rehearsal.md"
_MARKS: Mapping[FindingLevel, Told] = {
    "ok": Told("ok"),
    "note": Told("note"),
    "warning": Told("WARNING"),
    "problem": Told("PROBLEM"),
}
_PARTS: Sequence[tuple[Told, frozenset[FindingCode]]] = (
    (Told("The rules"), frozenset({"rule", "rule_unseen"})),
    (
        Told("The data"),
        frozenset(
            {
                *("took", "sample", "validation_same", "validation_differs", "validation_unchecked", "no_validation"),
                *("folds", "folds_apart"),
                *("shared", "disjoint", "shared_unchecked"),
                *("near", "groups_shared", "feature_is_target", "no_leak", "leaks_unchecked"),
            }
        ),
    ),
    (
        Told("The score"),
        frozenset(
            {
                *("same_score", "other_score", "score_alone", "score_uncompared", "no_evaluator", "evaluator_failed"),
                *("evaluator_slow", "no_checkpoint", "monitors", "monitors_other", "monitors_nothing"),
            }
        ),
    ),
    (
        Told("How long and how big"),
        frozenset({"night", "night_unscored", "night_unknown", "too_long", "disk", "too_big"}),
    ),
)


def headline(receipt: RehearsalReceipt) -> Told:
    """One line: how it went, and how long it took."""
    counts = {level: sum(one.level == level for one in receipt.findings) for level in _MARKS}
    problems = Told("1 problem") if counts["problem"] == 1 else Told("{count} problems", {"count": counts["problem"]})
    warned = Told("1 warning") if counts["warning"] == 1 else Told("{count} warnings", {"count": counts["warning"]})
    values = {"took": duration(receipt.seconds), "problems": problems, "warnings": warned}
    return Told("It was rehearsed in {took}: {problems}, {warnings}", values)


def page(version_id: str, receipt: RehearsalReceipt, say: Say = english) -> str:
    """The page as Markdown."""
    lines = [say("# Rehearsal of {version}").format(version=version_id), "", f"{headline(receipt).told(say)}.", ""]
    if not receipt.ok:
        lines += [say("Nothing is blocked: `run_train` trains it as it is, `repair_version` mends it first."), ""]
    listed = {code for _, codes in _PARTS for code in codes}
    first = [one for one in receipt.findings if one.code not in listed]
    lines += _part(Told("Does it run"), first, say)
    for title, codes in _PARTS:
        lines += _part(title, [one for one in receipt.findings if one.code in codes], say)
    return "\n".join(lines).rstrip() + "\n"


def worst(receipt: RehearsalReceipt) -> tuple[str, ...]:
    """The problems and warnings in words, problems first."""
    found = [one for level in ("problem", "warning") for one in receipt.findings if one.level == level]
    return tuple(cell(str(told(one)), 700) for one in found)


def _part(title: Told, findings: Sequence[Finding], say: Say) -> list[str]:
    if not findings:
        return []
    lines = [f"## {title.told(say)}"]
    for one in findings:
        lines.append(f"- {_MARKS[one.level].told(say)}: {cell(told(one).told(say), 700)}")
    return [*lines, ""]
