"""What the loop asks of a scheduler. Slurm and Ray answer it; everything else is in the attempt's folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from ..job import Placement, WaitingFor

Ending = Literal["by itself", "cancelled", "timeout", "preempted", "node failed", "never started", "out of memory"]


@dataclass(frozen=True)
class Seen:
    """A job as its scheduler sees it.

    `word` is the scheduler's own word and reason. "running" lasts until nothing of the job is left. `ending`,
    `exit_code` and `ended_at` (seconds since 1970) are set for one that ended, as far as they are known. `position`
    counts from 1 among the waiting jobs, `waiting_for` is why one of them waits, and `starts_at` is the scheduler's
    estimate (local time, for people).
    """

    state: Literal["queued", "running", "ended"]
    word: str
    ending: Ending | None = None
    exit_code: int | None = None
    ended_at: float | None = None
    position: int | None = None
    waiting: int | None = None
    starts_at: str | None = None
    waiting_for: WaitingFor | None = None


class Scheduler(Protocol):
    """One cluster. Every method raises `RunError` if it doesn't answer, saying that the jobs there go on."""

    @property
    def name(self) -> str:
        """As people call it: "Slurm", "Ray"."""
        ...

    def header(self, name: str, output: Path, placement: Placement) -> str:
        """The lines at the head of a submit script: the name, where its own words go, and what it asks for."""
        ...

    def submit(self, name: str, script: Path, placement: Placement) -> str:
        """Hands the script in under a name that no other job has, and returns the job's id.

        Raises: RunError with the scheduler's own words if it refuses; nothing is queued then.
        """
        ...

    def find(self, name: str) -> str | None:
        """The id of the job with that name, were its submitter to have died before it could write the id down."""
        ...

    def look(self, job: str, *, fresh: bool = False) -> Seen | None:
        """The job as it stands, from one call for all jobs that is repeated at growing intervals; None = not known.

        `fresh` asks again if the last answer is older than a moment.
        """
        ...

    def cancel(self, job: str) -> None:
        """Asks for its end, and returns at once. One that has ended is no error."""
        ...
