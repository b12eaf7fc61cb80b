"""The seam behind which jobs run: this machine, Slurm, Ray."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from .job import Job, JobStatus


class Executor(Protocol):
    """Runs one job per attempt folder. All state is in the folder: any process may poll or cancel what another began.

    tests/executors/test_local_executor.py holds the behaviour that every implementation shares.
    """

    @property
    def name(self) -> str: ...

    def submit(self, attempt: Path, job: Job) -> None:
        """Starts `job` in the folder `attempt`, which is made if need be, and returns once it is under way.

        Raises: RunError when it can't be started (then nothing runs and the folder may be used again), or when the
        folder has had a job already.
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
