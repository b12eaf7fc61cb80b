"""The two nouns: a formula, and the family of tasks that it belongs to; and what every family's formulas share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false

Compute = Callable[[Any, Any], Any]
Terms = Callable[[Any, Any], "dict[str, list[float]]"]

#: The target's class of a token or a pixel that counts for nothing.
IGNORED = -100


class Formula(NamedTuple):
    """A number from predictions and targets, both in the form that a family's `shaped` and `predicted` give.

    `compute` takes the whole set. `each` gives one value a sample where the number is their mean. `terms` gives each
    sample's `errors` and `length` where the number is the sum of the ones by that of the others; for an accuracy they
    are its hits and its tokens.

    Raises `ValueError` in plain words where the number doesn't exist for these predictions and targets.
    """

    name: str
    compute: Compute
    higher_is_better: bool
    each: Compute | None = None
    terms: Terms | None = None


class Family(NamedTuple):
    """The tasks whose outputs and targets look alike.

    `shaped(output, target)` brings what a model returned and what its batch held to the family's form, for a batch as
    for the whole set, and raises `ValueError` where they aren't of this family. Samples stay apart: either tensors
    with a row a sample, or lists of one tensor a sample.

    `predicted(output)` gives what metrics take, such as probabilities; whether they are that already is seen from all
    outputs together. Where the loss is known to be one of `losses`, `predicted(output, its_name)` needn't guess.
    `losses` take the output as it was shaped. `answer(row)` is one sample's prediction in JSON.

    `apart(output)`: whether `predicted` tells one sample's prediction of such shaped output without the others'. Then
    it takes the output's place as soon as a batch was seen, beside what each sample adds to the loss.
    """

    name: str
    shaped: Callable[[Any, Any], tuple[Any, Any]]
    predicted: Callable[..., Any]
    answer: Callable[[Any], Any]
    metrics: dict[str, Formula]
    losses: dict[str, Formula]
    alike: tuple[tuple[str, ...], ...] = ()  # metrics that scripts call by one name, the usual one first
    apart: Callable[[Any], bool] = lambda _output: False


def by_name(formulas: Iterable[Formula]) -> dict[str, Formula]:
    return {one.name: one for one in formulas}


def mean_of(name: str, each: Compute, higher_is_better: bool = False) -> Formula:
    """The mean of one value a sample, such as a loss."""
    return Formula(name, lambda output, target: each(output, target).mean(), higher_is_better, each)


def ratio_of(name: str, terms: Terms, higher_is_better: bool = False) -> Formula:
    """The sum of all samples' `errors` by that of their `length`."""

    def compute(output: Any, target: Any) -> float:
        found = terms(output, target)
        if not sum(found["length"]):
            raise ValueError("every target is empty, or is to be ignored")
        return sum(found["errors"]) / sum(found["length"])

    return Formula(name, compute, higher_is_better, terms=terms)


def times(factor: float, name: str, formula: Formula) -> Formula:
    """The same in other units, such as percent."""
    compute, each = formula.compute, formula.each

    def scaled(predicted: Any, target: Any) -> Any:
        values = each(predicted, target) if each else []
        return values * factor if isinstance(values, Tensor) else [value * factor for value in values]

    return Formula(name, lambda p, t: compute(p, t) * factor, formula.higher_is_better, scaled if each else None)


def tensor_of(value: Any, what: str) -> Tensor:
    """A tensor on the CPU, without its history; `what` names it where it is none."""
    try:
        return torch.as_tensor(value).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{what} is no tensor, but {type(value).__name__}") from error


def class_numbers(target: Tensor, what: str = "the target") -> Tensor:
    """Whole numbers as such, also where they came as floating ones."""
    if not bool((target == target.long()).all()):
        raise ValueError(f"{what} isn't made of class numbers: it holds fractions, or values that are no number")
    return target.long()


def form(value: Any) -> str:
    """What a value looks like, for a message."""
    if isinstance(value, Tensor):
        return str(tuple(value.shape))
    if isinstance(value, (list, tuple)):
        return f"{type(value).__name__} of {len(value)}"
    return type(value).__name__


def are_probabilities(output: Tensor, dim: int = -1) -> bool:
    """Whether the scores of every class along `dim` are from 0 to 1 and sum up to 1."""
    inside = bool(((output >= 0) & (output <= 1)).all())
    return inside and bool(((output.sum(dim) - 1).abs() < 1e-4).all())


def as_probabilities(output: Tensor) -> Tensor:
    """The output itself; a loss of probabilities would make a number of logits too, clamped as they'd be."""
    if bool(((output < -1e-4) | (output > 1 + 1e-4)).any()):
        raise ValueError("this loss is one of probabilities, and outputs lie outside of 0..1")
    return output


def as_log_probabilities(output: Tensor) -> Tensor:
    if bool((output > 1e-4).any()):
        raise ValueError("this loss is one of log-probabilities, and outputs lie above 0")
    return output


def or_nan(compute: Compute) -> Compute:
    """NaN where a prediction is: most formulas would make a number of it, as argmax does."""

    def checked(predicted: Tensor, target: Tensor) -> Any:
        return torch.tensor(torch.nan) if bool(predicted.isnan().any()) else compute(predicted, target)

    return checked


def one_per_sample(values: Any, lists: str) -> list[Tensor]:
    """A tensor's rows, or a list's tensors."""
    if not isinstance(values, (list, tuple)):
        values = tensor_of(values, lists)
        if not values.dim():
            raise ValueError(f"{lists} is one number, without a row a sample")
        return list(values.unbind(0))
    return [tensor_of(one, lists) for one in values]


def same_count(output: Any, target: Any) -> None:
    if not len(target):
        raise ValueError("there are no samples")
    if len(output) != len(target):
        raise ValueError(f"{len(output)} outputs for {len(target)} targets: not one a sample")
