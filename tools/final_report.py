"""Step 7: the final report."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ..loop.attempts import attempts
from ..loop.errors import StillReading
from ..loop.project import Project
from ..loop.receipts import ReportReceipt
from ..loop.workspace import version_id
from .results import StepResult, job_of, where_now

if TYPE_CHECKING:
    from ..loop.report.externals import Scoring
    from ..loop.report.final import Rescoring


class ReportResult(StepResult):
    folder: str | None = None
    best: str | None = None
    leaderboard: str | None = None


def final_report(
    project: Project,
    analysis: Annotated[str | None, Field(description="why the first three rank where they do (Markdown)")] = None,
    stop_reason: Annotated[str | None, Field(description="ends the loop before max_versions")] = None,
) -> ReportResult:
    """End the loop: score every version alike, rank, bundle the best. Call again until done, then with analysis."""
    from ..loop.report import documents, final
    from ..loop.report.externals import Scoring
    from ..prompts.charts.painting import can_paint
    from ..prompts.reports import analysis_html, late_pictures, report_files

    try:
        reached = final.advance(project, stop_reason)
    except StillReading as reading:
        state, following = where_now(project)
        message = f"{reading.what}. Call again."
        return ReportResult(state="running", message=message, phase=state.phase, version=state.cur, next=following)
    if isinstance(reached, final.Rescoring):
        return _rescoring(project, reached)
    if isinstance(reached, Scoring):
        return _scoring(project, reached)
    already_done = isinstance(reached, ReportReceipt)
    receipt = reached if isinstance(reached, ReportReceipt) else None
    if isinstance(reached, final.ReportData):
        receipt = final.publish(project, reached, report_files(project, reached))
    assert receipt is not None, "advance() returns one of three"
    if already_done and can_paint() and documents.lacks_pictures(project, receipt):
        documents.add_pictures(project, receipt, *late_pictures(project))
    if analysis and analysis.strip():
        receipt = documents.complete_analysis(project, analysis, analysis_html(analysis))
    state, following = where_now(project)
    where = f"{receipt.folder}/leaderboard.csv"
    todo = "" if receipt.with_analysis else " Complete final-analysis.md: call final_report with analysis."
    return ReportResult(
        message=f"The report is in {receipt.folder}/; best: {receipt.best or 'none'}.{todo}",
        phase=state.phase,
        version=state.cur,
        already_done=already_done,
        folder=receipt.folder,
        best=receipt.best,
        leaderboard=project.workspace.tree.read(where).decode()[:6000],
        next=following,
    )


def _scoring(project: Project, reached: "Scoring") -> ReportResult:
    state, _ = where_now(project)
    attempt = reached.attempt
    return ReportResult(
        state="running",
        message=f"The external model {attempt.name} is scored; {reached.left} left.",
        phase="reporting",
        version=state.cur,
        job=job_of("eval", attempt.number, attempt.relative, reached.elapsed_seconds),
        next=None,
    )


def _rescoring(project: Project, reached: "Rescoring") -> ReportResult:
    state, _ = where_now(project)
    attempt = attempts(project, reached.version, "eval")[-1]
    job = job_of("eval", attempt.number, attempt.relative, reached.elapsed_seconds)
    return ReportResult(
        state="running",
        message=f"{version_id(reached.version)} is scored again under the present protocol; {reached.left} left.",
        phase="reporting",
        version=state.cur,
        job=job,
        next=None,
    )
