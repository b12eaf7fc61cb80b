"""What a run says about itself, in Markdown: the action that made it, what it brought, and what went wrong."""

from ...project.project import Project
from ...project.receipts import ActionReceipt, AnalysisReceipt
from ...project.version import Version
from ...rules.reading import Rules
from ...store.paths import version_id
from ...text import cell, clean
from ..status import VersionView

_MOST_CHARACTERS = 4_500  # trackers cut or refuse longer notes


def note(project: Project, rules: Rules, cur: int, shown: VersionView) -> str:
    parts = [_origin(project, cur)]
    if (gain := shown.gain) is not None:
        primary = rules.file.eval_config.primary_metric
        between = "" if gain.low is None or gain.high is None else f", {gain.low:+.4g} … {gain.high:+.4g}"
        parts.append(f"Gain in {primary} over its parent: {gain.delta:+.4g}{between} ({gain.label or 'no label'}).")
    analysis = Version(project, cur).receipt(AnalysisReceipt)
    if analysis is not None:
        parts.append(clean(analysis.summary.strip(), 1200))
    failures = _failures(project, cur)
    if failures:
        parts.append("Failed attempts:\n\n" + "\n".join(failures))
    return clean("\n\n".join(parts), _MOST_CHARACTERS)


def _origin(project: Project, cur: int) -> str:
    action = Version(project, cur - 1).receipt(ActionReceipt) if cur > 1 else None
    if action is None:
        return "The first version." if cur == 1 else "No action is on record."
    where = ", ".join(f"`{name}`" for name in action.where)
    return (
        f"**{clean(action.change.strip(), 800)}** ({clean(where, 300)}), from {version_id(cur - 1)}.\n\n"
        f"{clean(action.goal.strip(), 600)}"
    )


def _failures(project: Project, cur: int) -> list[str]:
    return [
        f"- {attempt.kind} {attempt.number}: {verdict.kind}: {cell(verdict.summary, 200)}"
        for kind in ("train", "eval")
        for attempt in Version(project, cur).attempts(kind)
        if (verdict := attempt.verdict) is not None and verdict.status == "FAIL"
    ][-8:]
