"""Which of two scores is better, and which version is the best."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..project.project import Project
from ..project.receipts import EvalReceipt, Metric
from ..project.version import Version
from ..rules.reading import Rules


@dataclass(frozen=True)
class Scored:
    """A version with its score."""

    version: Version
    receipt: EvalReceipt


def scored_versions(project: Project) -> tuple[Scored, ...]:
    """Every version that has a score, ascending. Raises `ProjectError` for a damaged receipt."""
    every = (scored(Version(project, number)) for number in project.versions())
    return tuple(one for one in every if one is not None)


def scored(version: Version) -> Scored | None:
    """The version with its score, or None while it has none. Raises `ProjectError` for a damaged receipt."""
    receipt = version.receipt(EvalReceipt)
    return None if receipt is None else Scored(version, receipt)


def named(metrics: Iterable[Metric], name: str) -> Metric | None:
    return next((metric for metric in metrics if metric.name == name), None)


def primary_metric(receipt: EvalReceipt, rules: Rules) -> Metric | None:
    return named(receipt.metrics, rules.file.eval_config.primary_metric)


def primary_metrics(project: Project, primary: str) -> Mapping[int, Metric]:
    """The primary metric of every version that has it, in version order; not where it is by other targets."""
    comparable = (one for one in scored_versions(project) if one.receipt.other_targets is None)
    found = ((one.version.number, named(one.receipt.metrics, primary)) for one in comparable)
    return {number: metric for number, metric in found if metric is not None}


def cost(metric: Metric) -> float:
    """The value, or its negative where higher is better: what is best comes first when it is sorted by this."""
    return -metric.value if metric.higher_is_better else metric.value


def better(metric: Metric, than: Metric) -> bool:
    """Strictly better, in the metric's own direction."""
    return cost(metric) < cost(than)


def leaders(metrics: Mapping[int, Metric]) -> Mapping[int, int]:
    """For each version, which one was the best once it was scored; the earlier one of equals."""
    found: dict[int, int] = {}
    best: int | None = None
    for number, metric in metrics.items():
        best = number if best is None or better(metric, metrics[best]) else best
        found[number] = best
    return found


def best_of(metrics: Mapping[int, Metric]) -> int | None:
    """The version whose metric is best; the earlier one of equals. None for no versions."""
    return [*leaders(metrics).values()][-1] if metrics else None


def best_so_far(metrics: Mapping[int, Metric]) -> Mapping[int, float]:
    """What the best value was once each version was scored."""
    return {number: metrics[best].value for number, best in leaders(metrics).items()}


def best_version(project: Project, rules: Rules, *, before: int | None = None) -> Version | None:
    """The version with the best primary metric, or the best before version `before`; None if none has the metric."""
    metrics = primary_metrics(project, rules.file.eval_config.primary_metric)
    best = best_of({number: metric for number, metric in metrics.items() if before is None or number < before})
    return None if best is None else Version(project, best)
