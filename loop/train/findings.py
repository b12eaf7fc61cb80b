"""What a training's facts say beside the verdicts, for its receipt: said, and nothing is failed for it."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from ..project.notices import Notice
from ..project.receipts import RuleVerdict, TrainReceipt
from ..project.version import Version
from .verdicts import Run, told

_MOST = 3


def findings(version: Version, run: Run, found: Sequence[RuleVerdict]) -> tuple[Notice, ...]:
    return (*_unverified(found), *_ended_early(version, found), *_shared(run), *_stands_in(run), *_unrecorded(run))


def shared_inputs(run: Run) -> int:
    """Inputs that were in training and in validation batches of one fit, as far as that was compared."""
    return max((section.shared_inputs or 0 for section in run.trained), default=0)


def _unverified(found: Sequence[RuleVerdict]) -> Iterator[Notice]:
    for one in found:
        if one.standing == "not verified":
            yield Notice.of("unverified", rule=one.rule, value=repr(one.value), said=str(told(one)))


def _ended_early(version: Version, found: Sequence[RuleVerdict]) -> Iterator[Notice]:
    """An early end that this version brings in: it keeps the rule, and yet trains less than its parent would have."""
    parent = version.parent
    receipt = parent.receipt(TrainReceipt) if parent is not None else None
    if parent is None or receipt is None:
        return
    before = {one.rule for one in receipt.rules if one.reason == "ended_early"}
    for one in found:
        if one.reason == "ended_early" and one.rule not in before:
            yield Notice.of("ended_early", rule=one.rule, value=repr(one.value), parent=parent.id, said=one.found)


def _shared(run: Run) -> Iterator[Notice]:
    if number := shared_inputs(run):
        yield Notice.of("shared_inputs", count=number)


def _stands_in(run: Run) -> Iterator[Notice]:
    known = {Path(one.file).name for one in run.of_parent.facts.stands_in} if run.of_parent is not None else set[str]()
    for one in run.facts.stands_in[:_MOST]:
        if (name := Path(one.file).name) not in known:
            yield Notice.of("stands_in", file=name, by=library_file(one.by))


def library_file(path: str) -> str:
    """An installed file as it is found in any installation."""
    return path.rpartition("-packages/")[2]


def _unrecorded(run: Run) -> Iterator[Notice]:
    for problem in run.facts.problems[:_MOST] if run.trained else ():
        yield Notice.of("unrecorded", what=problem.what, problem=problem.error)
