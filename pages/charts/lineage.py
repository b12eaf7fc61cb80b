"""The primary metric by version: the interval of each gain, its label, and the action that led there."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ...loop.judge.lineage import Point
from ...loop.store.paths import version_id
from ...loop.text import Say, english
from .scale import Scale, number, scale
from .shapes import Chart, LineKind, Mark, MarkKind, Text, line
from .shapes import Line as Polyline

_LEFT, _RIGHT, _TOP = 60, 16, 28
# How wide a version's column must be for what stands in it.
_VALUE, _LABEL, _CAPTION = 52, 88, 132
_CAPTION_LINES = 4


@dataclass(frozen=True)
class LineageInput:
    """`points` are the ones to show; `best_so_far` may know more versions. `href` of a version leads to its page."""

    points: Sequence[Point]
    best_so_far: Mapping[int, float]
    best: int | None
    primary: str
    linked: bool = False


def lineage_chart(shown: LineageInput, width: int, height: int, say: Say = english) -> Chart:
    """The chart; versions without the metric have a cross at the bottom."""
    column = (width - _LEFT - _RIGHT) / max(1, len(shown.points))
    captions = {point.version: _caption(point, column) for point in shown.points if column >= _CAPTION}
    bottom = height - 28 - 15 * max((len(lines) for lines in captions.values()), default=0)
    y = _values_scale(shown.points, bottom)
    x = {point.version: _LEFT + column * (place + 0.5) for place, point in enumerate(shown.points)}
    scored = [point for point in shown.points if point.value is not None]
    lines = [
        *_frame(y, width, bottom),
        *_best_lines(shown, x, y),
        line(((x[point.version], y(point.value)) for point in scored if point.value is not None), "line"),
        *(bar for point in scored if (bar := _bar(point, x[point.version], y))),
    ]
    return Chart(
        width=width,
        height=height,
        name=say("{primary} by version").format(primary=shown.primary),
        told=_sentence(shown, scored, say),
        lines=tuple(lines),
        marks=tuple(_mark(shown, point, x[point.version], y, bottom, say) for point in shown.points),
        texts=(
            *(Text(_LEFT - 10, place + 4, told, "tick", "end") for place, told in y.ticks()),
            *_names(shown.points, x, column, bottom),
            *(text for point in scored for text in _values(shown, point, x[point.version], y, column)),
            *(
                Text(round(x[version], 1), bottom + 36 + 15 * place, text, "caption", "middle")
                for version, lines in captions.items()
                for place, text in enumerate(lines)
            ),
        ),
    )


def _values_scale(points: Sequence[Point], bottom: float) -> Scale:
    values = [point.value for point in points if point.value is not None]
    span = (max(values) - min(values)) if values else 0
    ends = [end for point in points for end in (point.low, point.high) if end is not None]
    if span:  # an interval that is far wider than all differences must not flatten them
        ends = [min(max(end, min(values) - span), max(values) + span) for end in ends]
    return scale([*values, *ends], bottom - 8, _TOP)


def _frame(y: Scale, width: int, bottom: float) -> Iterator[Polyline]:
    for place, _ in y.ticks():
        yield line(((_LEFT, place), (width - _RIGHT, place)), "grid")
    yield line(((_LEFT, bottom), (width - _RIGHT, bottom)), "axis")


def _best_lines(shown: LineageInput, x: Mapping[int, float], y: Scale) -> Iterator[Polyline]:
    """The best so far, as steps, where some version fell short of it."""
    if all(point.value in (None, shown.best_so_far.get(point.version)) for point in shown.points):
        return
    steps: list[tuple[float, float]] = []
    for point in shown.points:
        if (best := shown.best_so_far.get(point.version)) is not None:
            place = x[point.version]
            if steps:
                steps.append((place, steps[-1][1]))
            steps.append((place, y(best)))
    if len(steps) > 1:
        yield line(steps, "best")


def _bar(point: Point, x: float, y: Scale) -> Polyline | None:
    if point.low is None or point.high is None:
        return None
    kinds: Mapping[str | None, LineKind] = {"significant": "bar-significant", "suggestive": "bar-suggestive"}
    return line(((x, y(point.low)), (x, y(point.high))), kinds.get(point.label, "bar"))


def _mark(shown: LineageInput, point: Point, x: float, y: Scale, bottom: float, say: Say) -> Mark:
    kind: MarkKind = point.label or ("first" if point.version == 1 else "plain")
    href = f"/versions/{point.version}" if shown.linked else None
    if point.value is None:
        told = say("{version}: no score").format(version=point.version_id)
        return Mark(round(x, 1), bottom - 10, "unscored", told, href)
    gain = say(", gain over its parent: {label}").format(label=point.called) if point.label else ""
    best = say(", the best") if point.version == shown.best else ""
    told = f"{point.version_id}: {shown.primary} {number(point.value)}{gain}{best}"
    return Mark(round(x, 1), y(point.value), kind, told, href, ringed=point.version == shown.best)


def _names(points: Sequence[Point], x: Mapping[int, float], column: float, bottom: float) -> Iterator[Text]:
    every = max(1, -(-44 // int(column or 1))) if column < 44 else 1
    for place, point in enumerate(points):
        if place % every == 0:
            yield Text(round(x[point.version], 1), bottom + 18, point.version_id, "name", "middle")


def _values(shown: LineageInput, point: Point, x: float, y: Scale, column: float) -> Iterator[Text]:
    """Beside the mark, away from the line that leads on."""
    assert point.value is not None, "only scored points have a value"
    place = y(point.value)
    if column >= _LABEL:
        yield Text(round(x + 11, 1), place - 7, number(point.value), "value")
        if point.label:
            yield Text(round(x + 11, 1), place + 17, point.called, point.label)
    elif column >= _VALUE:
        yield Text(round(x, 1), place - 16, number(point.value), "value", "middle")


def _caption(point: Point, column: float) -> list[str]:
    """What led to the version, in a few short lines."""
    words = " ".join((point.change or ("the baseline under the user's rules" if point.version == 1 else "")).split())
    return textwrap.wrap(words, max(16, int(column / 6.5)), max_lines=_CAPTION_LINES, placeholder=" …")


def _sentence(shown: LineageInput, scored: Sequence[Point], say: Say) -> str:
    if not scored:
        return say("No version has a {primary} yet.").format(primary=shown.primary)
    first, last = scored[0], scored[-1]
    assert first.value is not None and last.value is not None, "scored"
    told = say("{first} has {primary} {value}, {last} {last_value}").format(
        first=first.version_id,
        primary=shown.primary,
        value=number(first.value),
        last=last.version_id,
        last_value=number(last.value),
    )
    best = say("; best: {best}").format(best=version_id(shown.best)) if shown.best else ""
    return f"{told}{best}."
