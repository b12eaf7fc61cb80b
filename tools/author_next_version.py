"""Step 6: author the next version."""

from typing import Annotated

from pydantic import Field

from ..loop.project.project import Project
from ..loop.store.paths import version_id
from .results import StepResult, where_now, work


class AuthorResult(StepResult):
    script: str
    symbols: tuple[str, ...]
    notes: tuple[str, ...]
    diff: str


def author_next_version(
    project: Project,
    version: int,
    diff: Annotated[
        str | None,
        Field(description="unified diff or SEARCH/REPLACE (whole lines) against it; without: adopt an editor's script"),
    ] = None,
) -> AuthorResult:
    """Make the next version from this one and the selected action's diff, and only that."""
    receipt, already_done = work().author_next_version(project, version, diff)
    state = where_now(project)
    late = work().late_warning(project, project.rules(), state)
    return AuthorResult(
        message=f"{version_id(version + 1)} is authored: {', '.join(receipt.symbols) or 'imports'} changed.",
        phase=state.phase,
        version=version + 1,
        already_done=already_done,
        script=project.workspace.script(version + 1),
        symbols=receipt.symbols,
        notes=(*map(str, receipt.notes), *((late,) if late else ())),
        diff=receipt.diff[:4000],
        next=state.next,
    )
