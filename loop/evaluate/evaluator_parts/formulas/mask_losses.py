"""Losses of segmentation, on scores (C, H, W) and masks (H, W) a sample; C is 1 for the foreground's alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .kinds import IGNORED, Compute, Formula, Terms, as_log_probabilities, as_probabilities, by_name, mean_of, ratio_of

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false

Rows = list[Tensor]
Pixels = Callable[[Tensor, Tensor], Tensor]  # of scores (C, P) or (P,) and classes (P,), a loss a pixel


def cross_entropy(output: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(output[None], target[None], reduction="none")[0]


def log_probabilities(output: Tensor, target: Tensor) -> Tensor:
    return F.nll_loss(as_log_probabilities(output)[None], target[None], reduction="none")[0]


def bce_with_logits(output: Tensor, target: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(output, target.float(), reduction="none")


def bce(output: Tensor, target: Tensor) -> Tensor:
    return F.binary_cross_entropy(as_probabilities(output).clamp(0, 1), target.float(), reduction="none")


def counted(output: Tensor, target: Tensor, classes: bool) -> tuple[Tensor, Tensor]:
    """The pixels that count: scores (C, P), or (P,) where there is one score a pixel."""
    if not output.is_floating_point() or (output.shape[0] > 1) != classes:
        raise ValueError(f"this loss isn't one of outputs {tuple(output.shape)}")
    kept = target != IGNORED
    if bool(kept.all()):
        return output.flatten(1) if classes else output[0].flatten(), target.flatten()
    return output[:, kept] if classes else output[0, kept], target[kept]


def over_pixels(value: Pixels, classes: bool) -> Terms:
    """Each picture's sum over its pixels, and their number: torch's mean is over the pixels of a batch."""

    def terms(output: Rows, target: Rows) -> dict[str, list[float]]:
        parts = [value(*counted(one, other, classes)) for one, other in zip(output, target)]
        return {"errors": [float(part.double().sum()) for part in parts], "length": [len(part) for part in parts]}

    return terms


def by_picture(value: Pixels, classes: bool) -> Compute:
    """Each picture's mean over its pixels."""

    def each(output: Rows, target: Rows) -> Tensor:
        return torch.stack([value(*counted(one, other, classes)).mean() for one, other in zip(output, target)])

    return each


def overlap(output: Tensor, target: Tensor, logits: bool) -> tuple[Tensor, Tensor]:
    """Soft intersection and total by class, (C,): of the foreground alone where there is one score a pixel."""
    scores, classes = counted(output, target, output.shape[0] > 1)
    if scores.dim() == 1:
        chosen, there = (scores.sigmoid() if logits else scores)[None], classes[None].float()
    else:
        chosen = scores.softmax(0) if logits else scores
        there = F.one_hot(classes, len(scores)).T.float()
    return (chosen * there).sum(1), (chosen + there).sum(1)


def dice_by_picture(smooth: float, logits: bool = True, first: int = 0) -> Compute:
    def each(output: Rows, target: Rows) -> Tensor:
        found = []
        for one, other in zip(output, target):
            both, total = overlap(one, other, logits)
            found.append(1 - ((2 * both + smooth) / (total + smooth))[min(first, len(both) - 1) :].mean())
        return torch.stack(found)

    return each


def dice_over_batch(smooth: float, logits: bool = True) -> Compute:
    """The pixels of all pictures as those of one, as segmentation-models-pytorch has it."""

    def compute(output: Rows, target: Rows) -> Tensor:
        parts = [overlap(one, other, logits) for one, other in zip(output, target)]
        both, total = (torch.stack(part).sum(0) for part in zip(*parts))
        return (1 - (2 * both + smooth) / (total + smooth).clamp_min(1e-7)).mean()

    return compute


def both_of(first: Compute, second: Compute) -> Compute:
    return lambda output, target: first(output, target) + second(output, target)


_SMOOTH = 1.0
_DICE = dice_by_picture(_SMOOTH)


def _whole(name: str, compute: Compute) -> Formula:
    return Formula(name, compute, False)


def _mean(compute: Compute, smooth: float) -> Compute:
    """A loss of pixels beside Dice over the batch."""
    batch = dice_over_batch(smooth)
    return lambda output, target: compute(output, target) + float(batch(output, target))


_CROSS, _BCE = ratio_of("cross_entropy", over_pixels(cross_entropy, True)), over_pixels(bce_with_logits, False)
_LOGITS = ratio_of("bce_with_logits", _BCE)
_ALL: tuple[Any, ...] = (
    _CROSS,
    ratio_of("nll of log-probabilities", over_pixels(log_probabilities, True)),
    _LOGITS,
    ratio_of("bce", over_pixels(bce, False)),
    mean_of("dice", _DICE),
    mean_of("dice, smoothed by 0.00001", dice_by_picture(1e-5)),
    mean_of("dice of probabilities", dice_by_picture(_SMOOTH, logits=False)),
    mean_of("dice without background", dice_by_picture(1e-5, first=1)),
    _whole("dice over the batch", dice_over_batch(0)),
    _whole("dice over the batch, smoothed by 1", dice_over_batch(_SMOOTH)),
    mean_of("cross_entropy + dice", both_of(by_picture(cross_entropy, True), _DICE)),
    mean_of("bce_with_logits + dice", both_of(by_picture(bce_with_logits, False), _DICE)),
    _whole("cross_entropy + dice over the batch", _mean(_CROSS.compute, 0)),
    _whole("bce_with_logits + dice over the batch", _mean(_LOGITS.compute, 0)),
    _whole("bce_with_logits + dice over the batch, smoothed by 1", _mean(_LOGITS.compute, _SMOOTH)),
)
LOSSES = by_name(_ALL)
