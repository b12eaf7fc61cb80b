"""Step 1: train."""

from typing import Annotated

from pydantic import Field

from ..loop.project.project import Project
from ..loop.project.version import Version
from ..loop.store.paths import version_id
from .results import StepResult, failure_of, job_of, where_now

Resume = Annotated[bool, Field(description="go on from the checkpoint that an interrupted attempt left")]


class TrainResult(StepResult):
    artifacts: str | None = None
    epochs: int | None = None
    wall_seconds: float | None = None
    warnings: tuple[str, ...] = ()


def run_train(project: Project, version: int, resume: Resume = False, *, attach: int | None = None) -> TrainResult:
    """Train the version, or attach to its running training; call again until state is done or failed."""
    from ..loop.train import training

    status = training.train(project, version, attach=attach, resumed=resume)
    state, following = where_now(project)
    name = version_id(version)
    job = None
    if status.progress is not None:
        job = job_of(Version(project, version).attempt("train", status.attempt), status.progress)
        doing = "waits to be trained" if job.waiting else "is training"
        message = f"{name} {doing}, attempt {status.attempt} ({job.line}). It goes on by itself; call again."
    elif status.receipt is not None:
        message = f"{name} is trained (attempt {status.attempt}); its artifacts are complete."
    else:
        summary = status.verdict.summary[:400] if status.verdict else ""
        message = f"Training attempt {status.attempt} of {name} failed: {summary}. Its artifacts were wiped."
    return TrainResult(
        state=status.state,
        message=message,
        phase=state.phase,
        version=version,
        already_done=status.already_done,
        job=job,
        failure=failure_of(status.verdict),
        artifacts=project.workspace.artifacts(version) if status.receipt else None,
        epochs=status.receipt.epochs if status.receipt else None,
        wall_seconds=round(status.receipt.wall_seconds, 2) if status.receipt else None,
        warnings=tuple(str(one) for one in status.receipt.warnings) if status.receipt else (),
        next=following,
    )
