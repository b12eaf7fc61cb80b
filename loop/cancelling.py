"""Ending a running training or evaluation, also of an external model, with its whole process tree."""

from dataclasses import dataclass
from typing import Literal

from . import journal, training
from .attempts import attempts
from .errors import OutOfOrder
from .evaluation.externals import ExternalAttempt
from .failures import Failure
from .project import Project
from .report.externals import open_attempts
from .state import derive, next_call
from .workspace import version_id


@dataclass(frozen=True)
class Cancelled:
    """`nothing`: no job was running. `finished`: it had ended by itself and waits to be collected."""

    outcome: Literal["cancelled", "nothing", "finished"]
    kind: Literal["train", "eval"] | None = None
    killed: tuple[str, ...] = ()


def cancel(project: Project, cur: int) -> Cancelled:
    """Returns when nothing of the job is left. Raises `OutOfOrder` for a version that does not exist."""
    with project.mutation():
        state = derive(project, project.rules())
        if not 1 <= cur <= state.cur:
            raise OutOfOrder(f"there is no version {cur}", hint=next_call(state))
        tried = [*attempts(project, cur, "train"), *attempts(project, cur, "eval")]
        running = [attempt for attempt in tried if attempt.verdict is None] or open_attempts(project)
        if not running:
            return Cancelled("nothing")
        attempt = running[-1]
        outcome = attempt.status().outcome
        # One that was "cancelled" belongs to an earlier call, whose server ended before it could say so.
        if outcome is not None and outcome.reason not in ("cancelled", "lost"):
            return Cancelled("finished", attempt.kind)
        attempt.request_cancel()
        status = project.executor.cancel(attempt.path) if attempt.submitted else attempt.status()
        if status.outcome is not None and status.outcome.reason == "exited":
            return Cancelled("finished", attempt.kind)
        wall = status.outcome.wall_seconds if status.outcome else None
        failure = Failure("cancelled", "cancelled on request", "")
        if attempt.kind == "train":
            training.fail(project, attempt, failure, wall)
        else:
            attempt.save_verdict(failure.verdict(wall))
            if isinstance(attempt, ExternalAttempt):
                journal.record(project.workspace, "external_cancelled", name=attempt.name, attempt=attempt.number)
            else:
                journal.record(project.workspace, "eval_cancelled", version_id(cur), attempt=attempt.number)
        return Cancelled("cancelled", attempt.kind, status.outcome.killed if status.outcome else ())
