"""What a run says about itself, in Markdown: the action that made it, what it brought, and what went wrong."""

from ...project.attempts import failure_of
from ...project.receipts import ActionReceipt, AnalysisReceipt
from ...project.version import Version
from ...text import cell, clean
from ..status import VersionView

_MOST_CHARACTERS = 4_500  # trackers cut or refuse longer notes


def note(version: Version, shown: VersionView, primary: str) -> str:
    """The note as Markdown of at most 4,500 characters; what others wrote is cleaned."""
    parts = [_origin(version)]
    if (gain := shown.gain) is not None:
        between = "" if gain.low is None or gain.high is None else f", {gain.low:+.4g} … {gain.high:+.4g}"
        parts.append(f"Gain in {primary} over its parent: {gain.delta:+.4g}{between} ({gain.called or 'no label'}).")
    analysis = version.receipt(AnalysisReceipt)
    if analysis is not None:
        parts.append(clean(analysis.summary.strip(), 1200))
    failures = _failures(version)
    if failures:
        parts.append("Failed attempts:\n\n" + "\n".join(failures))
    return clean("\n\n".join(parts), _MOST_CHARACTERS)


def _origin(version: Version) -> str:
    if version.parent is None:
        return "The first version."
    action = version.parent.receipt(ActionReceipt)
    if action is None:
        return "No action is on record."
    where = ", ".join(f"`{name}`" for name in action.where)
    return (
        f"**{clean(action.change.strip(), 800)}** ({clean(where, 300)}), from {version.parent.id}.\n\n"
        f"{clean(action.goal.strip(), 600)}"
    )


def _failures(version: Version) -> list[str]:
    return [
        f"- {attempt.kind} {attempt.number}: {verdict.kind}: {cell(verdict.summary, 200)}"
        for attempt in (*version.attempts("train"), *version.attempts("eval"))
        if (verdict := failure_of(attempt))
    ][-8:]
