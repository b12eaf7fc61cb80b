"""The documents that the driver writes: plain sentences with the numbers that they rest on, and no more."""

from collections.abc import Sequence
from dataclasses import dataclass

from .diagnosis import Diagnosis, Scores, Verdict
from .loop_client import Status, VersionStatus
from .playbook import Move

_VERDICTS: dict[Verdict, str] = {
    "diverged": "Training diverged",
    "regressed": "The last change made it worse",
    "underfit": "Training ends too early",
    "overfit": "The network memorises its training set",
    "plateau": "It has levelled off",
    "healthy": "Training is in order, with something left to gain",
}
_NO_MORE = "Nothing of the offline playbook is left that the rules allow and that was not tried."


@dataclass(frozen=True)
class AnalysisText:
    summary: str
    evidence: str
    hypotheses: list[str]
    next_focus_candidates: list[str]


def analysis(status: Status, version: int, scores: Scores, found: Diagnosis, moves: Sequence[Move]) -> AnalysisText:
    """What `write_analysis` needs, from the diagnosis and the moves that it leads to."""
    own = next((one for one in status.versions if one.version == version), None)
    evidence = "\n".join(f"- {sentence}" for sentence in found.evidence)
    caveat = "The offline agent reads scores and learning curves only; it did not look at single samples."
    return AnalysisText(
        summary=f"{_VERDICTS[found.verdict]}. {_standing(own, scores)}".strip(),
        evidence=f"{evidence}\n\n{caveat}",
        hypotheses=[found.reading, *found.cautions],
        next_focus_candidates=[f"{move.change} {move.goal}" for move in moves] or [_NO_MORE],
    )


def stop_reason(found: Diagnosis) -> str:
    return f"{_NO_MORE} The last diagnosis: {found.verdict}."


def final_analysis(status: Status) -> str:
    """Why the best versions stand where they do, as far as their actions and scores tell."""
    ranked = _ranked(status)
    if not ranked:
        return f"No version has a {status.primary_metric}, so nothing can be ranked."
    lines: list[str] = []
    for place, one in enumerate(ranked[:3], 1):
        metric = one.metric(status.primary_metric)
        value = f"{metric.value:.4f}" if metric else "unknown"
        lines.append(f"{place}. {one.version_id}, {status.primary_metric} {value}. {_origin(status, one)}")
    lines += [
        "",
        "Written by the offline agent from the scores and the selected actions; it ran no further experiment.",
    ]
    lines.append("A difference is a cause only as far as the server's intervals set it apart from noise.")
    return "\n".join(lines)


def _standing(own: VersionStatus | None, scores: Scores) -> str:
    best = scores.best
    value = scores.values[-1] if scores.values else None
    if own is None or value is None or best is None:
        return f"This version has no {scores.name}."
    text = f"{own.version_id} has {scores.name} {value:.4f}"
    if best == len(scores.values) - 1:
        others = [one for one in scores.values[:-1] if one is not None]
        return (
            f"{text}, the best of {len(others) + 1} versions." if others else f"{text}; there is none to compare with."
        )
    top = scores.values[best]
    return f"{text}; the best is {scores.label(best)} with {top:.4f}." if top is not None else f"{text}."


def _ranked(status: Status) -> list[VersionStatus]:
    known = [(metric, one) for one in status.versions if (metric := one.metric(status.primary_metric))]
    known.sort(key=lambda pair: (-pair[0].value if pair[0].higher_is_better else pair[0].value, pair[1].version))
    return [one for _, one in known]


def _origin(status: Status, one: VersionStatus) -> str:
    parent = next((other for other in status.versions if other.version == one.version - 1), None)
    if parent is None or parent.action is None:
        return "It is the baseline." if one.version == 1 else "The action that led to it is not known."
    return f"It came from {parent.version_id} by one action: {parent.action.change}"
