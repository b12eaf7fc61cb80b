"""Formulas of retrieval against torchmetrics, and of detection against figures of pycocotools 2.0.11."""

from typing import Any

import numpy as np
import pytest
import torch
import torchmetrics.functional.retrieval as tmr
from torch import Tensor

from progressive_training.loop.evaluate.evaluator_parts.formulas import FAMILIES, formula, joined, variants

RANKS, BOXES = FAMILIES["retrieval"], FAMILIES["detection"]


def queries(count: int = 20) -> tuple[Tensor, Tensor, Tensor]:
    """Scores, relevances 0..2 and queries in no order, of which some have nothing relevant."""
    random = np.random.default_rng(0)
    query = torch.from_numpy(random.integers(0, count, 15 * count))
    relevance = torch.from_numpy(random.integers(0, 3, len(query))) * (query % 5 > 0)
    scores = torch.from_numpy(random.permutation(len(query))) + 40.5 * relevance
    return scores.float(), relevance, query


@pytest.mark.parametrize(
    ("name", "function", "k"),
    [
        ("mrr", tmr.retrieval_reciprocal_rank, None),
        ("mrr@3", tmr.retrieval_reciprocal_rank, 3),
        ("map", tmr.retrieval_average_precision, None),
        ("map@5", tmr.retrieval_average_precision, 5),
        ("ndcg", tmr.retrieval_normalized_dcg, None),
        ("ndcg@10", tmr.retrieval_normalized_dcg, 10),
        ("recall@5", tmr.retrieval_recall, 5),
        ("precision@5", tmr.retrieval_precision, 5),
        ("hit_rate@3", tmr.retrieval_hit_rate, 3),
        ("r_precision", tmr.retrieval_r_precision, None),
    ],
)
def test_metrics_are_torchmetrics_means_over_queries(name: str, function: Any, k: int | None) -> None:
    scores, relevance, query = queries()
    output, target = RANKS.shaped(scores, (relevance, query))
    options = {} if k is None else {"top_k": k}
    by_query: list[float] = []
    for one in query.unique():
        right = relevance[query == one] if "ndcg" in name else relevance[query == one] > 0
        found = bool(right.any())
        by_query.append(float(function(scores[query == one], right, **options)) if found else 0.0)
    metric = RANKS.metrics[name]
    assert float(metric.compute(output, target)) == pytest.approx(float(np.mean(by_query)), abs=1e-6)
    assert metric.each is not None and metric.each(output, target).tolist() == pytest.approx(by_query, abs=1e-6)


def test_a_model_that_tells_nothing_apart_gains_nothing_by_the_order_of_its_candidates() -> None:
    scores, relevance = [torch.zeros(4)], [torch.tensor([1, 0, 0, 0])]
    found = {name: float(RANKS.metrics[name].compute(scores, relevance)) for name in ("mrr", "accuracy", "ndcg")}
    shared = float(tmr.retrieval_normalized_dcg(scores[0], relevance[0]))
    assert found == pytest.approx({"mrr": 0.25, "accuracy": 0, "ndcg": shared})


def test_the_place_of_the_one_right_candidate_is_a_target_too() -> None:
    scores = torch.tensor([[0.1, 0.9, 0.3], [0.5, 0.2, 0.4]])
    output, target = RANKS.shaped(scores, torch.tensor([2, 0]))
    assert [one.tolist() for one in target] == [[0, 0, 1], [1, 0, 0]]
    found = {name: float(RANKS.metrics[name].compute(output, target)) for name in ("mrr", "accuracy", "mean_rank")}
    assert found == pytest.approx({"mrr": 0.75, "accuracy": 0.5, "mean_rank": 1.5})
    expected = torch.nn.functional.cross_entropy(scores, torch.tensor([2, 0]))
    assert float(RANKS.losses["cross_entropy"].compute(output, target)) == pytest.approx(float(expected))
    assert RANKS.answer(output[0]) == [1, 2, 0]
    assert len(joined([output, output])) == 4


@pytest.mark.parametrize("spelling", ["recall@10", "recall_at_10", "val/Recall@10", "R@10"])
def test_a_name_may_say_how_many_candidates_count(spelling: str) -> None:
    found = formula(RANKS, spelling)
    assert found is not None and found.name == "recall@10"


@pytest.mark.parametrize(
    ("output", "target", "said"),
    [
        (torch.zeros(4), (torch.zeros(3), torch.zeros(3)), "don't fit"),
        (torch.zeros(2, 3), torch.zeros(2, 4), "for each of its candidates"),
        (torch.zeros(2, 3), torch.tensor([3, 0]), "place of a candidate"),
        (torch.zeros(0, 3), torch.zeros(0), "no samples"),
    ],
)
def test_what_is_no_ranking_is_refused(output: Any, target: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        RANKS.shaped(output, target)


def test_a_score_that_is_no_number_has_no_rank() -> None:
    with pytest.raises(ValueError, match="NaN"):
        RANKS.metrics["mrr"].compute([torch.tensor([0.1, torch.nan])], [torch.tensor([0, 1])])


def pictures() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Five pictures of up to four boxes of three classes, found with an error, doubled, missed, or made up."""
    random = np.random.default_rng(4)
    output, target = [], []
    for _ in range(5):
        count = int(random.integers(1, 5))
        low, labels = random.uniform(0, 60, (count, 2)).round(1), random.integers(1, 4, count)
        there = np.concatenate([low, low + random.uniform(9, 40, (count, 2)).round(1)], 1)
        moved = np.repeat(there, 2, 0) + random.normal(0, 3, (2 * count, 4)).round(1)
        said = {"boxes": moved[:-1], "scores": random.random(2 * count - 1).round(2)}
        output.append({**said, "labels": np.repeat(labels, 2)[:-1]})
        target.append({"boxes": torch.from_numpy(there), "labels": torch.from_numpy(labels)})
    return output, target


#: COCOeval's stats 0, 1, 2 and 8 of these pictures.
PUBLISHED = {
    "map": 0.37182932578972183,
    "map_50": 0.8755304101838755,
    "map_75": 0.2733773377337733,
    "mar_100": 0.4911111111111111,
}


def test_mean_average_precision_is_cocos() -> None:
    output, target = BOXES.shaped(*pictures())
    assert {name: BOXES.metrics[name].compute(output, target) for name in PUBLISHED} == pytest.approx(
        PUBLISHED, abs=1e-9
    )
    assert variants(BOXES, "val_mAP")[0].name == "map" and variants(BOXES, "AP50")[0].name == "map_50"


def test_pictures_without_boxes_are_pictures() -> None:
    none = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0), "scores": torch.zeros(0)}
    there = {"boxes": torch.tensor([[0, 0, 9, 9.0]]), "labels": torch.tensor([1])}
    found = {**there, "scores": torch.tensor([0.9])}
    output, target = BOXES.shaped([none, found], [none, there])
    assert BOXES.metrics["map"].compute(output, target) == pytest.approx(1)
    assert BOXES.metrics["map"].compute(*BOXES.shaped([none], [there])) == 0
    assert BOXES.answer(output[1]) == [{"box": [0, 0, 9, 9], "label": 1, "score": pytest.approx(0.9)}]
    with pytest.raises(ValueError, match="no picture has a box"):
        BOXES.metrics["map"].compute(*BOXES.shaped([none], [none]))


@pytest.mark.parametrize(
    ("output", "target", "said"),
    [
        (torch.zeros(2, 4), [{}], "outputs aren't a list of dicts"),
        ([], [], "no samples"),
        ([{"boxes": [], "labels": []}], [{"boxes": [], "labels": []}], "boxes, labels, scores"),
        ([{"boxes": [[0, 0, 1, 1]], "labels": [1, 2], "scores": [1]}], [{"boxes": [], "labels": []}], "2 labels"),
        ([{"boxes": [[0, 0, 1, np.nan]], "labels": [1], "scores": [1]}], [{"boxes": [], "labels": []}], "no number"),
    ],
)
def test_what_is_no_detection_is_refused(output: Any, target: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        BOXES.shaped(output, target)
