"""Between two Steps: look at a version's samples, predictions and model."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ...loop.project.project import Project
from ..results import StepResult, failure_of, job_of, where_now, work

if TYPE_CHECKING:
    from ...loop.judge.exploration.exploration import ExploreStatus

Code = Annotated[
    str,
    Field(description="has train, val, model, samples (predictions, scores), show(picture); print what you find"),
]


class ExploreResult(StepResult):
    """`output` is what the snippet printed, `pictures` are PNG files of the project; both are bounded."""

    output: str = ""
    pictures: tuple[str, ...] = ()


def explore(project: Project, version: int, code: Code, *, attach: int | None = None) -> ExploreResult:
    """Look at a trained version by a short read-only Python snippet, which may train nothing."""
    status = work().explore(project, version, code, attach=attach)
    attempt, found, state = status.attempt, status.findings, where_now(project)
    pictures = found.pictures if found else ()
    tree = project.workspace.tree
    return ExploreResult(
        state=status.state,
        message=_message(status),
        phase=state.phase,
        version=version,
        already_done=status.already_done,
        job=job_of(attempt, status.progress) if status.progress else None,
        failure=failure_of(status.verdict),
        output=found.text if found else "",
        pictures=pictures,
        images=tuple(tree.read(place) for place in pictures),
        next=state.next,
    )


def _message(status: "ExploreStatus") -> str:
    name, number = status.attempt.version.id, status.attempt.number
    if status.findings is None:
        return f"A snippet looks at {name}. Call again with the same code."
    if status.verdict is not None and status.state == "failed":
        return f"The snippet failed on {name}: {status.verdict.summary[:600]}"
    left_out = f" Not shown: {', '.join(status.findings.left_out)}." if status.findings.left_out else ""
    return f"Explored {name}; quote it as exploration {number} of {name}.{left_out}"
