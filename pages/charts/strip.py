"""All versions in one thin line, and which of them are shown in full."""

from collections.abc import Mapping, Sequence

from ...loop.judge.best import best_so_far
from ...loop.project.receipts import Metric
from .scale import number, scale
from .shapes import Chart, Line, line

_MOST = 500


def strip_chart(metrics: Mapping[int, Metric], shown: Sequence[int], primary: str, width: int, height: int) -> Chart:
    """Each version's metric, the best so far, and a bar below the versions in `shown`; thinned where there are many."""
    versions = list(metrics)
    every = -(-len(versions) // _MOST)
    chosen = sorted({*versions[::every], versions[-1]})
    x = scale((versions[0], versions[-1]), 2, width - 2, pad=0)
    y = scale((metric.value for metric in metrics.values()), height - 10, 4)
    best = best_so_far(metrics)
    lines: list[Line] = [
        line(((x(cur), y(metrics[cur].value)) for cur in chosen), "faint"),
        line(((x(cur), y(best[cur])) for cur in chosen), "one"),
    ]
    if shown:
        lines.append(line(((x(shown[0]), height - 3), (x(shown[-1]), height - 3)), "shown"))
    return Chart(
        width=width,
        height=height,
        name=f"{primary} of all versions",
        told=f"{len(versions)} versions; best so far ends at {number(best[versions[-1]])}.",
        lines=tuple(lines),
    )
