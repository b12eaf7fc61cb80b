"""Formulas of tokens and of language models, against hand and scikit-learn."""

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn import metrics as sk
from torch import Tensor

from progressive_training.loop.evaluate.evaluator_parts.formulas import FAMILIES, entity_metrics, joined, variants

TOKENS, LANGUAGE = FAMILIES["tokens"], FAMILIES["language_model"]


def padded(classes: int, count: int = 12, longest: int = 9) -> tuple[Tensor, Tensor]:
    """(N, T, C) scores and (N, T) targets, -100 from each sample's end on."""
    random = np.random.default_rng(classes)
    target = torch.from_numpy(random.integers(0, classes, (count, longest)))
    scores = torch.from_numpy(random.normal(size=(count, longest, classes))).float() + F.one_hot(target, classes)
    for index in range(count):
        target[index, 2 + index % (longest - 2) :] = -100
    return scores, target


def asked(scores: Tensor, target: Tensor) -> tuple[Any, Any]:
    kept = target >= 0
    return scores.argmax(2)[kept].numpy(), target[kept].numpy()


def test_tokens_that_are_to_be_ignored_count_for_nothing() -> None:
    scores, target = padded(4)
    best, there = asked(scores, target)
    output, right = TOKENS.shaped(scores, target)
    predicted = TOKENS.predicted(output)
    expected = {
        "accuracy": (best == there).mean(),
        "accuracy_without_class_0": (best == there)[there > 0].mean(),
        "balanced_accuracy": sk.balanced_accuracy_score(there, best),
        "f1": sk.f1_score(there, best, average="macro"),
        "f1_micro": sk.f1_score(there, best, average="micro"),
        "f1_weighted": sk.f1_score(there, best, average="weighted"),
        "precision": sk.precision_score(there, best, average="macro"),
        "exact_match": np.mean(
            [bool(((a.argmax(1) == b) | (b < 0)).all()) for a, b in zip(scores, target, strict=True)]
        ),
    }
    found = {name: float(TOKENS.metrics[name].compute(predicted, right)) for name in expected}
    assert found == pytest.approx({name: float(value) for name, value in expected.items()}, abs=1e-6)


def test_classes_may_come_before_the_tokens_and_batches_may_differ_in_length() -> None:
    scores, target = padded(4)
    first = TOKENS.shaped(scores, target)
    turned = TOKENS.shaped(scores.transpose(1, 2), target)
    assert all(torch.equal(one, other) for one, other in zip(first[0], turned[0], strict=True))
    parts = [TOKENS.shaped(scores[:5, :6], target[:5, :6]), TOKENS.shaped(scores[5:], target[5:])]
    output, right = (joined(part) for part in zip(*parts, strict=True))
    assert len(output) == 12 and float(TOKENS.metrics["accuracy"].compute(output, right)) > 0


def test_a_token_loss_is_torchs_mean_over_the_tokens_that_count() -> None:
    scores, target = padded(5)
    output, right = TOKENS.shaped(scores, target)
    loss = TOKENS.losses["cross_entropy"]
    expected = F.cross_entropy(scores.flatten(0, 1), target.flatten())
    assert float(loss.compute(output, right)) == pytest.approx(float(expected), rel=1e-5)
    without = F.cross_entropy(scores.flatten(0, 1), target.flatten().clamp_min(0), ignore_index=0)
    assert TOKENS.losses["cross_entropy without class 0"].compute(output, right) == pytest.approx(
        float(without), rel=1e-5
    )
    assert loss.terms is not None
    terms = loss.terms(output, right)
    assert terms["length"] == (target >= 0).sum(1).tolist()
    assert sum(terms["errors"]) / sum(terms["length"]) == pytest.approx(float(expected), rel=1e-5)


def test_entities_are_whole_ones_where_classes_have_names() -> None:
    """As seqeval counts them: a wrong end, a wrong kind and one that isn't there are all wrong."""
    names = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    metrics = entity_metrics(names)
    target = torch.tensor([[1, 2, 0, 3, 4, 4, -100], [1, 1, 0, 0, 2, 2, 0]])
    said = torch.tensor([[1, 2, 0, 3, 4, 0, 1], [1, 1, 0, 0, 4, 4, 0]])
    output, right = TOKENS.shaped(F.one_hot(said, 5).float(), target)
    found = {name: one.compute(output, right) for name, one in metrics.items()}
    assert found == pytest.approx({"entity_f1": 3 / 5, "entity_precision": 3 / 5, "entity_recall": 3 / 5})
    nothing = TOKENS.shaped(F.one_hot(torch.zeros_like(said), 5).float(), target)
    assert {one.compute(*nothing) for one in metrics.values()} == {0}


@pytest.mark.parametrize(
    ("output", "target", "said"),
    [
        (torch.zeros(2, 3, 4), torch.zeros(2, 5), "no scores for each of its 5"),
        (torch.zeros(2, 3, 4), torch.full((2, 3), 4), r"isn't in 0\.\.3"),
        (torch.zeros(2, 3), torch.zeros(2, 3), "every class for each"),
        (torch.zeros(2, 3, 4), torch.zeros(3, 3), "2 outputs for 3 targets"),
        (torch.zeros(0, 3, 4), torch.zeros(0, 3), "no samples"),
        (torch.zeros(2, 3, 4), torch.full((2, 3), 0.5), "fractions"),
    ],
)
def test_what_is_no_class_for_each_token_is_refused(output: Any, target: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        TOKENS.shaped(output, target)


def test_a_set_in_which_nothing_counts_has_no_number() -> None:
    output, target = TOKENS.shaped(torch.zeros(2, 3, 4), torch.full((2, 3), -100))
    for name in ("accuracy", "f1"):
        with pytest.raises(ValueError, match="ignored"):
            TOKENS.metrics[name].compute(output, target)


def test_perplexity_is_of_the_tokens_own_losses_however_they_come() -> None:
    scores, target = padded(11)
    losses = F.cross_entropy(scores.flatten(0, 1), target.flatten(), reduction="none").view(target.shape)
    expected = math.exp(float(losses.sum() / (target >= 0).sum()))
    for output in (scores, losses):
        shaped, right = LANGUAGE.shaped(output, target)
        assert LANGUAGE.metrics["perplexity"].compute(shaped, right) == pytest.approx(expected, rel=1e-5)
        again, _ = LANGUAGE.shaped(shaped, right)
        assert all(torch.equal(a.nan_to_num(-1), b.nan_to_num(-1)) for a, b in zip(again, shaped, strict=True))


def test_inputs_as_targets_are_shifted_by_one_as_transformers_has_it() -> None:
    scores, target = padded(11)
    shaped, right = LANGUAGE.shaped(scores, target)
    expected = F.cross_entropy(scores[:, :-1].flatten(0, 1), target[:, 1:].flatten())
    found = {one.name: one.compute(shaped, right) for one in variants(LANGUAGE, "val_ppl")}
    assert list(found) == ["perplexity", "perplexity_shifted", "perplexity_without_token_0"]
    assert found["perplexity_shifted"] == pytest.approx(math.exp(float(expected)), rel=1e-5)
    loss = LANGUAGE.losses["cross_entropy, shifted by one"]
    assert float(loss.compute(shaped, right)) == pytest.approx(float(expected), rel=1e-5)
    hits = (scores[:, :-1].argmax(2) == target[:, 1:])[target[:, 1:] >= 0].double().mean()
    assert LANGUAGE.metrics["accuracy_shifted"].compute(shaped, right) == pytest.approx(float(hits))
    assert LANGUAGE.metrics["bits_per_token"].compute(shaped, right) == pytest.approx(
        math.log2(found["perplexity"]), rel=1e-6
    )


def test_a_batchs_vocabulary_is_dropped_at_once() -> None:
    """Four numbers a token are kept, whatever the size of the vocabulary."""
    shaped, _ = LANGUAGE.shaped(torch.randn(2, 5, 5000), torch.ones(2, 5))
    assert [one.shape for one in shaped] == [(5, 4), (5, 4)]
    assert LANGUAGE.answer(shaped[0])["perplexity"] > 1


def test_scores_that_are_no_numbers_are_no_hits_and_no_misses() -> None:
    scores, target = padded(4)
    scores[3, 0, 2] = math.nan
    for family in (TOKENS, LANGUAGE):
        output, right = family.shaped(scores, target)
        assert math.isnan(float(family.metrics["accuracy"].compute(family.predicted(output), right)))


def test_a_diverged_model_has_no_finite_perplexity() -> None:
    output, target = LANGUAGE.shaped(torch.full((1, 3), 800.0), torch.ones(1, 3))
    assert LANGUAGE.metrics["perplexity"].compute(output, target) == math.inf
    output, target = LANGUAGE.shaped(torch.full((1, 3, 7), math.nan), torch.ones(1, 3))
    assert math.isnan(float(LANGUAGE.metrics["nll"].compute(output, target)))
    assert not math.isfinite(LANGUAGE.metrics["perplexity"].compute(output, target))


def test_scores_of_another_length_are_no_language_models() -> None:
    with pytest.raises(ValueError, match="each token of a vocabulary"):
        LANGUAGE.shaped(torch.zeros(2, 4, 9), torch.zeros(2, 3))
    with pytest.raises(ValueError, match="vocabulary of 9"):
        LANGUAGE.shaped(torch.zeros(2, 3, 9), torch.full((2, 3), 9))
