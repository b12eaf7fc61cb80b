"""Step 1, after a failure: repair the same version."""

from typing import Annotated

from pydantic import Field

from ..loop.project.project import Project
from ..loop.store.paths import version_id
from .results import StepResult, where_now, work


class RepairResult(StepResult):
    files: tuple[str, ...]
    diff: str


def repair_version(
    project: Project,
    version: int,
    root_cause: str,
    change_summary: str,
    diff: Annotated[
        str | None,
        Field(description="unified diff of the script or a local module it imports; without: adopt an editor's"),
    ] = None,
) -> RepairResult:
    """Repair the code of a version that failed, or whose rehearsal found a problem: minimally and under the rules."""
    repair, already_done = work().repair_version(
        project, version, diff, root_cause=root_cause, change_summary=change_summary
    )
    state = where_now(project)
    again = "start_loop rehearses it again" if state.next and state.next.tool == "start_loop" else "train it again"
    return RepairResult(
        message=f"{version_id(version)} is repaired in {', '.join(repair.files)}; {again}.",
        phase=state.phase,
        version=version,
        already_done=already_done,
        files=tuple(repair.files),
        diff=repair.diff[:4000],
        next=state.next,
    )
