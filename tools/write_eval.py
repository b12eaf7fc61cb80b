"""Step 2, where no template serves or the score is wrong: the evaluation script, or corrections of our own."""

from typing import Annotated

from pydantic import Field

from ..loop.errors import EvaluationError, OutOfOrder
from ..loop.project.project import Project
from .results import StepResult, where_now, work
from .run_eval import own_evaluator


def write_eval(
    project: Project,
    source: Annotated[str | None, Field(description="a whole script")] = None,
    settings: Annotated[
        dict[str, str] | None,
        Field(description="or for the loop's own: output, target, delimiter, formula, loader, higher, lower"),
    ] = None,
) -> StepResult:
    """Put your own 03_eval.py there, or correct the loop's by settings; until v002 is authored v001 is scored again."""
    if (source is None) == (settings is None):
        raise EvaluationError(
            "takes a whole script or settings, and one of them",
            where="write_eval",
            hint="send source, or settings for the loop's own evaluator",
        )
    chosen = None if settings is None else work().read_settings(settings)
    loop = project.loop()
    if source is None:
        if loop is None:
            raise OutOfOrder("no loop has been started", hint="call start_loop first")
        source = own_evaluator(project.rules(), loop, chosen)
    written = work().write_evaluator(project, source, author="agent", settings=chosen)
    state = where_now(project)
    again = f" The score of {written.withdrawn} is withdrawn: score it again." if written.withdrawn else ""
    return StepResult(
        message=f"03_eval.py is written.{again}" if written.changed else "03_eval.py has this text already.",
        phase=state.phase,
        version=state.cur or None,
        already_done=not written.changed,
        next=state.next,
    )
