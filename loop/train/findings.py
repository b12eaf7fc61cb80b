"""What a training's facts say beside the verdicts, for its receipt: said, and nothing is failed for it."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from ..project.notices import Notice
from ..project.receipts import RuleVerdict, TrainReceipt
from ..project.version import Version
from .verdicts import Run, told

_MOST = 3


def findings(version: Version, run: Run, found: Sequence[RuleVerdict]) -> tuple[Notice, ...]:
    said = (*_unverified(found), *_ended_early(version, found), *_shared(run), *_stands_in(run), *_unrecorded(run))
    return (*said, *_environment(version, run))


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


def _environment(version: Version, run: Run) -> Iterator[Notice]:
    """Packages that both runs imported in different versions, and another GPU; as each process said of itself."""
    now, before = run.facts.first, run.parent.first if run.parent is not None else None
    if now is None or before is None or version.parent is None:
        return
    shared = now.packages.keys() & before.packages.keys()
    changes = [
        f"{name} {before.packages[name]} → {now.packages[name]}"
        for name in sorted(shared)
        if before.packages[name] != now.packages[name]
    ]
    devices = [one.device.name if one.device is not None else "no GPU" for one in (before, now)]
    if devices[0] != devices[1]:
        changes.append(f"{devices[0]} → {devices[1]}")
    if changes:
        yield Notice.of("other_environment", parent=version.parent.id, changes=", ".join(changes))


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
