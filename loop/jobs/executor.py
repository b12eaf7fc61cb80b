"""The seam behind which jobs run: this machine, Slurm, Ray."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from .job import Job, JobStatus


class Executor(Protocol):
    """Runs one job per attempt folder. All state is in the folder: any process may poll or cancel what another began.

    tests/loop/jobs/test_every_executor.py holds the behaviour that every implementation shares.
    """

    @property
    def name(self) -> str: ...

    def submit(self, attempt: Path, job: Job) -> None:
        """Starts `job` in the folder `attempt`, which is made if need be, and returns once it is under way.

        Raises: RunError when it can't be started (then nothing runs and the folder may be used again), or when the
        folder has had a job already.
        """
        ...

    def expect(self, jobs: Callable[[], Sequence[Job]], state: Path) -> None:
        """Says which jobs are likely to come next, one of a kind; the executor may prepare for them, or do nothing.

        They are like the ones that will be submitted, but for the folders that they write and the script's name.
        `state` is the project's folder for what is ours.
        """
        ...

    def poll(self, attempt: Path) -> JobStatus:
        """Looks, and changes nothing. Raises: RunError when nothing was submitted in the folder."""
        ...

    def cancel(self, attempt: Path) -> JobStatus:
        """Ends the job and returns when no process of it is left; a job that had ended keeps its outcome.

        Blocks for the job's grace and a few seconds at most. Raises: RunError when the job lives out of reach.
        """
        ...
