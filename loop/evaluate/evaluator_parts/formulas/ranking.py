"""Retrieval and ranking: scores and relevances, a list of candidates for each query; a query is a sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .kinds import Family, Formula, by_name, mean_of, one_per_sample, same_count, tensor_of

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false

Rows = list[Tensor]
AT = (1, 3, 5, 10, 20, 50, 100)


def shaped(output: Any, target: Any) -> tuple[Rows, Rows]:
    """Lists of (K,) scores and of (K,) relevances, one of each a query.

    From scores (N,) with relevances and queries, `(relevance, query)` or (N, 2), where the second says which candidates
    belong together; from (Q, K) with (Q, K) relevances, or with (Q,) the right candidate's place; or from lists.
    """
    if (
        isinstance(target, (list, tuple))
        and len(target) == 2
        and isinstance(output, Tensor)
        and output.squeeze().dim() < 2
    ):
        return _grouped(output, *(tensor_of(one, "the target").flatten() for one in target))
    if isinstance(target, Tensor) and isinstance(output, Tensor) and target.shape == (output.numel(), 2):
        return _grouped(output, *target.detach().cpu().unbind(1))
    outputs, targets = one_per_sample(output, "the output"), one_per_sample(target, "the target")
    same_count(outputs, targets)
    outputs = [one.squeeze(1) if one.dim() == 2 and one.shape[1] == 1 else one for one in outputs]
    if all(one.dim() == 1 for one in outputs) and all(one.numel() == 1 for one in targets):
        if any(int(place) != place or not 0 <= place < len(one) for one, place in zip(outputs, targets)):
            raise ValueError("a target isn't the place of a candidate")
        targets = [F.one_hot(place.long().reshape(()), len(one)) for one, place in zip(outputs, targets)]
    if any(one.dim() != 1 or one.shape != other.shape for one, other in zip(outputs, targets)):
        raise ValueError(
            f"a query's scores {tuple(outputs[0].shape)} and relevances {tuple(targets[0].shape)} aren't a number each "
            "for each of its candidates"
        )
    return [one.float() for one in outputs], targets


def _grouped(output: Tensor, relevance: Tensor, query: Tensor) -> tuple[Rows, Rows]:
    output = output.detach().cpu().float().flatten()
    if not len(output) or not len(output) == len(relevance) == len(query):
        raise ValueError(
            f"{len(output)} scores, {len(relevance)} relevances and {len(query)} queries don't fit together"
        )
    order = query.argsort(stable=True)
    sizes = query.unique(return_counts=True)[1].tolist()
    return list(output[order].split(sizes)), list(relevance[order].split(sizes))


def ranked(scores: Tensor, relevance: Tensor) -> Tensor:
    """Relevances from the best score down.

    Of equal scores the least relevant comes first, so that a model which tells nothing apart gains nothing by the order
    in which candidates lie in the data.
    """
    if bool(scores.isnan().any()):
        raise ValueError("a score is NaN: it has no rank")
    least = relevance.argsort(stable=True)
    return relevance[least][scores[least].argsort(descending=True, stable=True)].double()


def gain(relevance: Tensor, k: int | None) -> Tensor:
    places = torch.arange(2, len(relevance) + 2, dtype=torch.float64).log2()
    return (relevance / places)[:k].sum()


def ndcg(scores: Tensor, relevance: Tensor, k: int | None) -> float:
    """Equal scores share their gains, as scikit-learn and torchmetrics have it."""
    if bool(scores.isnan().any()):
        raise ValueError("a score is NaN: it has no rank")
    order = scores.argsort(descending=True, stable=True)
    best = gain(relevance.double().sort(descending=True).values, k)
    _, group, sizes = scores[order].unique_consecutive(return_inverse=True, return_counts=True)
    shared = torch.zeros(len(sizes), dtype=torch.float64).index_add(0, group, relevance[order].double()) / sizes
    return float(gain(shared[group], k) / best) if best > 0 else 0.0


def reciprocal_rank(relevance: Tensor, k: int | None) -> float:
    hits = (relevance[:k] > 0).nonzero()
    return 1 / (1 + int(hits[0])) if len(hits) else 0.0


def average_precision(relevance: Tensor, k: int | None) -> float:
    hits = (relevance[:k] > 0).double()
    shares = hits.cumsum(0) / torch.arange(1, len(hits) + 1)
    return float((shares * hits).sum() / hits.sum()) if bool(hits.any()) else 0.0


def recall(relevance: Tensor, k: int | None) -> float:
    there = int((relevance > 0).sum())
    return int((relevance[:k] > 0).sum()) / there if there else 0.0


def precision(relevance: Tensor, k: int | None) -> float:
    return int((relevance[:k] > 0).sum()) / (k or len(relevance))


def hit(relevance: Tensor, k: int | None) -> float:
    return float(bool((relevance[:k] > 0).any()))


def r_precision(relevance: Tensor, k: int | None) -> float:
    there = int((relevance > 0).sum())
    return int((relevance[:there] > 0).sum()) / there if there else 0.0


def first_rank(relevance: Tensor, k: int | None) -> float:
    hits = (relevance > 0).nonzero()
    return 1.0 + int(hits[0]) if len(hits) else 1.0 + len(relevance)


Value = Callable[[Tensor, Tensor, "int | None"], float]


def of_ranks(value: Callable[[Tensor, int | None], float]) -> Value:
    return lambda scores, relevance, k: value(ranked(scores, relevance), k)


def above_0(value: Value) -> Value:
    """Nothing with a score of 0 or less is found, as torchmetrics has it for four of its metrics."""
    return lambda scores, relevance, k: value(scores, relevance * (scores > 0), k)


def recall_above_0(scores: Tensor, relevance: Tensor, k: int | None) -> float:
    there = int((relevance > 0).sum())
    return above_0(of_ranks(precision))(scores, relevance, k) * (k or len(scores)) / there if there else 0.0


def over_queries(name: str, value: Value, k: int | None = None) -> Formula:
    """The mean over queries; one without a relevant candidate counts as 0, as in torchmetrics."""

    def each(predicted: Rows, target: Rows) -> Tensor:
        values = [value(scores, relevance, k) for scores, relevance in zip(predicted, target)]
        return torch.tensor(values, dtype=torch.float64)

    return mean_of(name, each, True)


_OF_ALL: dict[str, Value] = {"mrr": of_ranks(reciprocal_rank), "ndcg": ndcg, "map": of_ranks(average_precision)}
_OF_THE_FIRST: dict[str, Value] = {
    "recall": of_ranks(recall),
    "precision": of_ranks(precision),
    "hit_rate": of_ranks(hit),
}


_ABOVE_0: dict[str, Value] = {
    **{name: above_0(_OF_ALL[name]) for name in ("mrr", "map")},
    "precision": above_0(_OF_THE_FIRST["precision"]),
    "recall": recall_above_0,
}


def _metrics() -> Iterator[Formula]:
    yield from (over_queries(name, value) for name, value in _OF_ALL.items())
    for name, value in {**_OF_ALL, **_OF_THE_FIRST}.items():
        yield from (over_queries(f"{name}@{k}", value, k) for k in AT)
    for name, value in _ABOVE_0.items():
        yield from (over_queries(f"{name}@{k}_above_0", value, k) for k in AT)
    yield from (over_queries(f"{name}_above_0", _ABOVE_0[name]) for name in ("mrr", "map"))
    yield over_queries("accuracy", of_ranks(hit), 1)
    yield over_queries("r_precision", of_ranks(r_precision))
    yield over_queries("mean_rank", of_ranks(first_rank))._replace(higher_is_better=False)


def _same(output: Rows, loss: str | None = None) -> Rows:
    return output


def _softmax(output: Rows, target: Rows) -> Tensor:
    """The cross entropy of the one right candidate among all."""
    if any(int((one > 0).sum()) != 1 for one in target):
        raise ValueError("this loss is for one right candidate a query")
    return torch.stack([F.cross_entropy(one[None], (other > 0).nonzero()[0]) for one, other in zip(output, target)])


def _pointwise(formula: Callable[..., Tensor]) -> Callable[[Rows, Rows], Tensor]:
    return lambda output, target: torch.stack([formula(one, other.float()) for one, other in zip(output, target)])


RETRIEVAL = Family(
    "retrieval",
    shaped,
    _same,
    lambda row: row.argsort(descending=True, stable=True)[:10].tolist(),
    by_name(_metrics()),
    by_name(
        (
            mean_of("cross_entropy", _softmax),
            mean_of("bce_with_logits", _pointwise(F.binary_cross_entropy_with_logits)),
            mean_of("mse", _pointwise(F.mse_loss)),
        )
    ),
    (
        *((name, f"{name}_above_0", f"{name}@10", f"{name}@10_above_0") for name in ("mrr", "map")),
        *((f"{name}@{k}", f"{name}@{k}_above_0") for name in _ABOVE_0 for k in AT),
        ("ndcg", "ndcg@10"),
    ),
)
