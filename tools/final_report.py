"""Step 7: the final report."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ..loop.errors import StillReading
from ..loop.project.project import Project
from ..loop.project.receipts import ReportReceipt
from .results import StepResult, Together, job_of, where_now

if TYPE_CHECKING:
    from ..loop.report.rescoring import Rescoring


_NAMED = 3  # of what may be many


class ReportResult(StepResult):
    folder: str | None = None
    best: str | None = None
    leaderboard: str | None = None


def final_report(
    project: Project,
    analysis: Annotated[str | None, Field(description="why the first three rank where they do (Markdown)")] = None,
    stop_reason: Annotated[str | None, Field(description="ends the loop before max_versions")] = None,
    *,
    awaited: Collection[str] = (),
) -> ReportResult:
    """End the loop: score every version alike, rank, bundle the best. Call again until done, then with analysis."""
    from ..loop.report import contents, report_folder
    from ..loop.report.rescoring import Rescoring
    from ..pages.charts.painting import can_paint
    from ..pages.report import analysis_html, late_pictures, report_files

    try:
        reached = contents.advance(project, stop_reason, awaited)
    except StillReading as reading:
        state, following = where_now(project)
        message = f"{reading.what}. Call again."
        return ReportResult(state="running", message=message, phase=state.phase, version=state.cur, next=following)
    if isinstance(reached, Rescoring):
        return _rescoring(project, reached)
    already_done = isinstance(reached, ReportReceipt)
    receipt = reached if isinstance(reached, ReportReceipt) else None
    if isinstance(reached, contents.ReportData):
        receipt = report_folder.publish(project, reached, report_files(project, reached))
    assert receipt is not None, "advance() returns one of three"
    if already_done and can_paint() and report_folder.lacks_pictures(project, receipt):
        report_folder.add_pictures(project, receipt, *late_pictures(project))
    if analysis and analysis.strip():
        receipt = report_folder.complete_analysis(project, analysis, analysis_html(analysis))
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


def _rescoring(project: Project, reached: "Rescoring") -> ReportResult:
    from ..loop.evaluate.external_model import ExternalAttempt

    state, _ = where_now(project)
    first = reached.running[0]
    models = [one.attempt.name for one in reached.running if isinstance(one.attempt, ExternalAttempt)]
    versions = len(reached.running) - len(models)
    said, lines = list[str](), list[str]()
    if versions:
        verb = "is" if versions == 1 else "are"
        of = f"{versions} of {reached.versions} versions"
        said.append(f"{of} {verb} scored again under the present protocol; {reached.stale} left.")
        lines.append(f"re-scoring {of}, {reached.stale} left")
    if models:
        left = f"; {max(reached.models, len(models))} left"
        named = ", ".join(models[:_NAMED]) + (" …" if len(models) > _NAMED else "")
        plural = len(models) > 1
        said.append(f"The external model{'s' if plural else ''} {named} {'are' if plural else 'is'} scored{left}.")
        lines.append(f"scoring external model{'s' if plural else ''} {named}{left}")
    return ReportResult(
        state="running",
        message=" ".join(said),
        phase="reporting",
        version=state.cur,
        job=job_of(first.attempt, first.progress),
        next=None,
        together=Together(
            folders=tuple(one.attempt.relative for one in reached.running),
            done=reached.versions - reached.stale,
            total=reached.versions,
            line="; ".join(lines),
        ),
    )
