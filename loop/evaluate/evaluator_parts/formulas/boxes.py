"""Detection: boxes with scores and labels for each picture, and COCO's mean average precision of them.

By hand, since torchmetrics needs torchvision and pycocotools for it. All sizes of boxes count, and no crowds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy

from .kinds import Family, Formula, by_name, same_count, tensor_of

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false

OVERLAPS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
RECALLS = numpy.linspace(0, 1, 101)
MOST = 100  # boxes of a picture and a class that count, those of the best scores


class Boxes(NamedTuple):
    """Of one picture: corners (n, 4) as x1, y1, x2, y2, class numbers (n,), and scores (n,) of predictions."""

    corners: Any
    labels: Any
    scores: Any


def shaped(output: Any, target: Any) -> tuple[list[Boxes], list[Boxes]]:
    """From lists of dicts of `boxes`, `labels` (or `class_labels`) and, of outputs, `scores`."""
    for what, values in (("outputs", output), ("targets", target)):
        if not isinstance(values, (list, tuple)):
            raise ValueError(f"{what} aren't a list of dicts with boxes and labels, but {type(values).__name__}")
    same_count(output, target)
    return [_boxes(one, "an output", True) for one in output], [_boxes(one, "a target", False) for one in target]


def _boxes(value: Any, what: str, scored: bool) -> Boxes:
    if isinstance(value, Boxes):
        return value
    labels = "labels" if not isinstance(value, Mapping) or "labels" in value else "class_labels"
    keys = ("boxes", labels, *(("scores",) if scored else ()))
    if not isinstance(value, Mapping) or any(key not in value for key in keys):
        raise ValueError(f"{what} is no dict with {', '.join(keys)}")
    parts = [tensor_of(value[key], f"{key} of {what}").double().numpy() for key in keys]
    corners, labels = parts[0].reshape(-1, 4), parts[1].reshape(-1).astype(int)
    scores = parts[2].reshape(-1) if scored else numpy.ones(len(labels))
    if not len(corners) == len(labels) == len(scores):
        raise ValueError(f"{what} has {len(corners)} boxes, {len(labels)} labels and {len(scores)} scores")
    if numpy.isnan(corners).any() or numpy.isnan(scores).any():
        raise ValueError(f"{what} has boxes or scores that are no number")
    return Boxes(corners, labels, scores)


def answer(row: Boxes) -> list[dict[str, Any]]:
    """The ten boxes of the best scores."""
    best = numpy.argsort(-row.scores, kind="stable")[:10]
    return [
        {"box": row.corners[one].round(2).tolist(), "label": int(row.labels[one]), "score": float(row.scores[one])}
        for one in best
    ]


def overlap(first: Any, second: Any) -> Any:
    """Intersection over union of every box of the one and of the other, (n, m)."""
    low = numpy.maximum(first[:, None, :2], second[None, :, :2])
    high = numpy.minimum(first[:, None, 2:], second[None, :, 2:])
    both = (high - low).clip(0).prod(2)
    areas = [(each[:, 2:] - each[:, :2]).prod(1) for each in (first, second)]
    union = areas[0][:, None] + areas[1][None] - both
    return numpy.divide(both, union, out=numpy.zeros_like(both), where=union > 0)


def matched(overlaps: Any, least: float) -> Any:
    """Which predictions, the best score first, find a box of their own: that of the largest overlap left."""
    found = numpy.zeros(len(overlaps), dtype=bool)
    left = numpy.ones(overlaps.shape[1], dtype=bool)
    for row, values in enumerate(overlaps):
        fits = left & (values >= min(least, 1 - 1e-10))
        if fits.any():
            candidates = numpy.where(fits, values, -1)
            # Of equal overlaps the last one, as pycocotools has it.
            left[len(values) - 1 - int(candidates[::-1].argmax())] = False
            found[row] = True
    return found


class Curve(NamedTuple):
    precision: float  # the mean over 101 recalls
    recall: float


def curves(predicted: Sequence[Boxes], target: Sequence[Boxes], label: int) -> list[Curve]:
    """Of one class, by how much a box has to overlap."""
    scores: list[Any] = []
    found: list[list[Any]] = [[] for _ in OVERLAPS]
    for one, other in zip(predicted, target):
        chosen = numpy.flatnonzero(one.labels == label)
        chosen = chosen[numpy.argsort(-one.scores[chosen], kind="stable")][:MOST]
        overlaps = overlap(one.corners[chosen], other.corners[other.labels == label])
        scores.append(one.scores[chosen])
        for place, least in enumerate(OVERLAPS):
            found[place].append(matched(overlaps, least))
    there = sum(int((other.labels == label).sum()) for other in target)
    order = numpy.argsort(-numpy.concatenate(scores), kind="stable")
    return [_curve(numpy.concatenate(hits)[order], there) for hits in found]


def _curve(hits: Any, there: int) -> Curve:
    if not len(hits):
        return Curve(0.0, 0.0)
    right = hits.cumsum()
    recall, precision = right / there, right / numpy.arange(1, len(hits) + 1)
    precision = numpy.maximum.accumulate(precision[::-1])[::-1]
    places = numpy.searchsorted(recall, RECALLS, side="left")
    values = numpy.where(places < len(hits), precision[places.clip(max=len(hits) - 1)], 0.0)
    return Curve(float(values.mean()), float(recall[-1]))


#: Corners of boxes that are written in another way, (n, 4).
WRITTEN: dict[str, Callable[[Any], Any]] = {
    "": lambda boxes: boxes,
    "_xywh": lambda boxes: numpy.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1),
    "_cxcywh": lambda boxes: numpy.concatenate(
        [boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], axis=1
    ),
}


def over_classes(name: str, of: str, overlaps: Sequence[float], written: str) -> Formula:
    """The mean over the classes that are there."""
    places = [OVERLAPS.index(one) for one in overlaps]

    def compute(predicted: Sequence[Boxes], target: Sequence[Boxes]) -> float:
        predicted, target = (
            [one._replace(corners=WRITTEN[written](one.corners)) for one in each] for each in (predicted, target)
        )
        labels = sorted({int(label) for one in target for label in one.labels})
        if not labels:
            raise ValueError("no picture has a box to be found")
        found = [curves(predicted, target, label) for label in labels]
        return float(numpy.mean([getattr(by[place], of) for by in found for place in places]))

    return Formula(f"{name}{written}", compute, True)


_METRICS = (
    *(("map", "precision", OVERLAPS), ("map_50", "precision", (0.5,)), ("map_75", "precision", (0.75,))),
    ("mar_100", "recall", OVERLAPS),
)


def _same(output: list[Boxes], loss: str | None = None) -> list[Boxes]:
    return output


DETECTION = Family(
    "detection",
    shaped,
    _same,
    answer,
    by_name(over_classes(*one, written) for written in WRITTEN for one in _METRICS),
    {},
    (
        ("map", "map_xywh", "map_cxcywh", "map_50", "map_50_xywh", "map_50_cxcywh"),
        *(tuple(f"{name}{written}" for written in WRITTEN) for name, *_ in _METRICS[1:]),
    ),
)
