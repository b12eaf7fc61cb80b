"""Step 2, where no template serves: the agent's evaluation script."""

from ..loop.project.project import Project
from .results import StepResult, where_now, work


def write_eval(project: Project, source: str) -> StepResult:
    """Put your own 03_eval.py there when no template fits (see the evaluate brief); fixed from the first score on."""
    written = work().write_evaluator(project, source, author="agent")
    state = where_now(project)
    return StepResult(
        message="03_eval.py is written." if written else "03_eval.py has this text already.",
        phase=state.phase,
        version=state.cur or None,
        already_done=not written,
        next=state.next,
    )
