"""Step 3: analyse the result."""

from ..loop.project.project import Project
from ..loop.store.paths import version_id
from .results import StepResult, where_now, work


def write_analysis(
    project: Project, version: int, summary: str, evidence: str, hypotheses: list[str], next_focus_candidates: list[str]
) -> StepResult:
    """Write result-analysis.md: you judge, the server adds the metric deltas."""
    analysis = work().Analysis(summary, evidence, tuple(hypotheses), tuple(next_focus_candidates))
    _, already_done = work().write_analysis(project, version, analysis)
    state = where_now(project)
    return StepResult(
        message=f"{version_id(version)}'s result-analysis.md is written.",
        phase=state.phase,
        version=version,
        already_done=already_done,
        next=state.next,
    )
