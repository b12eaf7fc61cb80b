"""The facts of an analysis: how each metric moved, from the published scores and nobody's word."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

from ..project.project import Project
from ..project.receipts import EvalReceipt, Metric
from ..project.version import Version
from ..rules.reading import Rules
from ..text import Told
from .best import Scored, best_of, better, leaders, primary_metric, primary_metrics, scored, scored_versions
from .labels import judgements
from .noise.thresholds import Label
from .noise.verdict import NoiseVerdict

Direction = Literal["better", "worse", "same", "new", "not comparable"]


@dataclass(frozen=True)
class Delta:
    """`change` is value minus reference in the metric's own unit; None where the reference lacks the metric, or was
    measured by other targets."""

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


def compare(version: Version, rules: Rules) -> Comparison | None:
    """The version's comparison, or None while it has no score."""
    new = scored(version)
    if new is None:
        return None
    earlier = [one for one in scored_versions(version.project) if one.version.number < version.number]
    return _comparison(new, earlier[-1] if earlier else None, _best_of(earlier, rules), rules)


def comparisons(project: Project, rules: Rules) -> Mapping[int, Comparison]:
    """The comparison of every scored version. Reads each version once, however many there are."""
    found: dict[int, Comparison] = {}
    every = scored_versions(project)
    by_number = {one.version.number: one for one in every}
    best_then = leaders(primary_metrics(project, rules.file.eval_config.primary_metric))
    last: Scored | None = None
    best: int | None = None
    for one in every:
        number = one.version.number
        found[number] = _comparison(one, last, by_number[best] if best else None, rules)
        last, best = one, best_then.get(number, best)
    return found


def _best_of(versions: Sequence[Scored], rules: Rules) -> Scored | None:
    metrics = {index: primary_metric(one.receipt, rules) for index, one in enumerate(versions)}
    best = best_of({index: metric for index, metric in metrics.items() if metric is not None})
    return None if best is None else versions[best]


def _comparison(new: Scored, previous: Scored | None, best: Scored | None, rules: Rules) -> Comparison:
    noise = judgements(new.version, rules, best.version if best else None)
    incomparable = {one.against for one in noise if not one.comparable}
    to_previous, to_best = (
        deltas(
            new.receipt,
            one.receipt if one else None,
            rules,
            comparable=one is None or one.version.id not in incomparable,
        )
        for one in (previous, best)
    )
    return Comparison(
        version=new.version.id,
        previous=previous.version.id if previous else None,
        best_before=best.version.id if best else None,
        to_previous=to_previous,
        to_best=to_best,
        latency_ms=new.receipt.latency_ms,
        previous_latency_ms=previous.receipt.latency_ms if previous else None,
        flags=(
            *_flags(to_previous, to_best, {one.metric: one.label for one in reversed(noise)}),
            *_protocol_flag(new.receipt, previous.receipt if previous else None),
        ),
        noise=noise,
    )


def deltas(
    receipt: EvalReceipt, reference: EvalReceipt | None, rules: Rules, *, comparable: bool = True
) -> tuple[Delta, ...]:
    by_name = {metric.name: metric for metric in reference.metrics} if reference else {}
    found = (_delta(metric, by_name.get(metric.name), rules) for metric in receipt.metrics)
    if comparable:
        return tuple(found)
    return tuple(
        one if one.direction == "new" else replace(one, change=None, direction="not comparable") for one in found
    )


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


def _flags(
    to_previous: tuple[Delta, ...], to_best: tuple[Delta, ...], labels: Mapping[str, Label | None]
) -> tuple[Told, ...]:
    """Plateau, regression and trade-off, each named with its numbers (A1); what may be chance is called so."""
    flags: list[Told] = []
    primary = next((delta for delta in to_previous if delta.primary), None)
    against_best = next((delta for delta in to_best if delta.primary), None)
    if primary is not None and primary.direction == "worse":
        chance = Told("worse by what may be chance: {name} {reference:.6g} -> {value:.6g}", asdict(primary))
        regression = Told("regression: {name} {reference:.6g} -> {value:.6g}", asdict(primary))
        flags.append(chance if labels.get(primary.name) in ("noise", "suggestive") else regression)
    if primary is not None and primary.direction == "not comparable":
        flags.append(Told("not comparable: {name} is measured by other targets than before", asdict(primary)))
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
