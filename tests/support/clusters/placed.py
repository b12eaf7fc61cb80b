"""An executor on a cluster for jobs that say nothing of where they run."""

from dataclasses import replace
from pathlib import Path

from progressive_training.loop.jobs.cluster.executor import BatchExecutor
from progressive_training.loop.jobs.cluster.scheduler import Scheduler
from progressive_training.loop.jobs.job import Job, Placement


class Placed(BatchExecutor):
    """Places each job by `placement`, unless it says something itself."""

    def __init__(self, scheduler: Scheduler, placement: Placement) -> None:
        super().__init__(scheduler)
        self._placement = placement

    def submit(self, attempt: Path, job: Job) -> None:
        super().submit(attempt, replace(job, placement=job.placement or self._placement))
