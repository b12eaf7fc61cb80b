"""Formulas of classes and of several labels, against scikit-learn."""

import math
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest
import torch
from sklearn import metrics as sk
from torch import Tensor

from progressive_training.loop.evaluate.evaluator_parts.formulas import FAMILIES, formula, joined, variants

CLASSES, LABELS = FAMILIES["classification"], FAMILIES["multilabel"]


def scores(classes: int, count: int = 300) -> tuple[Tensor, Tensor]:
    """Logits that are right more often than not, of classes that aren't alike in number."""
    random = np.random.default_rng(classes)
    target = torch.from_numpy(random.integers(0, classes, count) * random.integers(0, 2, count))
    logits = torch.from_numpy(random.normal(size=(count, classes))).float()
    logits[torch.arange(count), target] += 1
    return logits, target


def of_class_one(score: Callable[..., Any]) -> Callable[[Any, Any, Any], float]:
    return lambda target, best, p: score(target, best)


def by(average: str, score: Callable[..., Any]) -> Callable[[Any, Any, Any], float]:
    return lambda target, best, p: score(target, best, average=average, zero_division=0)


AVERAGED: dict[str, Callable[[Any, Any, Any], float]] = {
    f"{name}{ending}": by(average, score)
    for name, score in (("f1", sk.f1_score), ("precision", sk.precision_score), ("recall", sk.recall_score))
    for ending, average in (("", "macro"), ("_macro", "macro"), ("_weighted", "weighted"))
}
BY_SKLEARN: dict[str, Callable[[Any, Any, Any], float]] = {
    "accuracy": lambda target, best, p: float(sk.accuracy_score(target, best)),
    "balanced_accuracy": lambda target, best, p: float(sk.balanced_accuracy_score(target, best)),
    "error_rate": lambda target, best, p: 1 - float(sk.accuracy_score(target, best)),
    "mcc": lambda target, best, p: float(sk.matthews_corrcoef(target, best)),
    "kappa": lambda target, best, p: float(sk.cohen_kappa_score(target, best)),
    "quadratic_kappa": lambda target, best, p: float(sk.cohen_kappa_score(target, best, weights="quadratic")),
    "iou": by("macro", sk.jaccard_score),
    **AVERAGED,
}


@pytest.mark.parametrize("name", BY_SKLEARN)
@pytest.mark.parametrize("classes", [2, 4])
def test_a_metric_of_classes_is_that_of_scikit_learn(name: str, classes: int) -> None:
    logits, target = scores(classes)
    predicted = CLASSES.predicted(CLASSES.shaped(logits, target)[0])
    expected = BY_SKLEARN[name](target.numpy(), logits.argmax(1).numpy(), predicted.numpy())
    assert float(CLASSES.metrics[name].compute(predicted, target)) == pytest.approx(expected, abs=1e-6)


def test_areas_under_curves_are_those_of_scikit_learn() -> None:
    logits, target = scores(2)
    predicted, there = CLASSES.predicted(logits), target.numpy()
    binary = predicted[:, 1].numpy()
    expected = {
        "auroc": sk.roc_auc_score(there, binary),
        "average_precision_binary": sk.average_precision_score(there, binary),
        "f1_binary": sk.f1_score(there, binary > 0.5),
        "precision_binary": sk.precision_score(there, binary > 0.5),
        "recall_binary": sk.recall_score(there, binary > 0.5),
    }
    found = {name: float(CLASSES.metrics[name].compute(predicted, target)) for name in expected}
    assert found == pytest.approx(expected, abs=1e-6)
    many, classes = scores(4)
    several = CLASSES.metrics["auroc"].compute(CLASSES.predicted(many), classes)
    expected = sk.roc_auc_score(classes, CLASSES.predicted(many), multi_class="ovr")
    assert float(several) == pytest.approx(expected, abs=1e-5)


def test_logits_probabilities_and_logarithms_of_them_are_one_prediction() -> None:
    logits, _ = scores(3)
    for output in (logits, logits.softmax(1), logits.log_softmax(1)):
        assert torch.allclose(CLASSES.predicted(output), logits.softmax(1), atol=1e-6)


def test_one_output_for_two_classes_is_the_second_ones_and_its_loss_may_say_what_it_is() -> None:
    output = torch.tensor([0.2, 0.7])
    assert torch.equal(CLASSES.predicted(output)[:, 1], output)
    assert torch.equal(CLASSES.predicted(output, "bce")[:, 1], output)
    assert torch.equal(CLASSES.predicted(output, "bce_with_logits")[:, 1], output.sigmoid())
    assert torch.equal(CLASSES.predicted(output * 9)[:, 1], (output * 9).sigmoid())


@pytest.mark.parametrize(
    ("output", "target", "wanted"),
    [
        (torch.randn(3, 1), torch.tensor([[0.0], [1.0], [1.0]]), [0, 1, 1]),
        (torch.randn(3, 4), torch.eye(4)[[3, 0, 2]], [3, 0, 2]),
        (torch.randn(3, 4, 1, 1), torch.tensor([3, 0, 2]), [3, 0, 2]),
        (torch.randn(4), torch.tensor([2]), [2]),
        (torch.tensor(0.3), torch.tensor(1), [1]),
        (torch.randn(3), torch.tensor([-1.0, 1.0, -1.0]), [0, 1, 0]),
        ([[0.1, 0.9], [0.8, 0.2]], [1, 0], [1, 0]),
    ],
)
def test_outputs_and_targets_come_in_many_forms(output: Any, target: Any, wanted: list[int]) -> None:
    shaped, classes = CLASSES.shaped(output, target)
    assert classes.tolist() == wanted and len(shaped) == len(wanted) and shaped.dim() <= 2


@pytest.mark.parametrize(
    ("output", "target", "said"),
    [
        (torch.randn(0, 3), torch.zeros(0), "no samples"),
        (torch.randn(4, 3), torch.tensor([0, 1, 3, 2]), r"0\.\.2"),
        (torch.randn(4, 3), torch.tensor([0.5, 1, 2, 2]), "class number"),
        (torch.randn(4, 3), torch.tensor([float("nan"), 1, 2, 2]), "class number"),
        (torch.randn(5, 3), torch.tensor([0, 1, 2, 2]), "one row for each of 4"),
        (torch.tensor(0.7), torch.tensor([0, 1]), "one row for each of 2"),
        (["a"], torch.tensor([0]), "no tensor, but list"),
    ],
)
def test_what_is_no_classifiers_is_refused_in_plain_words(output: Any, target: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        CLASSES.shaped(output, target)


def test_a_prediction_that_is_no_number_is_no_class() -> None:
    logits, target = scores(3)
    logits[7, 1] = torch.nan
    predicted = CLASSES.predicted(logits)
    for name, one in CLASSES.metrics.items():
        assert name.endswith("_binary") or math.isnan(float(one.compute(predicted, target))), name


def test_a_number_of_two_classes_says_so_for_more() -> None:
    logits, target = scores(4)
    with pytest.raises(ValueError, match="two classes, and there are 4"):
        CLASSES.metrics["f1_binary"].compute(CLASSES.predicted(logits), target)


def test_a_class_that_nobody_has_doesnt_lower_the_mean_over_classes() -> None:
    predicted = torch.eye(4)[[0, 1, 1, 0]]
    assert float(CLASSES.metrics["f1"].compute(predicted, torch.tensor([0, 1, 1, 0]))) == 1


def test_a_loss_is_the_mean_of_its_samples_by_hand() -> None:
    logits, target = scores(3, 20)
    logs, rows = logits.log_softmax(1), torch.arange(20)
    one_hot = torch.eye(3)[target]
    alone = one_hot * logits.sigmoid().log() + (1 - one_hot) * (-logits).sigmoid().log()
    by_hand = {
        "cross_entropy": (logits, -logs[rows, target]),
        "nll of log-probabilities": (logs, -logs[rows, target]),
        "nll of probabilities": (logs.exp(), -logs[rows, target]),
        "cross_entropy with label smoothing 0.1": (logits, -0.9 * logs[rows, target] - 0.1 * logs.mean(1)),
        "bce_with_logits of one-hot targets": (logits, -alone.mean(1)),
        "focal": (logits, -((1 - logs.exp()[rows, target]) ** 2) * logs[rows, target]),
    }
    one, two = logits[:, 0], (target > 0).float()
    p = one.sigmoid()
    likelihood = two * p.log() + (1 - two) * (1 - p).log()
    by_hand |= {
        "bce_with_logits": (one, -likelihood),
        "bce": (p, -likelihood),
        "focal with logits": (one, -likelihood * (two * 0.25 * (1 - p) ** 2 + (1 - two) * 0.75 * p**2)),
        "hinge": (one, (1 - one * (2 * two - 1)).clamp_min(0)),
    }
    assert set(by_hand) == set(CLASSES.losses)
    for name, (output, expected) in by_hand.items():
        classes = target if output.dim() == 2 else two.long()
        loss = CLASSES.losses[name]
        assert loss.each is not None and not loss.higher_is_better
        assert torch.allclose(loss.each(output, classes), expected, atol=1e-5), name
        assert float(loss.compute(output, classes)) == pytest.approx(float(expected.mean()), abs=1e-5)
        with pytest.raises(ValueError, match="this loss is for outputs"):
            loss.compute(torch.randn(20, 3) if output.dim() == 1 else one, classes)


def test_a_loss_of_probabilities_is_none_of_logits() -> None:
    """Clamped, logits that are sure of themselves have a loss of 0, which another loss may well have."""
    for family, name, output in (
        (CLASSES, "bce", torch.tensor([-3.0, 4])),
        (CLASSES, "nll of probabilities", torch.tensor([[3.0, -4], [-1, 2]])),
        (CLASSES, "nll of log-probabilities", torch.tensor([[3.0, -4], [-1, 2]])),
        (LABELS, "bce", torch.tensor([[3.0, -4], [-1, 2]])),
    ):
        with pytest.raises(ValueError, match="probabilities, and outputs lie"):
            family.losses[name].compute(
                output, torch.tensor([[0, 1], [1, 0]]) if family is LABELS else torch.tensor([0, 1])
            )


def test_what_each_sample_has_is_what_the_whole_has() -> None:
    for family, (output, target) in ((CLASSES, scores(7)), (LABELS, labelled())):
        predicted = family.predicted(output)
        for one in family.metrics.values():
            if one.each is not None:
                values = torch.as_tensor(one.each(predicted, target)).double()
                assert len(values) == 300
                assert float(values.mean()) == pytest.approx(float(one.compute(predicted, target)), abs=1e-6), one.name


def test_batches_are_joined_to_the_whole() -> None:
    logits, target = scores(5)
    parts = [CLASSES.shaped(one, other) for one, other in zip(logits.split(64), target.split(64), strict=True)]
    output, classes = (joined(part) for part in zip(*parts, strict=True))
    assert torch.equal(output, logits) and torch.equal(classes, target)


def labelled() -> tuple[Tensor, Tensor]:
    random = np.random.default_rng(5)
    target = torch.from_numpy(random.integers(0, 2, (300, 4)) * random.integers(0, 2, (300, 4)))
    return torch.from_numpy(random.normal(size=(300, 4))).float() + target * 1.5 - 0.7, target


def test_metrics_of_several_labels_are_those_of_scikit_learn() -> None:
    logits, target = labelled()
    predicted = LABELS.predicted(logits)
    said, there, p = (predicted > 0.5).numpy(), target.numpy(), predicted.numpy()
    expected = {
        "accuracy": (said == there).mean(),
        "exact_match": sk.accuracy_score(there, said),
        "hamming_distance": sk.hamming_loss(there, said),
        "f1": sk.f1_score(there, said, average="macro"),
        "f1_micro": sk.f1_score(there, said, average="micro"),
        "f1_weighted": sk.f1_score(there, said, average="weighted"),
        "f1_samples": cast(Any, sk).f1_score(there, said, average="samples", zero_division=0),
        "precision": sk.precision_score(there, said, average="macro"),
        "recall_micro": sk.recall_score(there, said, average="micro"),
        "iou": sk.jaccard_score(there, said, average="macro"),
        "auroc": sk.roc_auc_score(there, p, average="macro"),
        "auroc_micro": sk.roc_auc_score(there, p, average="micro"),
        "average_precision": sk.average_precision_score(there, p, average="macro"),
        "ranking_average_precision": sk.label_ranking_average_precision_score(there, p),
    }
    found = {name: float(LABELS.metrics[name].compute(predicted, target)) for name in expected}
    assert found == pytest.approx({name: float(value) for name, value in expected.items()}, abs=1e-5)
    assert LABELS.answer(torch.tensor([0.9, 0.1, 0.6])) == [0, 2]


def test_labels_of_minus_one_and_one_are_labels_too_and_others_are_refused() -> None:
    assert LABELS.shaped(torch.randn(2, 2), torch.tensor([[-1, 1], [1, 1]]))[1].tolist() == [[0, 1], [1, 1]]
    for target, said in ((torch.tensor([[2, 1], [0, 1]]), "0 or 1"), (torch.tensor([1, 0]), "for each label")):
        with pytest.raises(ValueError, match=said):
            LABELS.shaped(torch.randn(2, 2), target)


def test_losses_of_several_labels_are_means_over_them() -> None:
    logits, target = labelled()
    p = logits.sigmoid()
    losses = -(target * p.log() + (1 - target) * (1 - p).log())
    for name, output, expected in (
        ("bce_with_logits", logits, losses.mean()),
        ("bce", p, losses.mean()),
        ("bce_with_logits, summed over labels", logits, losses.sum(1).mean()),
    ):
        assert float(LABELS.losses[name].compute(output, target)) == pytest.approx(float(expected), abs=1e-5)


def test_what_a_script_may_mean_by_f1_has_the_usual_first() -> None:
    names = ["f1", "f1_binary", "f1_micro", "f1_macro", "f1_weighted"]
    assert [one.name for one in variants(CLASSES, "val_F1Score")] == names
    assert [one.name for one in variants(CLASSES, "binary_f1")] == ["f1_binary", "f1", *names[2:]]
    assert variants(CLASSES, "my_own_thing") == [] and formula(CLASSES, "my_own_thing") is None
