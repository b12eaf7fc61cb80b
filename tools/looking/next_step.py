"""At any time: what is going on, and the brief for the next Step."""

from typing import Annotated, Literal

from pydantic import Field

from ...loop.project.project import Project
from ...loop.project.state import LoopState, derive, next_call, report_receipt
from ...loop.project.strays import remarks
from ...loop.project.version import Version
from ...loop.report.estimate import Estimate
from ...loop.rules.ends import EndedBy
from ..results import JobView, StepResult, failure_of, job_of, work


class NextStepResult(StepResult):
    """`remarks` say what lies there and isn't as the loop made it: scripts that no Step made, edits, lost files.

    `unfinished` is what a loop that is over still lacks: the report's analysis, which final_report takes.

    `estimate` is how long and how big the rest of the loop will be, in seconds and bytes. `ended_by` says what ended
    the loop, or will once the report is made.
    """

    max_versions: int
    remarks: tuple[str, ...] = ()
    unfinished: Literal["report_analysis"] | None = None
    estimate: Estimate | None = None
    ended_by: EndedBy | None = None
    brief: str | None


def next_step(
    project: Project, brief: Annotated[bool, Field(description="false: leave the brief out")] = True
) -> NextStepResult:
    """Where the loop stands, the one legal next call, and a brief with the evidence for it. Changes nothing."""
    rules = project.rules()
    state = derive(project, rules)
    report = report_receipt(project) if state.phase == "done" else None
    job, found = running_job(project, state), tuple(map(str, remarks(project, state)))
    late = work().late_warning(project, rules, state)
    if job is not None:
        doing = "waits" if job.waiting else "is running"
        message = f"{state.version_id} {doing} ({job.line})."
    else:
        message = f"Next: {next_call(state)}."
    return NextStepResult(
        state="running" if job else "done",
        message="\n- ".join((message, *found, *((late,) if late else ()))),
        phase=state.phase,
        version=state.cur or None,
        job=job,
        failure=failure_of(state.failed),
        next=state.next,
        max_versions=rules.file.loop_config.max_versions,
        remarks=found,
        unfinished="report_analysis" if report is not None and not report.with_analysis else None,
        estimate=work().estimate(project, rules, state),
        ended_by=state.ended_by,
        brief=work().brief(project, rules, state) if brief else None,
        images=work().pictures(Version(project, state.cur)) if brief and state.phase == "analysis" else (),
    )


def brief_now(project: Project) -> str:
    """The brief of the Step that is next, with the script where one call does the rest; raises as `derive`."""
    rules = project.rules()
    return work().whole_brief(project, rules, derive(project, rules))


def running_job(project: Project, state: LoopState) -> JobView | None:
    """The job that runs now, or None; also None for one that ended and waits to be collected."""
    attempt = state.running
    if attempt is None:
        return None
    status = attempt.status()
    if status.state != "running":
        return None
    return job_of(attempt, work().progress_of(attempt, status))
