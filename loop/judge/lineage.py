"""Each version as one point of a line: its primary metric, the interval of its gain, and what that gain is called."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..project.project import Project
from ..project.receipts import ActionReceipt, EvalReceipt, Metric
from ..project.version import Version
from ..store.paths import version_id
from .comparison import better, cost, named
from .labels import recorded
from .noise.thresholds import Label


@dataclass(frozen=True)
class Point:
    """`low` and `high` are the 95 % interval of the gain over the parent, laid at the parent's value.

    All three are in the metric's own unit and direction; None where they are not known. `change` is the one action that
    led here, empty for the first version.
    """

    version: int
    value: float | None
    low: float | None
    high: float | None
    label: Label | None
    change: str
    latency_ms: float | None

    @property
    def version_id(self) -> str:
        return version_id(self.version)


def primary_metrics(project: Project, primary: str) -> Mapping[int, Metric]:
    """The primary metric of every version that has it, in version order."""
    found: dict[int, Metric] = {}
    for cur in project.workspace.versions():
        receipt = Version(project, cur).receipt(EvalReceipt)
        metric = named(receipt.metrics, primary) if receipt else None
        if metric is not None:
            found[cur] = metric
    return found


def best_of(metrics: Mapping[int, Metric]) -> int | None:
    """The version whose metric is best; the earlier one of equals."""
    if not metrics:
        return None
    return min(metrics, key=lambda cur: (cost(metrics[cur]), cur))


def best_so_far(metrics: Mapping[int, Metric]) -> Mapping[int, float]:
    """What the best value was once each version was scored."""
    found: dict[int, float] = {}
    best: Metric | None = None
    for cur, metric in metrics.items():
        best = metric if best is None or better(metric, best) else best
        found[cur] = best.value
    return found


def points(project: Project, primary: str, metrics: Mapping[int, Metric], versions: Iterable[int]) -> tuple[Point, ...]:
    """The points of these versions; `metrics` are those of `primary_metrics`. Raises `ProjectError`."""
    return tuple(_point(project, primary, metrics, cur) for cur in versions)


def _point(project: Project, primary: str, metrics: Mapping[int, Metric], cur: int) -> Point:
    metric, parent = metrics.get(cur), metrics.get(cur - 1)
    action = Version(project, cur - 1).receipt(ActionReceipt) if cur > 1 else None
    scored = Version(project, cur).receipt(EvalReceipt)
    low = high = label = None
    if metric is not None and parent is not None:
        against = version_id(cur - 1)
        verdict = next((one for one in recorded(project, cur) if (one.metric, one.against) == (primary, against)), None)
        if verdict is not None and verdict.low is not None and verdict.high is not None:
            sign = 1 if metric.higher_is_better else -1
            low, high = sorted((parent.value + sign * verdict.low, parent.value + sign * verdict.high))
        label = verdict.label if verdict else None
    return Point(
        version=cur,
        value=metric.value if metric else None,
        low=low,
        high=high,
        label=label,
        change=action.change if action else "",
        latency_ms=scored.latency_ms if scored else None,
    )
