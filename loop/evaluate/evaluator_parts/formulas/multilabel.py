"""Multi-label classification: outputs (N, C), targets (N, C) of 0 and 1, predictions a probability for each label."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
import torchmetrics.functional.classification as tmc
from torch import Tensor

from .classes import binary_focal, rows
from .kinds import Compute, Family, Formula, as_probabilities, by_name, class_numbers, mean_of, or_nan, tensor_of

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false


def shaped(output: Any, target: Any) -> tuple[Tensor, Tensor]:
    """(N, C) both; targets of -1 and 1 become 0 and 1."""
    output, target = tensor_of(output, "the output").float(), tensor_of(target, "the target")
    if not target.numel():
        raise ValueError("there are no samples")
    if target.dim() != 2 or not output.dim() or output.numel() != target.numel():
        raise ValueError(
            f"outputs {tuple(output.shape)} and targets {tuple(target.shape)} aren't one number for each label of each "
            "sample (N, C)"
        )
    target = class_numbers(target)
    if bool((target.abs() == 1).all()) and bool((target < 0).any()):
        target = target.clamp_min(0)
    if int(target.min()) < 0 or int(target.max()) > 1:
        raise ValueError(f"targets of several labels are 0 or 1, not {int(target.min())}..{int(target.max())}")
    return rows(output, len(target)).reshape(target.shape), target


def predicted(output: Tensor, loss: str | None = None) -> Tensor:
    inside = bool(((output >= 0) & (output <= 1)).all())
    return output if loss == "bce" or (loss != "bce_with_logits" and inside) else output.sigmoid()


def answer(row: Tensor) -> list[int]:
    """The labels that are more likely than not."""
    return (row > 0.5).nonzero().flatten().tolist()


def over_labels(name: str, function: Callable[..., Tensor], each: Compute | None = None, **options: Any) -> Formula:
    """A multilabel metric of torchmetrics; a single label has no mean over labels, and is a binary one."""

    def compute(predicted: Tensor, target: Tensor) -> Tensor:
        return function(predicted, target, num_labels=target.shape[1], **options)

    return Formula(name, or_nan(compute), True, each)


def averaged(name: str, function: Callable[..., Tensor]) -> Iterator[Formula]:
    yield over_labels(name, function, average="macro")
    for average in ("macro", "micro", "weighted"):
        yield over_labels(f"{name}_{average}", function, average=average)


def right_labels(predicted: Tensor, target: Tensor) -> Tensor:
    return ((predicted > 0.5) == target.bool()).double().mean(1)


def all_right(predicted: Tensor, target: Tensor) -> Tensor:
    return ((predicted > 0.5) == target.bool()).all(1).long()


def f1_of_samples(predicted: Tensor, target: Tensor) -> Tensor:
    """Each sample's own F1; 0 where nothing is predicted and nothing is there, as scikit-learn has it."""
    chosen, there = predicted > 0.5, target.bool()
    both = (chosen & there).sum(1).double()
    return 2 * both / (chosen.sum(1) + there.sum(1)).clamp_min(1)


_METRICS = (
    over_labels("accuracy", tmc.multilabel_accuracy, right_labels, average="micro"),
    Formula("exact_match", or_nan(lambda p, t: all_right(p, t).double().mean()), True, all_right),
    *averaged("f1", tmc.multilabel_f1_score),
    Formula("f1_samples", or_nan(lambda p, t: f1_of_samples(p, t).mean()), True, f1_of_samples),
    *averaged("precision", tmc.multilabel_precision),
    *averaged("recall", tmc.multilabel_recall),
    *averaged("specificity", tmc.multilabel_specificity),
    *averaged("iou", tmc.multilabel_jaccard_index),
    *averaged("auroc", tmc.multilabel_auroc),
    *averaged("average_precision", tmc.multilabel_average_precision),
    over_labels("ranking_average_precision", tmc.multilabel_ranking_average_precision),
    Formula(
        "hamming_distance",
        or_nan(lambda p, t: (1 - right_labels(p, t)).mean()),
        False,
        lambda p, t: 1 - right_labels(p, t),
    ),
)


def _rows(formula: Callable[[Tensor, Tensor], Tensor]) -> Compute:
    return lambda output, target: formula(output, target.float()).mean(1)


_LOSSES = (
    ("bce_with_logits", _rows(lambda o, t: F.binary_cross_entropy_with_logits(o, t, reduction="none"))),
    ("bce", _rows(lambda o, t: F.binary_cross_entropy(as_probabilities(o).clamp(0, 1), t, reduction="none"))),
    ("focal with logits", _rows(binary_focal)),
    (
        "bce_with_logits, summed over labels",
        lambda o, t: F.binary_cross_entropy_with_logits(o, t.float(), reduction="none").sum(1),
    ),
    ("mse", _rows(lambda o, t: torch.square(o - t))),
)

MULTILABEL = Family(
    "multilabel",
    shaped,
    predicted,
    answer,
    by_name(_METRICS),
    by_name(mean_of(name, each) for name, each in _LOSSES),
    (
        ("accuracy", "exact_match"),
        ("f1", "f1_micro", "f1_samples", "f1_weighted", "f1_macro"),
        *(
            (name, f"{name}_micro", f"{name}_weighted", f"{name}_macro")
            for name in ("precision", "recall", "specificity", "iou", "auroc", "average_precision")
        ),
    ),
)
