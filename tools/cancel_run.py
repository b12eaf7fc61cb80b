"""End a running job."""

from ..loop.errors import LoopError
from ..loop.project.project import Project
from ..loop.project.version import Version
from .results import StepResult, where_now, work

_NAMED = 10  # of what may be a thousand


class CancelResult(StepResult):
    killed: tuple[str, ...] = ()


def cancel_run(project: Project, version: int) -> CancelResult:
    """Stop the version's running rehearsal, training or evaluation and its whole process tree; it may be run again."""
    named = Version(project, version)
    cancelled = work().cancel(named)
    scorings = ", ".join(cancelled.scorings[:_NAMED]) + (" …" if len(cancelled.scorings) > _NAMED else "")
    ended = f"What was scored for the report ({scorings})" if scorings else f"The {cancelled.kind} run of {named.id}"
    message = {
        "cancelled": f"{ended} is ended, with every process that it had.",
        "nothing": f"{named.id} has no running job.",
        "finished": f"The {cancelled.kind} run of {named.id} had ended by itself; collect it with the next call.",
    }[cancelled.outcome]
    try:
        state = where_now(project)
        phase, following = state.phase, state.next
    except LoopError as error:  # the job is ended all the same, and this is what the next call will say
        phase, following, message = "unknown", None, f"{message} {error}"
    return CancelResult(
        message=message,
        phase=phase,
        version=version,
        already_done=cancelled.outcome != "cancelled",
        killed=cancelled.killed,
        next=following,
    )
