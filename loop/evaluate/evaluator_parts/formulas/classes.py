"""Classification: outputs (N, C) or, with two classes, (N,); targets (N,) class numbers; predictions probabilities.

Averages are over classes, also with two of them, so that a version that changes from one output to two doesn't change
what its score means. A script's own F1 may be that of class 1 alone: `f1_binary`, and so with the others.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
import torchmetrics.functional.classification as tmc
from torch import Tensor

from .kinds import (
    Family,
    Formula,
    are_probabilities,
    as_log_probabilities,
    as_probabilities,
    by_name,
    class_numbers,
    mean_of,
    or_nan,
    tensor_of,
)

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false

TOPS = (2, 3, 5, 10)


def rows(output: Tensor, count: int) -> Tensor:
    """The output with `count` rows, (count,) or (count, …)."""
    if count == 1 and (not output.dim() or len(output) != 1):  # squeezed by the model
        output = output.reshape(1, -1)
    if not output.dim() or len(output) != count:
        raise ValueError(f"outputs {tuple(output.shape)} don't have one row for each of {count} targets")
    return output.reshape(count) if output.numel() == count else output


def shaped(output: Any, target: Any) -> tuple[Tensor, Tensor]:
    """Outputs as (N,) or (N, C), targets as class numbers (N,); also from one-hot rows, and from -1 and 1."""
    output, target = tensor_of(output, "the output").float(), tensor_of(target, "the target")
    target = target if target.dim() else target.reshape(1)
    count = len(target)
    if not count:
        raise ValueError("there are no samples")
    output = rows(output, count)
    if output.dim() > 2 and output.shape[1] == output[0].numel():  # (N, C, 1, 1)
        output = output.flatten(1)
    if output.dim() == 2 and target.shape == output.shape:
        classes = target.argmax(1)
        target = classes if bool((target == F.one_hot(classes, target.shape[1])).all()) else target
    if output.dim() == 1 and target.numel() == count and bool((target.abs() == 1).all()) and bool((target < 0).any()):
        target = target.clamp_min(0)
    classes = 2 if output.dim() == 1 else output.shape[1]
    fits = output.dim() <= 2 and target.numel() == count and bool((target == target.long()).all())
    if not fits or int(target.min()) < 0 or int(target.max()) >= classes:
        raise ValueError(
            f"outputs {tuple(output.shape)} and targets {tuple(target.shape)} aren't those of a classifier with one "
            f"class number in 0..{classes - 1} a sample"
        )
    return output, class_numbers(target).reshape(count)


def predicted(output: Tensor, loss: str | None = None) -> Tensor:
    """(N, C) probabilities."""
    if output.dim() == 1:
        inside = bool(((output >= 0) & (output <= 1)).all())
        positive = output if loss == "bce" or (loss != "bce_with_logits" and inside) else output.sigmoid()
        return torch.stack((1 - positive, positive), dim=1)
    return output if are_probabilities(output) else output.softmax(1)


def hit(predicted: Tensor, target: Tensor) -> Tensor:
    return (predicted.argmax(1) == target).long()


def top(k: int) -> Formula:
    def each(predicted: Tensor, target: Tensor) -> Tensor:
        best = predicted.topk(min(k, predicted.shape[1]), dim=1).indices
        return (best == target[:, None]).any(1).long()

    name = f"top{k}_accuracy"
    return Formula(name, or_nan(lambda predicted, target: each(predicted, target).double().mean()), True, each)


def over_classes(name: str, function: Callable[..., Tensor], *, each: Any = None, **options: Any) -> Formula:
    """A multiclass metric of torchmetrics on (N, C) probabilities; two classes are no special case."""

    def compute(predicted: Tensor, target: Tensor) -> Tensor:
        return function(predicted, target, num_classes=predicted.shape[1], **options)

    return Formula(name, or_nan(compute), True, each)


def of_class_one(name: str, function: Callable[..., Tensor]) -> Formula:
    """A binary metric of torchmetrics: class 1 is what is looked for, from a probability above 0.5."""

    def compute(predicted: Tensor, target: Tensor) -> Tensor:
        if predicted.shape[1] != 2:
            raise ValueError(f"{name} is for two classes, and there are {predicted.shape[1]}")
        return function(predicted[:, 1], target)

    return Formula(name, or_nan(compute), True)


def averaged(
    name: str, multiclass: Callable[..., Tensor], binary: Callable[..., Tensor], micro: Any = None
) -> Iterator[Formula]:
    """`micro` gives one value a sample where the mean over samples is one of them."""
    yield over_classes(name, multiclass, average="macro")
    yield of_class_one(f"{name}_binary", binary)
    yield over_classes(f"{name}_macro", multiclass, average="macro")
    yield over_classes(f"{name}_weighted", multiclass, average="weighted")
    yield over_classes(f"{name}_micro", multiclass, average="micro", each=micro)


def needs(dims: int, formula: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """A loss of outputs with so many dimensions, and of no others."""

    def each(output: Tensor, target: Tensor) -> Tensor:
        if output.dim() != dims:
            raise ValueError(f"this loss is for outputs {'(N, C)' if dims == 2 else '(N,)'}, not {tuple(output.shape)}")
        return formula(output, target if dims == 2 else target.float())

    return each


def against_one_hot(output: Tensor, target: Tensor) -> Tensor:
    """Each class on its own, as where targets are one-hot rows."""
    rows = F.one_hot(target, output.shape[1]).float()
    return F.binary_cross_entropy_with_logits(output, rows, reduction="none").mean(1)


def focal(output: Tensor, target: Tensor) -> Tensor:
    """Lin et al. with gamma 2 and no weights: (1 - p)² of the cross entropy."""
    losses = F.cross_entropy(output, target, reduction="none")
    return (1 - (-losses).exp()).square() * losses


def binary_focal(output: Tensor, target: Tensor) -> Tensor:
    """torchvision's `sigmoid_focal_loss`: gamma 2, alpha 0.25."""
    losses = F.binary_cross_entropy_with_logits(output, target, reduction="none")
    alpha = 0.25 * target + 0.75 * (1 - target)
    return alpha * (1 - (-losses).exp()).square() * losses


_smoothed = functools.partial(F.cross_entropy, reduction="none", label_smoothing=0.1)
_LOSSES: tuple[tuple[str, int, Callable[[Tensor, Tensor], Tensor]], ...] = (
    ("cross_entropy", 2, lambda output, target: F.cross_entropy(output, target, reduction="none")),
    (
        "nll of log-probabilities",
        2,
        lambda output, target: F.nll_loss(as_log_probabilities(output), target, reduction="none"),
    ),
    (
        "nll of probabilities",
        2,
        lambda output, target: F.nll_loss(as_probabilities(output).clamp_min(1e-12).log(), target, reduction="none"),
    ),
    (
        "bce_with_logits",
        1,
        lambda output, target: F.binary_cross_entropy_with_logits(output, target, reduction="none"),
    ),
    (
        "bce",
        1,
        lambda output, target: F.binary_cross_entropy(as_probabilities(output).clamp(0, 1), target, reduction="none"),
    ),
    ("cross_entropy with label smoothing 0.1", 2, _smoothed),
    ("bce_with_logits of one-hot targets", 2, against_one_hot),
    ("focal", 2, focal),
    ("focal with logits", 1, binary_focal),
    ("hinge", 1, lambda output, target: (1 - output * (2 * target - 1)).clamp_min(0)),
)

_METRICS = (
    over_classes("accuracy", tmc.multiclass_accuracy, average="micro", each=hit),
    over_classes("balanced_accuracy", tmc.multiclass_accuracy, average="macro"),
    *(top(k) for k in TOPS),
    *averaged("f1", tmc.multiclass_f1_score, tmc.binary_f1_score, hit),
    *averaged("precision", tmc.multiclass_precision, tmc.binary_precision, hit),
    *averaged("recall", tmc.multiclass_recall, tmc.binary_recall, hit),
    *averaged("specificity", tmc.multiclass_specificity, tmc.binary_specificity),
    *averaged("iou", tmc.multiclass_jaccard_index, tmc.binary_jaccard_index),
    over_classes("auroc", tmc.multiclass_auroc, average="macro"),
    over_classes("auroc_weighted", tmc.multiclass_auroc, average="weighted"),
    of_class_one("average_precision_binary", tmc.binary_average_precision),
    over_classes("average_precision", tmc.multiclass_average_precision, average="macro"),
    over_classes("average_precision_weighted", tmc.multiclass_average_precision, average="weighted"),
    over_classes("mcc", tmc.multiclass_matthews_corrcoef),
    over_classes("kappa", tmc.multiclass_cohen_kappa),
    over_classes("quadratic_kappa", tmc.multiclass_cohen_kappa, weights="quadratic"),
    Formula(
        "error_rate",
        or_nan(lambda predicted, target: (1 - hit(predicted, target)).double().mean()),
        False,
        lambda predicted, target: 1 - hit(predicted, target),
    ),
    over_classes("ece", tmc.multiclass_calibration_error)._replace(higher_is_better=False),
    over_classes("ece_binary", tmc.multiclass_calibration_error)._replace(
        compute=of_class_one("ece_binary", tmc.binary_calibration_error).compute, higher_is_better=False
    ),
)

CLASSIFICATION = Family(
    "classification",
    shaped,
    predicted,
    lambda row: int(row.argmax()),
    by_name(_METRICS),
    by_name(mean_of(name, needs(dims, formula)) for name, dims, formula in _LOSSES),
    (
        ("accuracy", "balanced_accuracy"),
        *(
            (name, f"{name}_binary", f"{name}_micro", f"{name}_macro", f"{name}_weighted")
            for name in ("f1", "precision", "recall", "specificity", "iou")
        ),
        ("auroc", "auroc_weighted"),
        ("average_precision", "average_precision_binary", "average_precision_weighted"),
        ("kappa", "quadratic_kappa"),
        ("ece", "ece_binary"),
    ),
)
