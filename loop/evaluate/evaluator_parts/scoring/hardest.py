"""The samples that a version errs on most: what went in, and pictures of them and of all errors together."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy

from ..canvas import GREY, PREDICTED, TRUE, box, enlarged, in_colour, line, number, write_png
from ..pictures import as_arrays, picture_in
from .measure import MetricRow, Request
from .output import inputs_of, plain, raw_input, whole, write_json
from .walk import Scored

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeArgument=false, reportUnknownLambdaType=false
# What the script and torch hand over has no type here.

MOST = 8
_ACROSS, _TILE, _EDGE, _LABEL = 4, 96, 6, 14
_MOST_VALUES, _MOST_CHARACTERS, _MOST_POINTS = 40, 300, 5_000


def chosen(rows: list[MetricRow], count: int) -> list[int]:
    """The worst samples by the metrics that have a value for each, in their order, and by the loss among equals."""
    costs = []
    for row in sorted(rows, key=lambda one: one.name == "loss"):
        own, errors = row.by_sample.get(row.name), row.by_sample.get(f"{row.name}_errors")
        if own is not None:
            costs.append([-value if row.higher_is_better else value for value in own])
        elif errors is not None:
            costs.append(errors)
    order = sorted(range(count), key=lambda index: tuple(-values[index] for values in costs))
    return order[:MOST] if costs else []


def write(out: Path, scored: Scored, found: dict[int, Request], answers: list[Any]) -> None:
    """hardest.json: the input of each as far as it can be said; hardest.png and errors.png, where there is a picture.

    Tile n of hardest.png is entry n.
    """
    if not found:
        return
    inputs = [_input(scored, request.batch) for request in found.values()]
    said = [{"id": scored.ids[index], "input": said_of(one)} for index, one in zip(found, inputs)]
    write_json(out / "hardest.json", said)
    pictures = [picture_in([one]) for one in inputs]
    if all(picture is not None for picture in pictures):
        write_png(out / "hardest.png", _sheet(pictures))
    pairs = [(plain(target), answer) for target, answer in zip(scored.targets, answers)]
    if all(isinstance(one, float) and math.isfinite(one) for pair in pairs for one in pair):
        write_png(out / "errors.png", _scatter(numpy.asarray(pairs[:: 1 + len(pairs) // _MOST_POINTS])))


def _input(scored: Scored, batch: Any) -> Any:
    seen = list(map(whole, inputs_of(batch, scored.how))) if scored.members else raw_input(batch, scored.how)
    return as_arrays(seen)


def said_of(value: Any) -> Any:
    """A text, a few numbers, or what kind of array it is."""
    if isinstance(value, str):
        return value if len(value) <= _MOST_CHARACTERS else value[:_MOST_CHARACTERS] + "…"
    if isinstance(value, numpy.ndarray):
        if value.size > _MOST_VALUES or value.dtype.kind not in "fiub":
            return f"{value.dtype} {list(value.shape)}"
        # No JSON knows NaN, which a feature may well be.
        return [float(f"{one:.4g}") if math.isfinite(one) else str(one) for one in value.ravel().tolist()]
    if isinstance(value, dict):
        return {str(key): said_of(one) for key, one in list(value.items())[:_MOST_VALUES]}
    if isinstance(value, (list, tuple)):
        return [said_of(one) for one in value[:_MOST_VALUES]]
    return value if isinstance(value, (int, bool)) else str(value)[:_MOST_CHARACTERS]


def _sheet(pictures: list[Any]) -> Any:
    """The pictures in rows, each with its number below."""
    rows = -(-len(pictures) // _ACROSS)
    high = _TILE + _LABEL + _EDGE
    sheet = numpy.full((rows * high, min(len(pictures), _ACROSS) * (_TILE + _EDGE), 3), 255, dtype="uint8")
    for place, picture in enumerate(pictures):
        top, left = place // _ACROSS * high, place % _ACROSS * (_TILE + _EDGE)
        step = -(-max(picture.shape[:2]) // _TILE)
        tile = in_colour(enlarged(picture[::step, ::step], _TILE // max(picture[::step, ::step].shape[:2])))
        sheet[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
        number(sheet, left, top + _TILE + 2, place + 1)
    return sheet


def _scatter(pairs: Any) -> Any:
    """Predictions over targets, (n, 2), with the line on which both are the same."""
    width, height, left, edge = 420, 300, 60, 10
    picture = numpy.full((height, width, 3), 255, dtype="uint8")
    low, high = float(pairs.min()), float(pairs.max())
    number(picture, 2, edge, high)
    number(picture, 2, height - edge - 10, low)
    box(picture, (left - 4, 2, width - 4, height - 4), GREY)
    share = (pairs - low) / ((high - low) or 1)
    columns = (left + share[:, 0] * (width - left - edge)).astype(int)
    lines = (height - edge - share[:, 1] * (height - 2 * edge)).astype(int)
    line(picture, (left, height - edge), (width - edge, edge), TRUE)
    for right, down in ((0, 0), (1, 0), (0, 1), (1, 1)):
        picture[lines + down, columns + right] = PREDICTED
    return picture
