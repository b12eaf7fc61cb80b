"""The facts of an analysis: how each metric moved, from the published scores and nobody's word."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Literal

from ..project.project import Project
from ..project.receipts import EvalReceipt, Metric
from ..project.version import Version
from ..rules.reading import Rules
from ..store.paths import version_id
from ..text import Told
from .labels import judgements
from .noise.verdict import NoiseVerdict

Direction = Literal["better", "worse", "same", "new"]


@dataclass(frozen=True)
class Delta:
    """`change` is value minus reference in the metric's own unit; None where the reference lacks the metric."""

    name: str
    value: float
    reference: float | None
    change: float | None
    direction: Direction
    primary: bool


@dataclass(frozen=True)
class Comparison:
    """One version's score beside its predecessor's and the best so far."""

    version: str
    previous: str | None
    best_before: str | None
    to_previous: tuple[Delta, ...]
    to_best: tuple[Delta, ...]
    latency_ms: float
    previous_latency_ms: float | None
    flags: tuple[Told, ...]
    noise: tuple[NoiseVerdict, ...] = ()

    def verdict(self, metric: str, against: str | None) -> NoiseVerdict | None:
        return next((one for one in self.noise if (one.metric, one.against) == (metric, against)), None)


def primary_metric(receipt: EvalReceipt, rules: Rules) -> Metric | None:
    return named(receipt.metrics, rules.file.eval_config.primary_metric)


def named(metrics: Iterable[Metric], name: str) -> Metric | None:
    return next((metric for metric in metrics if metric.name == name), None)


def cost(metric: Metric) -> float:
    """The value, or its negative where higher is better: what is best comes first when it is sorted by this."""
    return -metric.value if metric.higher_is_better else metric.value


def better(metric: Metric, than: Metric) -> bool:
    """Strictly better, in the metric's own direction."""
    return cost(metric) < cost(than)


def best_version(project: Project, rules: Rules, versions: list[int]) -> int | None:
    """The version whose primary metric is best; the earlier one of equals. None if none has the metric."""
    best: tuple[int, Metric] | None = None
    for cur in versions:
        receipt = Version(project, cur).receipt(EvalReceipt)
        metric = primary_metric(receipt, rules) if receipt else None
        if metric is not None and (best is None or better(metric, best[1])):
            best = (cur, metric)
    return best[0] if best else None


def compare(project: Project, rules: Rules, cur: int) -> Comparison | None:
    """The version's comparison, or None while it has no score."""
    receipt = Version(project, cur).receipt(EvalReceipt)
    if receipt is None:
        return None
    earlier = [number for number in project.workspace.versions() if number < cur]
    last = next((number for number in reversed(earlier) if Version(project, number).receipt(EvalReceipt)), None)
    return _comparison(project, rules, cur, receipt, last, best_version(project, rules, earlier))


def comparisons(project: Project, rules: Rules) -> Mapping[int, Comparison]:
    """The comparison of every scored version. Each is looked at once, so that a thousand take a thousand looks."""
    found: dict[int, Comparison] = {}
    last: int | None = None
    best: tuple[int, Metric] | None = None
    for cur in project.workspace.versions():
        receipt = Version(project, cur).receipt(EvalReceipt)
        if receipt is None:
            continue
        found[cur] = _comparison(project, rules, cur, receipt, last, best[0] if best else None)
        last, metric = cur, primary_metric(receipt, rules)
        if metric is not None and (best is None or better(metric, best[1])):
            best = (cur, metric)
    return found


def _comparison(
    project: Project, rules: Rules, cur: int, receipt: EvalReceipt, last: int | None, best: int | None
) -> Comparison:
    previous = Version(project, last).receipt(EvalReceipt) if last else None
    best_receipt = Version(project, best).receipt(EvalReceipt) if best else None
    to_previous = deltas(receipt, previous, rules)
    to_best = deltas(receipt, best_receipt, rules)
    return Comparison(
        version=version_id(cur),
        previous=version_id(last) if last else None,
        best_before=version_id(best) if best else None,
        to_previous=to_previous,
        to_best=to_best,
        latency_ms=receipt.latency_ms,
        previous_latency_ms=previous.latency_ms if previous else None,
        flags=(*_flags(to_previous, to_best), *_protocol_flag(receipt, previous)),
        noise=judgements(project, rules, cur, best),
    )


def deltas(receipt: EvalReceipt, reference: EvalReceipt | None, rules: Rules) -> tuple[Delta, ...]:
    by_name = {metric.name: metric for metric in reference.metrics} if reference else {}
    return tuple(_delta(metric, by_name.get(metric.name), rules) for metric in receipt.metrics)


def _delta(metric: Metric, reference: Metric | None, rules: Rules) -> Delta:
    primary = metric.name == rules.file.eval_config.primary_metric
    if reference is None:
        return Delta(metric.name, metric.value, None, None, "new", primary)
    if metric.value == reference.value:
        direction: Direction = "same"
    else:
        direction = "better" if better(metric, reference) else "worse"
    return Delta(metric.name, metric.value, reference.value, metric.value - reference.value, direction, primary)


def _protocol_flag(receipt: EvalReceipt, previous: EvalReceipt | None) -> tuple[Told, ...]:
    if previous is None or previous.fingerprint == receipt.fingerprint:
        return ()
    return (Told("the previous version was scored under another protocol; the report scores all alike", {}),)


def _flags(to_previous: tuple[Delta, ...], to_best: tuple[Delta, ...]) -> tuple[Told, ...]:
    """Plateau, regression and trade-off, each named with its numbers (A1)."""
    flags: list[Told] = []
    primary = next((delta for delta in to_previous if delta.primary), None)
    against_best = next((delta for delta in to_best if delta.primary), None)
    if primary is not None and primary.direction == "worse":
        flags.append(Told("regression: {name} {reference:.6g} -> {value:.6g}", asdict(primary)))
    if primary is not None and primary.direction == "same":
        flags.append(Told("plateau: {name} stayed at {value:.6g}", asdict(primary)))
    if against_best is not None and against_best.direction == "worse":
        flags.append(Told("below the best so far: {name} {value:.6g}, best {reference:.6g}", asdict(against_best)))
    for wanted, other, text in (
        ("better", "worse", "trade-off: {name} got better, {others} got worse"),
        ("worse", "better", "trade-off: {name} got worse, {others} got better"),
    ):
        if primary is not None and primary.direction == wanted:
            names = [delta.name for delta in to_previous if delta.direction == other]
            if names:
                flags.append(Told(text, {"name": primary.name, "others": ", ".join(names)}))
    return tuple(flags)
