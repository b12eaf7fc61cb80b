"""How long and how big the rest of the loop will be: by its rehearsal, then by the versions that ran."""

from collections.abc import Iterator
from stat import S_ISREG
from typing import Literal

from pydantic import BaseModel, ConfigDict

from ..errors import LoopError
from ..project.project import Project
from ..project.receipts import EvalReceipt, RehearsalReceipt, TrainReceipt
from ..project.state import LoopState
from ..project.version import Version
from ..rules.reading import Rules

_NEWEST = 3


class Estimate(BaseModel):
    """Of one version, and of all that the rules still allow (`_left`), the present one's rest included.

    A running job counts as not begun: what is left of it is in its own progress. None: not known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    basis: Literal["rehearsal", "versions"]
    train_seconds: float
    evaluate_seconds: float | None
    version_bytes: int | None
    trainings_left: int
    seconds_left: float
    bytes_left: int | None


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
    ahead = max(0, rules.file.loop_config.max_versions - state.cur)
    trainings = ahead + (present.receipt(TrainReceipt) is None)
    evaluations = ahead + (present.receipt(EvalReceipt) is None)
    return Estimate(
        basis=basis,
        train_seconds=round(train, 1),
        evaluate_seconds=None if evaluate is None else round(evaluate, 1),
        version_bytes=size,
        trainings_left=trainings,
        seconds_left=round(trainings * train + evaluations * (evaluate or 0.0), 1),
        bytes_left=None if size is None else trainings * size,
    )


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
