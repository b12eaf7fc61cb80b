"""What each version costs at inference, beside what it reaches."""

from collections.abc import Sequence

from ...loop.judge.lineage import Point
from ...loop.text import Say, english
from .scale import number, scale
from .shapes import Chart, Mark, Text, line

_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 72, 20, 46
_MOST_NAMES = 24


def latency_chart(
    points: Sequence[Point], primary: str, *, higher_is_better: bool, width: int, height: int, say: Say = english
) -> Chart:
    """Latency across, metric up; a filled mark where no other version is both quicker and better."""
    known = [(p, p.latency_ms, p.value) for p in points if p.latency_ms is not None and p.value is not None]
    x = scale([latency for _, latency, _ in known], _LEFT + 8, width - _RIGHT)
    y = scale([value for _, _, value in known], height - _BOTTOM - 4, _TOP)
    sign = 1 if higher_is_better else -1
    front = {
        point.version
        for point, latency, value in known
        if not any(
            other <= latency and sign * reached >= sign * value and (other, reached) != (latency, value)
            for _, other, reached in known
        )
    }
    marks = tuple(
        Mark(
            x(latency),
            y(value),
            "front" if point.version in front else "plain",
            f"{point.version_id}: {number(latency)} ms, {primary} {number(value)}",
        )
        for point, latency, value in known
    )
    named = [entry for entry in known if len(known) <= _MOST_NAMES or entry[0].version in front]
    base = height - _BOTTOM
    return Chart(
        width=width,
        height=height,
        name=say("{primary} against latency").format(primary=primary),
        told="; ".join(mark.told for mark in marks[:12]) or say("No version has a latency."),
        lines=(
            *(line(((_LEFT, place), (width - _RIGHT, place)), "grid") for place, _ in y.ticks()),
            line(((_LEFT, base), (width - _RIGHT, base)), "axis"),
        ),
        marks=marks,
        texts=(
            *(Text(_LEFT - 10, place + 4, told, "tick", "end") for place, told in y.ticks()),
            *(Text(place, base + 20, told, "tick", "middle") for place, told in x.ticks(7)),
            Text((_LEFT + width - _RIGHT) / 2, height - 6, "latency, ms a sample", "tick", "middle"),
            *(Text(x(latency) + 10, y(value) + 4, point.version_id, "name") for point, latency, value in named),
        ),
    )
