"""An executor whose every job finds a spare that waits for it."""

from dataclasses import replace
from pathlib import Path

from progressive_training.loop.jobs.job import Job
from progressive_training.loop.jobs.local import LocalExecutor
from progressive_training.loop.jobs.warm.server_keeper import Keeper


class Warmed(LocalExecutor):
    """Expects each job just before it is submitted. What is no Python script starts cold."""

    name = "local, warm"

    def __init__(self) -> None:
        self.keeper = Keeper()
        super().__init__(keeper=lambda: self.keeper)

    def submit(self, attempt: Path, job: Job) -> None:
        job = replace(job, imports=())
        if not attempt.exists():
            self.expect(lambda: [job], attempt.parents[2])
        super().submit(attempt, job)
