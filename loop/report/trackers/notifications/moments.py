"""What there is to tell of a loop as it stands; the same each time it is looked at."""

from collections.abc import Iterator
from typing import Literal

from pydantic import BaseModel, ConfigDict

from ....errors import UserDecision
from ....judge.best import best_version, named
from ....judge.labels import recorded
from ....project.evaluation_protocol import decisions
from ....project.project import Project
from ....project.receipts import EvalReceipt, LoopFile
from ....project.state import LoopState, derive, report_receipt
from ....rules.reading import Rules

Event = Literal["new_best", "needs_decision", "stuck", "done", "stopped", "test"]


class Moment(BaseModel):
    """`key` tells it from any other of this loop; `text` is one line for a person, and holds no output of a script."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    key: str
    event: Event
    text: str
    version: str | None = None
    metric: str | None = None
    value: float | None = None
    delta: float | None = None


def moments(project: Project, rules: Rules, loop: LoopFile) -> Iterator[Moment]:
    """Raises `LoopError` for what can't be read."""
    state = derive(project, rules)
    yield from map(_decision, decisions(project, rules, loop))
    if (best := _new_best(project, rules)) is not None:
        yield best
    if state.phase == "stuck" and state.next is not None:
        text = f"{state.version_id} is stuck: {state.next.why}"
        yield Moment(key=f"stuck {state.version_id} {text}", event="stuck", text=text, version=state.version_id)
    if state.phase == "done":
        yield from _done(project, state)


def _decision(decision: UserDecision) -> Moment:
    """By its digest: what changes once more is another decision."""
    text = f"You have to decide: {decision.what}. Undo it, or: progressive-training {decision.subject} accept"
    return Moment(key=f"decision {decision.digest}", event="needs_decision", text=text)


def _new_best(project: Project, rules: Rules) -> Moment | None:
    """The best version, where it is better than the best before it by more than noise."""
    best = best_version(project, rules)
    before = None if best is None else best_version(project, rules, before=best.number)
    if best is None or before is None:
        return None
    primary = rules.file.eval_config.primary_metric
    receipt = best.receipt(EvalReceipt)
    metric = named(receipt.metrics, primary) if receipt is not None else None
    for one in recorded(best):
        beyond = one.label == "significant" and (one.delta or 0.0) > 0
        if metric is not None and (one.metric, one.against) == (primary, before.id) and beyond:
            gain = f"{primary} {metric.value:.4g}, better than {before.id} by {one.delta:.4g}"
            return Moment(
                key=f"best {best.id} {metric.value!r}",
                event="new_best",
                text=f"{best.id} is the new best, beyond noise: {gain}",
                version=best.id,
                metric=primary,
                value=metric.value,
                delta=one.delta,
            )
    return None


def _done(project: Project, state: LoopState) -> Iterator[Moment]:
    report = report_receipt(project)
    if report is not None:
        text = f"The loop is over after {state.version_id}. Best: {report.best or 'none'}. Report: {report.folder}/"
        yield Moment(key=f"done {report.folder}", event="done", text=text, version=report.best)
