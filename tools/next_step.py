"""At any time: what is going on, and the brief for the next Step."""

from typing import Annotated, Literal

from pydantic import Field

from ..loop.project.project import Project
from ..loop.project.state import LoopState, report_receipt
from .results import JobView, StepResult, failure_of, job_of, where_now


class NextStepResult(StepResult):
    """`unfinished` is what a loop that is over still lacks: the report's analysis, which final_report takes."""

    max_versions: int
    unfinished: Literal["report_analysis"] | None = None
    brief: str | None


def next_step(
    project: Project, brief: Annotated[bool, Field(description="false: leave the brief out")] = True
) -> NextStepResult:
    """Where the loop stands, the one legal next call, and a brief with the evidence for it. Changes nothing."""
    from ..prompts.briefs import brief as render_brief

    rules = project.rules()
    state, following = where_now(project, rules)
    report = report_receipt(project) if state.phase == "done" else None
    job = running_job(project, state)
    if job is not None:
        doing = "waits" if job.waiting else "is running"
        message = f"{state.version_id} {doing} ({job.line})."
    elif following is None:
        message = "The loop is over."
    else:
        message = f"Next: {following.tool}: {following.why}."
    return NextStepResult(
        state="running" if job else "done",
        message=message,
        phase=state.phase,
        version=state.cur or None,
        job=job,
        failure=failure_of(state.failed),
        next=following,
        max_versions=rules.file.loop_config.max_versions,
        unfinished="report_analysis" if report is not None and not report.with_analysis else None,
        brief=render_brief(project, rules, state) if brief else None,
    )


def running_job(project: Project, state: LoopState) -> JobView | None:
    """The job that runs now, or None; also None for one that ended and waits to be collected."""
    from ..loop.train.progress import progress_of

    attempt = state.running
    if attempt is None:
        return None
    status = attempt.status()
    if status.state != "running":
        return None
    return job_of(attempt, progress_of(attempt, status))
