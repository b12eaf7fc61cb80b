"""Each version as one point of a line: its primary metric, the interval of its gain, and what that gain is called."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..project.project import Project
from ..project.receipts import ActionReceipt, EvalReceipt, Metric
from ..project.version import Version
from ..store.paths import version_id
from .labels import recorded
from .noise.thresholds import Label


@dataclass(frozen=True)
class Point:
    """`low` and `high` are the 95 % interval of the gain over the parent, laid at the parent's value.

    All three are in the metric's own unit and direction; None where they are not known. `change` is the one action that
    led here, empty for the first version. `called` is the label with its direction.
    """

    version: int
    value: float | None
    low: float | None
    high: float | None
    label: Label | None
    change: str
    latency_ms: float | None
    called: str = ""

    @property
    def version_id(self) -> str:
        return version_id(self.version)


def points(project: Project, primary: str, metrics: Mapping[int, Metric], versions: Iterable[int]) -> tuple[Point, ...]:
    """The points of these versions; `metrics` are those of `primary_metrics`. Raises `ProjectError`."""
    return tuple(_point(Version(project, number), primary, metrics) for number in versions)


def _point(version: Version, primary: str, metrics: Mapping[int, Metric]) -> Point:
    parent, scored = version.parent, version.receipt(EvalReceipt)
    action = parent.receipt(ActionReceipt) if parent else None
    metric, before = metrics.get(version.number), metrics.get(parent.number) if parent else None
    low = high = label = None
    called = ""
    if metric is not None and parent is not None and before is not None:
        of_primary = (one for one in recorded(version) if (one.metric, one.against) == (primary, parent.id))
        verdict = next(of_primary, None)
        if verdict is not None and verdict.low is not None and verdict.high is not None:
            sign = 1 if metric.higher_is_better else -1
            low, high = sorted((before.value + sign * verdict.low, before.value + sign * verdict.high))
        label, called = (verdict.label, verdict.called) if verdict else (None, "")
    return Point(
        version=version.number,
        value=metric.value if metric else None,
        low=low,
        high=high,
        label=label,
        called=called,
        change=action.change if action else "",
        latency_ms=scored.latency_ms if scored else None,
    )
