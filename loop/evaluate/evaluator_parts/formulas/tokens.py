"""A class for each token: outputs (T, C) and targets (T,) a sample, as lists, since samples differ in length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .classes import CLASSIFICATION
from .kinds import (
    IGNORED,
    Family,
    Formula,
    Terms,
    are_probabilities,
    as_log_probabilities,
    as_probabilities,
    by_name,
    class_numbers,
    one_per_sample,
    ratio_of,
    same_count,
)

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false

Rows = list[Tensor]
#: What many scripts ignore beside -100: class 0, of padding or of what has no name.
ZERO = 0


def shaped(output: Any, target: Any) -> tuple[Rows, Rows]:
    """Lists of (T, C) scores and of (T,) class numbers, -100 where nothing is asked.

    From (N, T, C) or (N, C, T) with (N, T), or from lists. A target below 0 asks nothing.
    """
    targets = [class_numbers(one.flatten()) for one in one_per_sample(target, "the target")]
    outputs = [one.float() for one in one_per_sample(output, "the output")]
    same_count(outputs, targets)
    if any(one.dim() != 2 for one in outputs):
        raise ValueError(f"an output for tokens has the scores of every class for each of them, not {outputs[0].shape}")
    steps = [len(one) for one in targets]
    if [len(one) for one in outputs] != steps:
        if [one.shape[1] for one in outputs] != steps:
            raise ValueError(
                f"a sample's output {tuple(outputs[0].shape)} has no scores for each of its {steps[0]} targets"
            )
        outputs = [one.T for one in outputs]
    classes = outputs[0].shape[1]
    if any(one.shape[1] != classes for one in outputs):
        raise ValueError("samples differ in their number of classes")
    if max((int(one.max()) for one in targets if len(one)), default=0) >= classes:
        raise ValueError(f"a target's class isn't in 0..{classes - 1}")
    return outputs, [one.where(one >= 0, torch.tensor(IGNORED)) for one in targets]


def predicted(output: Rows, loss: str | None = None) -> Rows:
    """The probabilities of every class for each token."""
    return output if all(are_probabilities(one) for one in output) else [one.softmax(1) for one in output]


def asked(output: Rows, target: Rows, ignored: int = IGNORED) -> tuple[Tensor, Tensor]:
    """The tokens of all samples in a row, but those that count for nothing."""
    outputs, targets = torch.cat(output), torch.cat(target)
    kept = (targets != IGNORED) & (targets != ignored)
    if not bool(kept.any()):
        raise ValueError("no target of any token counts: all are to be ignored")
    return outputs[kept], targets[kept]


def over_tokens(formula: Formula, ignored: int = IGNORED, name: str | None = None) -> Formula:
    """A metric of classification on all tokens."""
    return Formula(
        name or formula.name,
        lambda output, target: formula.compute(*asked(output, target, ignored)),
        formula.higher_is_better,
    )


def summed(value: Callable[[Tensor, Tensor], Tensor], ignored: int = IGNORED) -> Terms:
    """Each sample's sum over its tokens, and their number."""

    def terms(output: Rows, target: Rows) -> dict[str, list[float]]:
        errors: list[float] = []
        length: list[float] = []
        for one, other in zip(output, target):
            kept = (other != IGNORED) & (other != ignored)
            errors.append(float(value(one[kept], other[kept]).double().sum()))
            length.append(int(kept.sum()))
        return {"errors": errors, "length": length}

    return terms


def hits(output: Tensor, target: Tensor) -> Tensor:
    """1 for a token that is right, NaN for one whose scores are no numbers."""
    right = (output.argmax(1) == target).float() if len(output) else target.float()
    return right.where(~output.isnan().any(1), torch.tensor(torch.nan))


def exact(output: Rows, target: Rows) -> Tensor:
    """Whether each of a sample's tokens is right."""
    return torch.tensor([int(bool(((hits(o, t) == 1) | (t == IGNORED)).all())) for o, t in zip(output, target)])


def token_losses(output: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(output, target, reduction="none")


_OF_CLASSES = (
    "balanced_accuracy",
    *(f"{name}{average}" for name in ("f1", "precision", "recall") for average in ("", "_macro", "_weighted")),
    "f1_micro",
    "iou",
    "mcc",
    "auroc",
)
_METRICS = (
    ratio_of("accuracy", summed(hits), True),
    ratio_of("accuracy_without_class_0", summed(hits, ZERO), True),
    *(over_tokens(CLASSIFICATION.metrics[name]) for name in _OF_CLASSES),
    *(over_tokens(CLASSIFICATION.metrics[name], ZERO, f"{name}_without_class_0") for name in ("f1", "f1_micro")),
    Formula("exact_match", lambda output, target: exact(output, target).double().mean(), True, exact),
)


def loss(name: str, value: Callable[[Tensor, Tensor], Tensor], ignored: int = IGNORED) -> Formula:
    """The mean over the tokens of a batch, as torch has it with `ignore_index`."""
    return ratio_of(name, summed(value, ignored))


LOSSES = by_name(
    (
        loss("cross_entropy", token_losses),
        loss("cross_entropy without class 0", token_losses, ZERO),
        loss("nll of log-probabilities", lambda o, t: F.nll_loss(as_log_probabilities(o), t, reduction="none")),
        loss(
            "nll of probabilities",
            lambda o, t: F.nll_loss(as_probabilities(o).clamp_min(1e-12).log(), t, reduction="none"),
        ),
        loss(
            "cross_entropy with label smoothing 0.1",
            lambda o, t: F.cross_entropy(o, t, reduction="none", label_smoothing=0.1),
        ),
    )
)

# ------------------------------------------------------------ entities


def entities(tags: Sequence[str]) -> set[tuple[str, int, int]]:
    """What a sequence of tags such as B-PER, I-PER and O names: (kind, first, last), read leniently as seqeval does."""
    found: set[tuple[str, int, int]] = set()
    start, before = 0, ("O", "")
    for place, tag in enumerate([*tags, "O"]):
        mark, _, kind = tag.partition("-")
        kind = kind or "_"
        if before[0] != "O" and (mark in ("B", "S", "O") or kind != before[1] or before[0] in ("E", "S")):
            found.add((before[1], start, place - 1))
            before = ("O", "")
        if mark != "O":
            start = place if before[0] == "O" else start
            before = (mark, kind)
    return found


def entity_metrics(names: Sequence[str]) -> dict[str, Formula]:
    """F1, precision and recall of whole entities, over all samples, where classes are tags of these names."""

    def tagged(classes: Tensor) -> set[tuple[str, int, int]]:
        return entities([names[int(one)] for one in classes])

    def counts(output: Rows, target: Rows) -> tuple[int, int, int]:
        both = said = there = 0
        for one, other in zip(output, target):
            kept = other != IGNORED
            found = [tagged(row[kept]) for row in (one.argmax(1), other)]
            both, said, there = both + len(found[0] & found[1]), said + len(found[0]), there + len(found[1])
        return both, said, there

    def share(of: Callable[[int, int], int]) -> Callable[[Rows, Rows], float]:
        def compute(output: Rows, target: Rows) -> float:
            both, said, there = counts(output, target)
            return both / of(said, there) if both else 0.0

        return compute

    def f1(output: Rows, target: Rows) -> float:
        both, said, there = counts(output, target)
        return 2 * both / (said + there) if both else 0.0

    precision, recall = share(lambda said, there: said), share(lambda said, there: there)
    parts = (("entity_f1", f1), ("entity_precision", precision), ("entity_recall", recall))
    return by_name(Formula(name, compute, True) for name, compute in parts)


TOKENS = Family(
    "tokens",
    shaped,
    predicted,
    lambda row: row.argmax(1).tolist(),
    by_name(_METRICS),
    LOSSES,
    (
        ("accuracy", "accuracy_without_class_0", "balanced_accuracy"),
        ("f1", "f1_micro", "f1_weighted", "f1_without_class_0", "f1_micro_without_class_0", "f1_macro"),
        ("precision", "precision_weighted", "precision_macro"),
        ("recall", "recall_weighted", "recall_macro"),
    ),
)
