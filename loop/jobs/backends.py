"""Each job where its placement says: on this machine, or on the cluster that it names."""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import RunError
from .executor import Executor
from .job import Job, JobStatus
from .local import LocalExecutor
from .runner import attempt_files as files

if TYPE_CHECKING:
    from .cluster.executor import BatchExecutor


class Backends:
    """An executor of all. An attempt is polled where it was submitted, whatever the rules say since."""

    name = "backends"

    def __init__(self, local: Executor | None = None) -> None:
        self._local = local or LocalExecutor()

    def submit(self, attempt: Path, job: Job) -> None:
        self._of(job).submit(attempt, job)

    def expect(self, jobs: Callable[[], Sequence[Job]], state: Path) -> None:
        """Only for jobs of this machine; see Executor.expect."""
        self._local.expect(lambda: [job for job in jobs() if job.placement is None], state)

    def poll(self, attempt: Path) -> JobStatus:
        return self._at(attempt).poll(attempt)

    def cancel(self, attempt: Path) -> JobStatus:
        return self._at(attempt).cancel(attempt)

    def close(self) -> None:
        """Ends what waits for jobs on this machine, not the jobs; see LocalExecutor.close."""
        if isinstance(self._local, LocalExecutor):
            self._local.close()

    def _of(self, job: Job) -> Executor:
        return self._local if job.placement is None else batch(job.placement.backend, job.placement.address)

    def _at(self, attempt: Path) -> Executor:
        if not (attempt / files.BATCH).exists():
            return self._local
        from .cluster.submission import Submission

        try:
            asked = Submission.read(attempt)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(f"{files.BATCH} can't be used: {error}", where=str(attempt)) from error
        return self._local if asked is None else batch(asked.backend, asked.address)


@cache  # one for all projects: a scheduler is asked for all jobs at once
def batch(backend: str, address: str | None) -> "BatchExecutor":
    """The executor of a cluster. Raises: RunError for a backend that there isn't."""
    from .cluster.executor import BatchExecutor

    if backend == "slurm":
        from .cluster.slurm import Slurm

        return BatchExecutor(Slurm())
    if backend == "ray" and address is not None:
        from .cluster.ray import Ray

        return BatchExecutor(Ray(address))
    raise RunError(f"there is no backend {backend!r} at {address}", hint="it is slurm, or ray with an address")
