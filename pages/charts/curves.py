"""Learning curves of several versions in one chart."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ...loop.text import Say, english
from .scale import Scale, scale
from .shapes import Chart, LineKind, Text, line
from .shapes import Line as Polyline

_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 100, 20, 44
_APART = 15


@dataclass(frozen=True)
class Curve:
    """One version's losses by epoch; `strong` for the one to look at, whose training loss is drawn too."""

    name: str
    epochs: Sequence[int]
    train: Sequence[float | None]
    val: Sequence[float | None]
    strong: bool = False


def curves_chart(curves: Sequence[Curve], width: int, height: int, say: Say = english) -> Chart:
    """Validation loss by epoch, one line a version, named at its end."""
    drawn = [(curve, _points(curve.epochs, curve.val)) for curve in curves]
    trained = [(curve, _points(curve.epochs, curve.train)) for curve in curves if curve.strong]
    everything = [point for _, points in (*drawn, *trained) for point in points]
    x = scale([epoch for epoch, _ in everything], _LEFT + 8, width - _RIGHT, pad=0.0 if everything else 0.08)
    y = scale([loss for _, loss in everything], height - _BOTTOM, _TOP)
    return Chart(
        width=width,
        height=height,
        name=say("Validation loss by epoch"),
        told=_sentence(curves, say),
        lines=(*_frame(x, y, width, height), *_lines(drawn, trained, x, y)),
        texts=(
            *(Text(_LEFT - 10, place + 4, told, "tick", "end") for place, told in y.ticks()),
            *(Text(place, height - _BOTTOM + 20, told, "tick", "middle") for place, told in x.ticks(10, whole=True)),
            Text((_LEFT + width - _RIGHT) / 2, height - 6, "epoch", "tick", "middle"),
            *_ends(drawn, trained, x, y, height - _BOTTOM - 4),
        ),
    )


def _points(epochs: Sequence[int], values: Sequence[float | None]) -> list[tuple[float, float]]:
    pairs = zip(epochs, values, strict=False)
    return [(epoch, value) for epoch, value in pairs if value is not None and math.isfinite(value)]


def _frame(x: Scale, y: Scale, width: int, height: int) -> Iterator[Polyline]:
    for place, _ in y.ticks():
        yield line(((_LEFT, place), (width - _RIGHT, place)), "grid")
    yield line(((_LEFT, height - _BOTTOM), (width - _RIGHT, height - _BOTTOM)), "axis")


_Drawn = Sequence[tuple[Curve, list[tuple[float, float]]]]


def _lines(drawn: _Drawn, trained: _Drawn, x: Scale, y: Scale) -> Iterator[Polyline]:
    for curve, points in sorted(drawn, key=lambda pair: pair[0].strong):
        kind: LineKind = "one" if curve.strong else "faint"
        yield line(((x(epoch), y(loss)) for epoch, loss in points), kind)
    for _, points in trained:
        yield line(((x(epoch), y(loss)) for epoch, loss in points), "dashed")


def _ends(drawn: _Drawn, trained: _Drawn, x: Scale, y: Scale, lowest: float) -> Iterator[Text]:
    """Each line's name at its end, moved apart where they would lie on each other."""
    ends = [(y(points[-1][1]), x(points[-1][0]), curve.name, curve.strong) for curve, points in drawn if points]
    ends += [(y(points[-1][1]), x(points[-1][0]), f"{curve.name} train", True) for curve, points in trained if points]
    ends.sort()
    places = [place for place, *_ in ends]
    for number in range(1, len(places)):
        places[number] = max(places[number], places[number - 1] + _APART)
    for number in reversed(range(len(places))):
        below = places[number + 1] - _APART if number + 1 < len(places) else lowest
        places[number] = min(places[number], below)
    for place, (_, across, name, strong) in zip(places, ends, strict=True):
        yield Text(across + 8, round(place + 4, 1), name, "value" if strong else "tick")


def _sentence(curves: Sequence[Curve], say: Say) -> str:
    end = say("{version} ends at {value}")
    parts = [
        end.format(version=curve.name, value=f"{points[-1][1]:.4g}")
        for curve in curves
        if (points := _points(curve.epochs, curve.val))
    ]
    if not parts:
        return say("No version has a validation loss.")
    return say("Validation loss: {ends}.").format(ends=", ".join(parts))
