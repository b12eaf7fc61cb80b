"""The attempts of a version: numbered folders with the job, its log and outcome, the plan and the verdict."""

import re
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import LoopError
from ..jobs.job import Job, JobKind, JobStatus
from ..store.records import load, save
from .disk import reserved
from .project import Project
from .receipts import Company, Completed, EvalPlan, Plan, Repair, Verdict

if TYPE_CHECKING:
    from .version import Version

_FOLDER = re.compile(r"(train|eval|rehearse|explore)-(\d{3,})")


@dataclass(frozen=True)
class Attempt:
    """One attempt of a version, whose folder exists from the submission on. It is settled once it has a verdict."""

    version: "Version"
    kind: JobKind
    number: int

    @property
    def project(self) -> Project:
        return self.version.project

    @property
    def relative(self) -> str:
        return f"{self.project.workspace.attempts(self.version.number)}/{self.kind}-{self.number:03d}"

    @property
    def path(self) -> Path:
        return self.project.workspace.tree.path(self.relative)

    @property
    def log(self) -> Path:
        return self.path / "log.txt"

    @property
    def facts(self) -> str:
        """The folder, relative to the project, in which a training leaves what its recorder measured."""
        return f"{self.relative}/facts"

    @property
    def submitted(self) -> bool:
        return self.project.workspace.tree.is_file(f"{self.relative}/job.json")

    def status(self) -> JobStatus:
        """Where its job stands; `lost` as well if the server ended before it could be submitted."""
        if not self.submitted:
            return JobStatus("lost", None, None, detail="it was never submitted")
        return self.project.executor.poll(self.path)

    def swept(self, status: JobStatus) -> JobStatus:
        """The status, after ending whatever processes a lost job's dead runner left; the outcome names them.

        Left alone, they would write into the artifacts folder that the next attempt gets.
        """
        if status.state != "lost" or not self.submitted:
            return status
        ended = self.project.executor.cancel(self.path).outcome
        if status.outcome is None or ended is None:
            return status
        return replace(status, outcome=replace(status.outcome, killed=ended.killed))

    def submit(self, job: Job) -> None:
        """Starts the job in this folder, and ends it again if it was cancelled meanwhile. Raises `RunError`."""
        self.project.executor.submit(self.path, job)
        # Whoever cancels takes no lock: they ask first and look for a job then, so that one of the two sees the other.
        if self.cancel_requested:
            self.project.executor.cancel(self.path)

    @property
    def plan(self) -> Plan | None:
        return load(self.project.workspace.tree, f"{self.relative}/plan.json", Plan)

    @property
    def eval_plan(self) -> EvalPlan | None:
        return load(self.project.workspace.tree, f"{self.relative}/plan.json", EvalPlan)

    @property
    def verdict(self) -> Verdict | None:
        return load(self.project.workspace.tree, f"{self.relative}/verdict.json", Verdict)

    @property
    def completed(self) -> tuple[str, ...]:
        """What was done to its artifacts so far, before it had a receipt."""
        found = load(self.project.workspace.tree, f"{self.relative}/completed.json", Completed)
        return found.said if found is not None else ()

    def save_completed(self, said: tuple[str, ...]) -> None:
        save(self.project.workspace.tree, f"{self.relative}/completed.json", Completed(said=said))

    @property
    def repair(self) -> Repair | None:
        return load(self.project.workspace.tree, f"{self.relative}/repair.json", Repair)

    @property
    def cancel_requested(self) -> bool:
        """Whether cancel_run was called for it. A job that was ended without it was ended from outside."""
        return self.project.workspace.tree.is_file(f"{self.relative}/cancel.json")

    def request_cancel(self) -> None:
        self.project.workspace.tree.write(f"{self.relative}/cancel.json", b"{}\n")

    @property
    def side_by_side(self) -> int:
        """How many evaluations ran on this machine at the same time, this one included: they slow its latency down."""
        company = load(self.project.workspace.tree, f"{self.relative}/company.json", Company)
        return company.evaluations if company else 1

    def save_company(self, evaluations: int) -> None:
        """Records that `evaluations` run side by side now, if that is more than recorded before."""
        if evaluations > self.side_by_side:
            company = Company(evaluations=evaluations)
            save(self.project.workspace.tree, f"{self.relative}/company.json", company)

    def save_plan(self, plan: Plan | EvalPlan) -> None:
        save(self.project.workspace.tree, f"{self.relative}/plan.json", plan)

    def save_verdict(self, verdict: Verdict) -> None:
        save(self.project.workspace.tree, f"{self.relative}/verdict.json", verdict)


def numbers_of(kind: JobKind, names: Iterable[str]) -> list[int]:
    """The numbers of the attempts of one kind among folder names, ascending."""
    return sorted(int(match[2]) for name in names if (match := _FOLDER.fullmatch(name)) and match[1] == kind)


def failure_of(attempt: Attempt) -> Verdict | None:
    """The attempt's verdict, if it is one of failure."""
    verdict = attempt.verdict
    return verdict if verdict is not None and verdict.status == "FAIL" else None


@contextmanager
def submitted_whole(attempt: Attempt) -> Generator[None]:
    """Makes the attempt's folder. Submit the job inside the block: if that raises, the folder is removed."""
    tree = attempt.project.workspace.tree
    with reserved(attempt.project.workspace):
        tree.make_folder(attempt.relative)
        try:
            yield
        except (LoopError, OSError):
            tree.remove(attempt.relative)
            raise
