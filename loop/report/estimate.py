"""How long and how big the rest of the loop will be: by its rehearsal, then by the versions that ran."""

import math
from collections.abc import Iterator
from stat import S_ISREG
from typing import Literal

from pydantic import BaseModel, ConfigDict

from ..errors import LoopError
from ..project.project import Project
from ..project.receipts import EvalReceipt, LoopFile, RehearsalReceipt, TrainReceipt
from ..project.state import LoopState, Phase, ending, hours_since_start
from ..project.version import Version
from ..rules.reading import Rules
from ..text import duration

_NEWEST = 3
_BEFORE: tuple[Phase, ...] = ("train", "analysis", "action", "author")
"""The phases whose next training may be left out."""


class Estimate(BaseModel):
    """Of one version, and of all that the rules still allow (`_left`), the present one's rest included.

    A running job counts as not begun: what is left of it is in its own progress. None: not known. `hours_left` is what
    `max_hours` leaves, and `late_seconds` how long after that the next training would end, where it would.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    basis: Literal["rehearsal", "versions"]
    train_seconds: float
    evaluate_seconds: float | None
    version_bytes: int | None
    trainings_left: int
    seconds_left: float
    bytes_left: int | None
    hours_left: float | None = None
    late_seconds: float | None = None

    @property
    def told(self) -> str:
        by = "the rehearsal" if self.basis == "rehearsal" else "the versions so far"
        return f"about {duration(self.seconds_left)} for {self.trainings_left} more trainings, by {by}"


def estimate(project: Project, rules: Rules, state: LoopState) -> Estimate | None:
    """None before the start, after the end, and while nothing is known of any version. Raises `ProjectError`."""
    if state.loop is None or state.phase == "done" or not state.cur:
        return None
    numbers = [number for number in project.versions() if number >= state.loop.first_version]
    versions = [Version(project, number) for number in numbers]
    train, evaluate, size = _rehearsed(Version(project, state.loop.first_version))
    basis: Literal["rehearsal", "versions"] = "rehearsal"
    if times := sorted(one.wall_seconds for one in _trainings(versions)[-_NEWEST:]):
        train, basis, size = times[len(times) // 2], "versions", _size(versions) or size
    evaluate = next(_evaluations(versions), evaluate)
    if train is None:
        return None
    present = Version(project, state.cur)
    over = state.ended_by is not None
    ahead = 0 if over or ending(present, rules, state.loop) else rules.file.loop_config.max_versions - state.cur
    untrained = not over and present.receipt(TrainReceipt) is None
    unscored = not over and present.receipt(EvalReceipt) is None
    left = _seconds_left(rules, state.loop)
    if left is not None:  # one that begins in time is finished
        ahead = min(ahead, math.ceil(max(0.0, left - untrained * train) / (train + (evaluate or 0.0) or 1.0)))
    trainings, evaluations = ahead + untrained, ahead + unscored
    return Estimate(
        basis=basis,
        train_seconds=round(train, 1),
        evaluate_seconds=None if evaluate is None else round(evaluate, 1),
        version_bytes=size,
        trainings_left=trainings,
        seconds_left=round(trainings * train + evaluations * (evaluate or 0.0), 1),
        bytes_left=None if size is None else trainings * size,
        hours_left=None if left is None else round(left / 3600, 3),
        late_seconds=round(train - left, 1) if left is not None and trainings and train > left else None,
    )


def late_warning(project: Project, rules: Rules, state: LoopState) -> str | None:
    """What to say before the next training where it would end after `max_hours` by its estimate. Raises as `derive`."""
    if rules.file.loop_config.max_hours is None or state.running is not None or state.phase not in _BEFORE:
        return None
    found = estimate(project, rules, state)
    if found is None or found.late_seconds is None:
        return None
    return (
        f"The next training takes about {duration(found.train_seconds)}, and would end {duration(found.late_seconds)} "
        "after loop_config.max_hours. It is not ended for that; to leave it out, call final_report with stop_reason."
    )


def _seconds_left(rules: Rules, loop: LoopFile) -> float | None:
    most = rules.file.loop_config.max_hours
    return None if most is None else max(0.0, 3600 * (most - hours_since_start(loop)))


def _rehearsed(version: Version) -> tuple[float | None, float | None, int | None]:
    """Seconds to train and to score, and bytes, as the first version's rehearsal found them."""
    receipt = version.receipt(RehearsalReceipt)
    found = {one.code: one.values for one in receipt.findings} if receipt is not None else {}
    night = found.get("night") or found.get("night_unscored") or {}
    room = found.get("disk") or found.get("too_big") or {}
    train, evaluate, size = night.get("train_seconds"), night.get("evaluate_seconds"), room.get("version_bytes")
    return (
        float(train) if isinstance(train, int | float) else None,
        # Where it could not be scored it is written as 0.
        float(evaluate) if isinstance(evaluate, int | float) and evaluate else None,
        size if isinstance(size, int) else None,
    )


def _trainings(versions: list[Version]) -> list[TrainReceipt]:
    """Those that began at the beginning."""
    receipts = (one.receipt(TrainReceipt) for one in versions)
    return [one for one in receipts if one is not None and one.resumed_from is None]


def _evaluations(versions: list[Version]) -> Iterator[float]:
    """How long scoring took, newest first: that of the first version, which tries the evaluator, took longer."""
    for version in reversed(versions):
        for attempt in reversed(version.attempts("eval")):
            verdict = attempt.verdict
            if verdict is not None and verdict.status == "PASS" and verdict.wall_seconds is not None:
                yield verdict.wall_seconds


def _size(versions: list[Version]) -> int | None:
    """Bytes of the newest trained version's artifacts."""
    trained = [one for one in versions if one.receipt(TrainReceipt) is not None]
    try:
        walked = trained[-1].project.workspace.tree.walk(trained[-1].artifacts) if trained else ()
        return sum(status.st_size for _, status in walked if S_ISREG(status.st_mode)) or None
    except LoopError:
        return None
