"""Segmentation: outputs (C, H, W) and masks (H, W) a sample, as lists, since pictures may differ in size.

Predictions are masks of class numbers: they take the place of C times as many scores as soon as a batch was seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy
import torch
import torch.nn.functional as F
from torch import Tensor

from .kinds import (
    IGNORED,
    Compute,
    Family,
    Formula,
    by_name,
    class_numbers,
    mean_of,
    one_per_sample,
    ratio_of,
    same_count,
)
from .mask_losses import LOSSES

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false

Rows = list[Tensor]
VOID = 255  # the class of pixels that count for nothing, in 8-bit masks


def shaped(output: Any, target: Any) -> tuple[Rows, Rows]:
    """Lists of (C, H, W) scores, C being 1 where there is one of the foreground alone, and of (H, W) class numbers.

    From (N, C, H, W), (N, H, W) or lists with (N, H, W), (N, 1, H, W) or one-hot masks. Whole numbers of the target's
    size are masks already. A class below 0, or 255 where there are fewer classes, counts for nothing.
    """
    targets, outputs = one_per_sample(target, "the target"), one_per_sample(output, "the output")
    same_count(outputs, targets)
    pairs = [_pair(one, other) for one, other in zip(outputs, targets)]
    classes = {one.shape[0] for one, _ in pairs if one.is_floating_point()}
    if len(classes) > 1:
        raise ValueError("samples differ in their number of classes")
    if not classes:
        return [one for one, _ in pairs], [_void(other, None) for _, other in pairs]
    known = max(2, classes.pop())
    masks = [other for _, other in pairs]
    if known == 2 and _in_eight_bits(masks):
        masks = [other.clamp_max(1) for other in masks]
    masks = [_void(other, known) for other in masks]
    return [one.float() for one, _ in pairs], masks


def _pair(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    if target.dim() == 3 and target.shape == output.shape and target.shape[0] > 1:
        best = target.argmax(0)
        if not bool((target == F.one_hot(best, len(target)).permute(2, 0, 1)).all()):
            raise ValueError("a pixel of the target has several classes, or none: masks may not overlap here")
        target = best
    target = target.squeeze(0) if target.dim() == 3 else target
    if not output.is_floating_point() and output.dim() == 3 and output.shape[0] == 1:
        output = output.squeeze(0)
    if output.dim() == 2 and output.is_floating_point():
        output = output[None]
    if target.dim() != 2 or not target.numel() or output.dim() not in (2, 3) or output.shape[-2:] != target.shape:
        raise ValueError(
            f"a sample's output {tuple(output.shape)} and target {tuple(target.shape)} aren't scores (C, H, W) and a "
            "mask (H, W) of one size"
        )
    return output if output.is_floating_point() else output.long(), class_numbers(target)


def _in_eight_bits(masks: Rows) -> bool:
    """Whether a foreground is 255 and nothing is 1, as picture files have it."""
    return any(bool((one == VOID).any()) for one in masks) and all(
        bool(((one == 0) | (one == VOID)).all()) for one in masks
    )


def _void(mask: Tensor, classes: int | None) -> Tensor:
    none = (mask < 0) | (mask == VOID) if classes is None or classes <= VOID else mask < 0
    mask = mask.where(~none, torch.tensor(IGNORED))
    if classes is not None and int(mask.max()) >= classes:
        raise ValueError(f"a target's class {int(mask.max())} isn't in 0..{classes - 1}")
    return mask


def predicted(output: Rows, loss: str | None = None) -> Rows:
    """Masks of class numbers. One score a pixel is a probability where all are from 0 to 1, else a logit."""
    if not output[0].is_floating_point():
        return output
    if output[0].shape[0] > 1:
        return [_mask(*one.max(0), len(one)) for one in output]
    inside = all(bool(((one >= 0) & (one <= 1)).all()) for one in output)
    least = 0.5 if loss == "bce" or (loss != "bce_with_logits" and inside) else 0
    return [_mask(one[0], one[0] > least, 2) for one in output]


def _mask(scores: Tensor, classes: Tensor, known: int) -> Tensor:
    if bool(scores.isnan().any()):
        raise ValueError("a pixel's scores are NaN: it has no class")
    return classes.to(torch.uint8 if known <= VOID else torch.int16)


def answer(row: Tensor) -> dict[str, Any]:
    """A mask in few words: its size and how many pixels each class has."""
    classes, counts = row.unique(return_counts=True)
    pixels = {str(int(one)): int(count) for one, count in zip(classes, counts)}
    return {"size": list(row.shape), "pixels": pixels}


class Counts:
    """Pixels by sample and class, (N, K): `both` predicted and there, `said` predicted, `there`."""

    def __init__(self, predicted: Rows, target: Rows) -> None:
        known = max(2, 1 + max(max(int(one.max()) for one in values) for values in (predicted, target)))
        pairs = numpy.stack([_counted(one, other, known) for one, other in zip(predicted, target)])
        self.both, self.said, self.there = numpy.diagonal(pairs, 0, 1, 2), pairs.sum(1), pairs.sum(2)


def _counted(predicted: Tensor, target: Tensor, known: int) -> Any:
    """Pixels by what is there and what is predicted, (K, K)."""
    pairs = (target * known + predicted)[target >= 0] if bool((target < 0).any()) else target * known + predicted
    counts = torch.bincount(pairs.flatten(), minlength=known * known)
    return counts.reshape(known, known).numpy().astype(float)


def iou(both: Any, said: Any, there: Any) -> Any:
    """NaN where nothing is predicted and nothing is there."""
    union = said + there - both
    return numpy.divide(both, union, out=numpy.full_like(both, numpy.nan), where=union > 0)


def dice(both: Any, said: Any, there: Any) -> Any:
    total = said + there
    return numpy.divide(2 * both, total, out=numpy.full_like(both, numpy.nan), where=total > 0)


def overlaps(name: str, overlap: Callable[[Any, Any, Any], Any]) -> Iterator[Formula]:
    """What scripts call IoU or Dice. The first is torchmetrics' JaccardIndex: over all pixels of the set, the mean of
    the classes that are predicted or there, the background among them.
    """

    def over_set(first: int, last: int | None = None, mean: bool = True) -> Compute:
        def compute(predicted: Rows, target: Rows) -> float:
            found = Counts(predicted, target)
            parts = [part.sum(0)[first:last] for part in (found.both, found.said, found.there)]
            return _mean(overlap(*(parts if mean else [numpy.array([part.sum()]) for part in parts])))

        return compute

    def by_picture(predicted: Rows, target: Rows, first: int, last: int | None = None, there: bool = False) -> Any:
        """By picture and class, NaN where a class is absent (or isn't `there`)."""
        found = Counts(predicted, target)
        values = overlap(found.both[:, first:last], found.said[:, first:last], found.there[:, first:last])
        return numpy.where(found.there[:, first:last] > 0, values, numpy.nan) if there else values

    def per_image(first: int, last: int | None = None) -> Compute:
        """Each picture's mean over its classes; 1 where there is none, and none was predicted."""

        def each(predicted: Rows, target: Rows) -> Tensor:
            found = [row[~numpy.isnan(row)] for row in by_picture(predicted, target, first, last)]
            return torch.tensor([row.mean() if len(row) else 1.0 for row in found], dtype=torch.float64)

        return each

    def micro_per_image(predicted: Rows, target: Rows) -> Tensor:
        found = Counts(predicted, target)
        return torch.from_numpy(overlap(*(part.sum(1) for part in (found.both, found.said, found.there))))

    def per_image_where_there(first: int) -> Compute:
        """MONAI's: a picture without any of the classes is left out, and so is a class that was only predicted."""

        def compute(predicted: Rows, target: Rows) -> float:
            rows = by_picture(predicted, target, first, there=True)
            return _mean(numpy.array([row[~numpy.isnan(row)].mean() for row in rows if not numpy.isnan(row).all()]))

        return compute

    def pooled(first: int) -> Compute:
        """torchmetrics' MeanIoU: all pictures' classes in a row."""
        return lambda predicted, target: _mean(by_picture(predicted, target, first))

    def absent_is_one(predicted: Rows, target: Rows) -> float:
        """segmentation-models-pytorch's macro-imagewise: a class that is neither predicted nor there has 1."""
        return float(numpy.nan_to_num(by_picture(predicted, target, 0), nan=1.0).mean())

    yield Formula(name, over_set(0), True)
    yield Formula(f"{name}_binary", over_set(1, 2), True)
    yield Formula(f"{name}_without_background", over_set(1), True)
    yield Formula(f"{name}_micro", over_set(0, mean=False), True)
    yield mean_of(f"{name}_per_image", per_image(0), True)
    yield mean_of(f"{name}_binary_per_image", per_image(1, 2), True)
    yield mean_of(f"{name}_per_image_without_background", per_image(1), True)
    yield mean_of(f"{name}_micro_per_image", micro_per_image, True)
    yield Formula(f"{name}_per_image_absent_is_one", absent_is_one, True)
    for first, ending in ((0, ""), (1, "_without_background")):
        yield Formula(f"{name}_per_image_where_there{ending}", per_image_where_there(first), True)
        yield Formula(f"{name}_pooled{ending}", pooled(first), True)


def _mean(values: Any) -> float:
    """Of those that there are."""
    values = values[~numpy.isnan(values)]
    if not len(values):
        raise ValueError("no pixel counts, or no class but the background is predicted or there")
    return float(values.mean())


def right_pixels(predicted: Rows, target: Rows) -> dict[str, list[float]]:
    found = Counts(predicted, target)
    return {"errors": found.both.sum(1).tolist(), "length": found.there.sum(1).tolist()}


def per_class(of: str) -> Callable[[Any, Any], float]:
    """Recall (by `there`) or precision (by `said`): the mean over the classes that have a pixel of that kind."""

    def compute(predicted: Rows, target: Rows) -> float:
        found = Counts(predicted, target)
        both, by = found.both.sum(0), (found.there if of == "there" else found.said).sum(0)
        if not by.any():
            raise ValueError("no pixel counts")
        return float((both[by > 0] / by[by > 0]).mean())

    return compute


_METRICS = (
    *overlaps("iou", iou),
    *overlaps("dice", dice),
    ratio_of("accuracy", right_pixels, True),
    Formula("mean_accuracy", per_class("there"), True),
    Formula("recall", per_class("there"), True),
    Formula("precision", per_class("said"), True),
)
_KINDS = (
    *("", "_binary", "_without_background", "_per_image", "_binary_per_image", "_per_image_without_background"),
    *("_pooled", "_pooled_without_background", "_per_image_where_there", "_per_image_where_there_without_background"),
    *("_micro", "_micro_per_image", "_per_image_absent_is_one"),
)

SEGMENTATION = Family(
    "segmentation",
    shaped,
    predicted,
    answer,
    by_name(_METRICS),
    LOSSES,
    (
        *(tuple(f"{name}{kind}" for kind in _KINDS) for name in ("iou", "dice")),
        ("accuracy", "mean_accuracy"),
    ),
    # With one or two, whether 255 is the foreground, and scores are probabilities, is seen from all pictures together.
    apart=lambda output: output[0].is_floating_point() and len(output[0]) > 2,
)
