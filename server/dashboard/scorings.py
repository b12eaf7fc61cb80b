"""What is scored for the report right now: versions once more, and external models."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from ...loop.errors import LoopError
from ...loop.evaluate.external_model import ExternalAttempt
from ...loop.project.attempts import Attempt
from ...loop.project.project import Project
from ...loop.report.scoring import Left, left, open_attempts, scored_by
from ...loop.text import clean
from ...loop.train.progress import Progress, progress_of


@dataclass(frozen=True)
class Scoring:
    """One that runs, or has ended and waits to be collected; `version` is None for an external model."""

    name: str
    version: int | None
    state: str
    progress: Progress


@dataclass(frozen=True)
class Scorings:
    running: tuple[Scoring, ...]
    left: Left

    def of(self, version: int) -> "Scorings":
        """Those of one version."""
        return Scorings(tuple(one for one in self.running if one.version == version), self.left)


def scorings(project: Project) -> Scorings:
    """Raises `LoopError`."""
    found = open_scorings(project)
    return Scorings(tuple(_scoring(project, attempt) for attempt in found), left(project, found))


def open_scorings(project: Project) -> Sequence[Attempt]:
    """Their attempts; every version is looked at only when the journal has grown, as it does when one begins or ends.

    Raises `LoopError`.
    """
    found = _found(project, stamp(project, project.workspace.journal))
    return [attempt for attempt in found if attempt.verdict is None]


@lru_cache(maxsize=4)
def _found(project: Project, _journal: str) -> tuple[Attempt, ...]:
    return tuple(open_attempts(project))


def _scoring(project: Project, attempt: Attempt) -> Scoring:
    status = attempt.status()
    return Scoring(
        name=clean(scored_by(attempt), 200),
        version=None if isinstance(attempt, ExternalAttempt) else attempt.version.number,
        state=status.state,
        progress=progress_of(attempt, status),
    )


def stamp(project: Project, relative: str) -> str:
    """Another text as soon as it is written, made or removed."""
    status = next(_status(project, relative), "")
    return f"{relative} {status}"


def _status(project: Project, relative: str) -> Iterator[str]:
    try:
        for _, status in project.workspace.tree.walk(relative):
            yield f"{status.st_mtime_ns} {status.st_size} {status.st_ino}"
    except LoopError:
        return
