"""What is scored for the report right now: versions once more, and external models."""

from dataclasses import dataclass

from ...loop.evaluate.external_model import ExternalAttempt
from ...loop.project.attempts import Attempt
from ...loop.project.project import Project
from ...loop.report.rescoring import Left, left, scored_by
from ...loop.text import clean
from ...loop.train.progress import Progress, progress_of
from ..changes import open_scorings


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


def _scoring(project: Project, attempt: Attempt) -> Scoring:
    status = attempt.status()
    return Scoring(
        name=clean(scored_by(attempt), 200),
        version=None if isinstance(attempt, ExternalAttempt) else attempt.version.number,
        state=status.state,
        progress=progress_of(attempt, status),
    )
