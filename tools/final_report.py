"""Step 7: the final report."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ..loop.errors import StillReading
from ..loop.project.project import Project
from ..loop.rules.ends import EndedBy
from .results import StepResult, Together, job_of, where_now, work

if TYPE_CHECKING:
    from ..loop.report.rescoring import Rescoring

_NAMED = 3  # of what may be many


class ReportResult(StepResult):
    ended_by: EndedBy | None = None
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
    try:
        reached = work().finish(project, analysis, stop_reason, awaited)
    except StillReading as reading:
        state = where_now(project)
        return ReportResult(
            state="running",
            message=f"{reading.what}. Call again.",
            reading=reading.what,
            phase=state.phase,
            version=state.cur,
            next=state.next,
        )
    if not isinstance(reached, work().Finished):
        return _rescoring(project, reached)
    receipt = reached.receipt
    state = where_now(project)
    where = f"{receipt.folder}/leaderboard.csv"
    todo = "" if receipt.with_analysis else " Complete final-analysis.md: call final_report with analysis."
    return ReportResult(
        message=f"The report is in {receipt.folder}/; best: {receipt.best or 'none'}.{todo}",
        phase=state.phase,
        version=state.cur,
        already_done=reached.already_done,
        ended_by=receipt.ended_by,
        folder=receipt.folder,
        best=receipt.best,
        leaderboard=project.workspace.tree.read(where).decode()[:6000],
        next=state.next,
    )


def _rescoring(project: Project, reached: "Rescoring") -> ReportResult:
    state = where_now(project)
    first = reached.running[0]
    sentences, lines = _told(reached)
    return ReportResult(
        state="running",
        message=" ".join(sentences),
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


def _told(reached: "Rescoring") -> tuple[list[str], list[str]]:
    """What is scored, in sentences for a client and in short for a person's display."""
    models = [one.model for one in reached.running if one.model is not None]
    versions = len(reached.running) - len(models)
    sentences, lines = list[str](), list[str]()
    if versions:
        verb = "is" if versions == 1 else "are"
        of = f"{versions} of {reached.versions} versions"
        sentences.append(f"{of} {verb} scored again under the present protocol; {reached.stale} left.")
        lines.append(f"re-scoring {of}, {reached.stale} left")
    if models:
        plural, verb = ("s", "are") if len(models) > 1 else ("", "is")
        named = ", ".join(models[:_NAMED]) + (" …" if len(models) > _NAMED else "")
        left = f"; {max(reached.models, len(models))} left"
        sentences.append(f"The external model{plural} {named} {verb} scored{left}.")
        lines.append(f"scoring external model{plural} {named}{left}")
    return sentences, lines
