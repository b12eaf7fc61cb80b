"""Language models: each token's loss, so that a vocabulary's scores are dropped as soon as a batch was seen.

A script's targets are either the next tokens already, or its inputs, which are shifted by one before they are compared
(as transformers does): both are computed, and the script's own number says which it is.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .kinds import IGNORED, Family, Formula, Terms, by_name, class_numbers, one_per_sample, ratio_of, same_count

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false

Rows = list[Tensor]
#: The columns of a sample's (T, 4): nll of the target and whether it was the likeliest; then of the one after it.
LOSS, HIT, NEXT_LOSS, NEXT_HIT = range(4)


def shaped(output: Any, target: Any) -> tuple[Rows, Rows]:
    """Lists of (T, 4) and of (T,) token numbers, from (N, T, V) scores or (N, T) losses a token, with (N, T).

    A token whose target is below 0 has NaN everywhere. What was shaped already stays as it is.
    """
    targets = [class_numbers(one.flatten()) for one in one_per_sample(target, "the target")]
    outputs = [one.float() for one in one_per_sample(output, "the output")]
    same_count(outputs, targets)
    return [_columns(one, other) for one, other in zip(outputs, targets)], targets


def _columns(output: Tensor, target: Tensor) -> Tensor:
    count = len(target)
    if output.dim() == 1 and len(output) == count:
        found = torch.full((count, 4), math.nan)
        found[:, LOSS] = output.where(target >= 0, torch.tensor(math.nan))
        return found
    if output.dim() != 2 or len(output) != count:
        raise ValueError(
            f"a sample's output {tuple(output.shape)} is neither the scores of each token of a vocabulary (T, V) nor "
            f"a loss (T,) for each of its {count} targets"
        )
    if output.shape[1] == 4 and bool(output[target < 0].isnan().all()) and _is_shaped(output):
        return output
    if count and int(target.max()) >= output.shape[1]:
        raise ValueError(f"a target isn't in the vocabulary of {output.shape[1]} tokens")
    beyond = torch.cat((target[1:], torch.tensor([IGNORED])))
    return torch.stack((*_scored(output, target), *_scored(output, beyond)), dim=1)


def _is_shaped(output: Tensor) -> bool:
    """Its last token has none after it, so that these columns end with NaN, which a model's scores don't."""
    return not len(output) or bool(output[-1, NEXT_LOSS:].isnan().all())


def _scored(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    known = target >= 0
    ignored = torch.tensor(math.nan)
    losses = F.cross_entropy(output, target.where(known, torch.tensor(IGNORED)), reduction="none", ignore_index=IGNORED)
    hits = (output.argmax(1) == target).float() if len(output) else losses
    return losses.where(known, ignored), hits.where(known & ~losses.isnan(), ignored)


def summed(column: int, without: int | None = None) -> Terms:
    """Each sample's sum of a column, and how many of its tokens have one."""

    def terms(output: Rows, target: Rows) -> dict[str, list[float]]:
        errors: list[float] = []
        length: list[float] = []
        for one, other in zip(output, target):
            values = one[:, column].double()
            about = other if column in (LOSS, HIT) else torch.cat((other[1:], torch.tensor([IGNORED])))
            kept = about >= 0 if without is None else (about >= 0) & (about != without)
            errors.append(float(values[kept].sum()))
            length.append(int(kept.sum()))
        return {"errors": errors, "length": length}

    return terms


def perplexity(name: str, loss: Formula, of: Any = math.exp) -> Formula:
    def compute(output: Rows, target: Rows) -> float:
        mean = loss.compute(output, target)
        return of(mean) if mean < 700 else math.inf  # beyond what a float holds

    return Formula(name, compute, False)


def bits(loss: float) -> float:
    return loss / math.log(2)


def row_mean(output: Tensor) -> dict[str, float | None]:
    """What a text's own perplexity is; None where none of its tokens is asked for."""
    losses = output[:, LOSS]
    losses = losses[~losses.isnan()].double()
    return {"perplexity": math.exp(min(700.0, float(losses.mean()))) if len(losses) else None}


_ALIGNED = ratio_of("cross_entropy", summed(LOSS))
_SHIFTED = ratio_of("cross_entropy, shifted by one", summed(NEXT_LOSS))
_WITHOUT = ratio_of("cross_entropy without token 0", summed(LOSS, 0))
_METRICS = (
    perplexity("perplexity", _ALIGNED),
    perplexity("perplexity_shifted", _SHIFTED),
    perplexity("perplexity_without_token_0", _WITHOUT),
    perplexity("bits_per_token", _ALIGNED, bits),
    perplexity("bits_per_token_shifted", _SHIFTED, bits),
    _ALIGNED._replace(name="nll"),
    _SHIFTED._replace(name="nll_shifted"),
    ratio_of("accuracy", summed(HIT), True),
    ratio_of("accuracy_shifted", summed(NEXT_HIT), True),
    ratio_of("accuracy_without_token_0", summed(HIT, 0), True),
)


def _same(output: Rows, loss: str | None = None) -> Rows:
    return output


LANGUAGE_MODEL = Family(
    "language_model",
    shaped,
    _same,
    row_mean,
    by_name(_METRICS),
    by_name((_ALIGNED, _SHIFTED, _WITHOUT)),
    (
        ("perplexity", "perplexity_shifted", "perplexity_without_token_0"),
        ("bits_per_token", "bits_per_token_shifted"),
        ("nll", "nll_shifted"),
        ("accuracy", "accuracy_shifted", "accuracy_without_token_0"),
    ),
    apart=lambda _output: True,
)
