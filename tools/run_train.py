"""Step 1: train."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ..loop.project.project import Project
from ..loop.project.version import Version
from .results import JobView, StepResult, failure_of, job_of, where_now

if TYPE_CHECKING:
    from ..loop.train.training import TrainStatus

Resume = Annotated[bool, Field(description="go on from the checkpoint that an interrupted attempt left")]


class TrainResult(StepResult):
    artifacts: str | None = None
    epochs: int | None = None
    wall_seconds: float | None = None
    warnings: tuple[str, ...] = ()


def run_train(project: Project, version: int, resume: Resume = False, *, attach: int | None = None) -> TrainResult:
    """Train the version, or attach to its running training; call again until state is done or failed."""
    from ..loop.train.training import train

    status = train(project, version, attach=attach, resumed=resume)
    trained, receipt = Version(project, version), status.receipt
    state, following = where_now(project)
    job = job_of(trained.attempt("train", status.attempt), status.progress) if status.progress else None
    return TrainResult(
        state=status.state,
        message=_message(trained.id, status, job),
        phase=state.phase,
        version=version,
        already_done=status.already_done,
        job=job,
        failure=failure_of(status.verdict),
        artifacts=trained.artifacts if receipt else None,
        epochs=receipt.epochs if receipt else None,
        wall_seconds=round(receipt.wall_seconds, 2) if receipt else None,
        warnings=receipt.warnings if receipt else (),
        next=following,
    )


def _message(name: str, status: "TrainStatus", job: JobView | None) -> str:
    if job is not None:
        doing = "waits to be trained" if job.waiting else "is training"
        return f"{name} {doing}, attempt {status.attempt} ({job.line}). It goes on by itself; call again."
    if status.receipt is not None:
        return f"{name} is trained (attempt {status.attempt}); its artifacts are complete."
    summary = status.verdict.summary[:400] if status.verdict else ""
    return f"Training attempt {status.attempt} of {name} failed: {summary}. Its artifacts were wiped."
