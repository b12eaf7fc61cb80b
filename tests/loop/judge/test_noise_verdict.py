"""One version against another: what the difference is called, and why."""

import json
import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from itertools import pairwise, product
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from progressive_training.loop.judge.noise.intervals import interval_of_summed
from progressive_training.loop.judge.noise.metrics import Summed, readings
from progressive_training.loop.judge.noise.samples import Column, SampleScores, load_samples
from progressive_training.loop.judge.noise.thresholds import label_of, mcnemar_p, mcnemar_threshold
from progressive_training.loop.judge.noise.verdict import NoiseVerdict, judge
from progressive_training.loop.store.tree import Tree

Values = Sequence[float] | NDArray[Any]


def column(values: Values) -> Column:
    found, codes = np.unique(np.asarray(values), return_inverse=True)
    whole = bool((found == found.astype(int)).all())
    labels = tuple(int(value) for value in found) if whole else ()
    return Column(codes.astype(np.int64) if whole else None, labels, np.asarray(values, dtype=np.float64))


def version(
    prediction: Values | None = None, target: Values | None = None, groups: Values | None = None, **scores: Values
) -> SampleScores:
    arrays = {name: np.asarray(values, dtype=np.float64) for name, values in scores.items()}
    n = len(next(iter(arrays.values()))) if arrays else len(prediction if prediction is not None else ())
    return SampleScores(
        ids=tuple(str(index) for index in range(n)),
        scores=arrays,
        prediction=Column() if prediction is None else column(prediction),
        target=Column() if target is None else column(target),
        groups=None if groups is None else np.asarray(groups, dtype=np.int64),
    )


def against(new: SampleScores, old: SampleScores, metric: str, **options: Any) -> NoiseVerdict:
    told: dict[str, Any] = {"higher_is_better": metric not in ("loss", "wer", "rmse"), "looks": 10, "against": "v001"}
    verdict = judge(new, old, metric, **(told | options))
    for field in fields(verdict):
        value = getattr(verdict, field.name)
        assert not isinstance(value, float) or math.isfinite(value), field.name
    return verdict


def outcomes(kept: int, gained: int, lost: int, missed: int = 0) -> tuple[SampleScores, SampleScores]:
    new = [1] * kept + [1] * gained + [0] * lost + [0] * missed
    old = [1] * kept + [0] * gained + [1] * lost + [0] * missed
    return version(accuracy=new), version(accuracy=old)


# ------------------------------------------------------------ means


def test_a_loss_is_judged_by_its_paired_differences() -> None:
    rng = np.random.default_rng(1)
    old = rng.exponential(1, 500)
    new = old - 0.1 + rng.normal(0, 0.2, 500)
    differences = old - new

    found = against(version(loss=new), version(loss=old), "loss")

    assert (found.metric, found.against, found.n, found.test) == ("loss", "v001", 500, "bca")
    assert found.delta == pytest.approx(differences.mean())
    assert found.se == pytest.approx(differences.std(ddof=1) / math.sqrt(500))
    assert found.low is not None and found.high is not None and found.se is not None and found.delta is not None
    assert found.threshold == pytest.approx(2.8070 * found.se, rel=1e-4)  # z(1 − 0.05/20)
    assert found.low == pytest.approx(found.delta - 1.96 * found.se, abs=0.1 * found.se)
    assert found.high == pytest.approx(found.delta + 1.96 * found.se, abs=0.1 * found.se)
    assert (found.label, found.ladder, found.note) == ("significant", True, "")


def test_the_interval_covers_the_true_difference_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(200):
        old = rng.exponential(1, 60)
        new = old - rng.exponential(0.5, 60)  # better by 0.5 on average, and skewed
        found = against(version(loss=new), version(loss=old), "loss")
        assert found.low is not None and found.high is not None
        covered += found.low <= 0.5 <= found.high
    assert 180 <= covered <= 199


def test_between_the_single_and_the_corrected_threshold_lies_suggestive() -> None:
    noise = np.tile([1.0, -1.0], 200)
    se = noise.std(ddof=1) / math.sqrt(400)

    labels = [
        against(version(score=shift * se + noise), version(score=np.zeros(400)), "score").label
        for shift in (0.5, 1.5, 2.4, 3.2, -0.5, -2.4, -3.2)
    ]

    assert labels == ["noise", "noise", "suggestive", "significant", "noise", "suggestive", "significant"]


def test_the_ladder_flag_is_for_an_improvement_beyond_one_standard_error() -> None:
    noise = np.tile([1.0, -1.0], 200)
    se = noise.std(ddof=1) / math.sqrt(400)

    flags = [
        against(version(score=shift * se + noise), version(score=np.zeros(400)), "score").ladder
        for shift in (0.9, 1.1, -1.1)
    ]

    assert flags == [False, True, False]


def test_a_worse_version_is_the_mirror_image_of_a_better_one() -> None:
    rng = np.random.default_rng(3)
    a = version(loss=rng.exponential(1, 300), accuracy=rng.integers(0, 2, 300))
    b = version(loss=rng.exponential(1.2, 300), accuracy=rng.integers(0, 2, 300))

    for metric in ("loss", "accuracy"):
        there, back = against(a, b, metric), against(b, a, metric)
        assert there.delta == pytest.approx(-(back.delta or 0))
        assert (there.label, there.p_value) == (back.label, back.p_value)
        assert there.se == pytest.approx(back.se)
        assert there.threshold == pytest.approx(back.threshold)
        assert there.low == pytest.approx(-(back.high or 0), abs=0.1 * (back.se or 0))


def test_grouped_samples_count_as_groups() -> None:
    rng = np.random.default_rng(4)
    groups = np.repeat(np.arange(40), 25)
    difference = np.repeat(rng.normal(0.1, 1, 40), 25)  # a group's samples all say the same
    zeros = np.zeros(1000)

    alone = against(version(score=difference), version(score=zeros), "score")
    grouped = against(version(score=difference, groups=groups), version(score=zeros, groups=groups), "score")

    assert grouped.delta == pytest.approx(alone.delta)
    assert grouped.se == pytest.approx(difference[::25].std(ddof=1) / math.sqrt(40))
    assert (grouped.se or 0) > 4.5 * (alone.se or 0)
    assert (grouped.high or 0) - (grouped.low or 0) > 4 * ((alone.high or 0) - (alone.low or 0))


def test_a_large_set_gets_the_normal_interval() -> None:
    values = np.random.default_rng(5).normal(0.01, 1, 50_000)

    found = against(version(score=values), version(score=np.zeros(50_000)), "score")

    assert found.low == pytest.approx((found.delta or 0) - 1.959964 * (found.se or 0))


# ------------------------------------------------------------ right or wrong


def test_outcomes_are_judged_by_mcnemar_s_exact_test() -> None:
    found = against(*outcomes(kept=880, gained=40, lost=10, missed=70), "accuracy")

    assert found.test == "mcnemar"
    assert found.delta == pytest.approx(0.03)
    assert found.p_value == pytest.approx(mcnemar_p(40, 10))
    assert found.label == "significant"  # p = 2.4e-5 < 0.05 / 10


def test_mcnemar_is_corrected_for_the_looks() -> None:
    new, old = outcomes(kept=900, gained=20, lost=7, missed=73)  # p = 0.019

    labels = [against(new, old, "accuracy", looks=looks).label for looks in (1, 2, 10)]

    assert labels == ["significant", "significant", "suggestive"]


def test_few_changed_samples_are_noise_however_one_sided() -> None:
    assert against(*outcomes(kept=990, gained=4, lost=0), "accuracy").label == "noise"  # p = 0.125


def test_outcomes_are_taken_from_prediction_and_target_where_no_score_says_them() -> None:
    target = np.arange(100) % 5
    old = np.where(np.arange(100) < 30, (target + 1) % 5, target)

    found = against(version(target, target), version(old, target), "val_accuracy")

    assert (found.test, found.delta, found.label) == ("mcnemar", 0.3, "significant")


def test_outcomes_in_groups_are_not_independent_and_get_no_exact_test() -> None:
    new, old = outcomes(kept=80, gained=12, lost=0, missed=8)
    groups = np.arange(100) // 5

    found = against(replace(new, groups=groups), replace(old, groups=groups), "accuracy")

    assert found.test == "bca"


# ------------------------------------------------------------ metrics that are no mean


def classes(seed: int, n: int = 200, count: int = 4) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Targets, and two versions' predictions."""
    rng = np.random.default_rng(seed)
    target = rng.integers(count, size=n)
    old = np.where(rng.random(n) < 0.7, target, rng.integers(count, size=n))
    return target, np.where(rng.random(n) < 0.2, target, old), old


def macro_f1(target: NDArray[np.int64], predicted: NDArray[np.int64]) -> float:
    scores: list[float] = []
    for label in range(10):
        right = sum(1 for t, p in zip(target, predicted, strict=True) if t == p == label)
        there, said = int((target == label).sum()), int((predicted == label).sum())
        if there + said:
            scores.append(2 * right / (there + said))
    return sum(scores) / len(scores)


def test_macro_f1_is_torchmetrics_macro_f1() -> None:
    # Class 3 is predicted and never there, class 4 neither: torchmetrics 1.9, num_classes=5, gives these numbers.
    target, predicted = [0, 0, 1, 1, 2, 2, 2, 0], [0, 1, 1, 1, 2, 3, 2, 0]
    same = version(predicted, target)
    expected = {"f1": 0.6, "precision": 2 / 3, "recall": 7 / 12, "f1_weighted": 0.8, "f1_micro": 0.75}

    for metric, value in expected.items():
        way = next(iter(readings(metric, same, same, np.arange(8))))
        assert way.both() == pytest.approx((value, value)), metric


def test_the_joint_bootstrap_of_macro_f1_equals_brute_force() -> None:
    target, new, old = classes(6, n=120)
    rng = np.random.default_rng(7)
    drawn = [rng.integers(120, size=120) for _ in range(1500)]
    brute = np.array([macro_f1(target[i], new[i]) - macro_f1(target[i], old[i]) for i in drawn])

    found = against(version(new, target), version(old, target), "f1")

    assert found.test == "joint bootstrap"
    assert found.delta == pytest.approx(macro_f1(target, new) - macro_f1(target, old))
    assert found.se == pytest.approx(brute.std(ddof=1), rel=0.08)
    without = [np.delete(np.arange(120), i) for i in range(120)]
    left = np.array([macro_f1(target[i], new[i]) - macro_f1(target[i], old[i]) for i in without])
    low, high = _bca(brute, left, found.delta or 0)
    assert found.low == pytest.approx(low, abs=0.25 * (found.se or 0))
    assert found.high == pytest.approx(high, abs=0.25 * (found.se or 0))


def _bca(resampled: NDArray[np.float64], left_out: NDArray[np.float64], estimate: float) -> list[float]:
    """Efron 1987, formulas 2.3 and 6.6, by hand."""
    normal = NormalDist()
    bias = normal.inv_cdf(float((resampled < estimate).mean() + (resampled == estimate).mean() / 2))
    pull = left_out.mean() - left_out
    skew = float((pull**3).sum() / (6 * (pull**2).sum() ** 1.5))
    shifted = [bias + normal.inv_cdf(tail) for tail in (0.025, 0.975)]
    return [float(np.quantile(resampled, normal.cdf(bias + z / (1 - skew * z)))) for z in shifted]


def test_every_resample_of_a_small_set_gives_the_brute_force_value() -> None:
    target, new = np.array([0, 0, 1]), np.array([0, 1, 1])
    way = next(iter(readings("f1", version(new, target), version(target, target), np.arange(3))))
    assert isinstance(way, Summed)

    for drawn in product(range(3), repeat=3):
        weights = np.bincount(drawn, minlength=3).astype(float)
        index = np.array(drawn)
        assert float(way.value(weights @ way.new)) == pytest.approx(macro_f1(target[index], new[index]))


def test_error_rates_are_ratios_of_sums() -> None:
    rng = np.random.default_rng(8)
    length = rng.integers(1, 60, 400)
    old = rng.binomial(length, 0.2)
    new = rng.binomial(old, 0.8)

    found = against(version(errors=new, length=length), version(errors=old, length=length), "wer")

    assert found.test == "joint bootstrap"
    assert found.delta == pytest.approx((old.sum() - new.sum()) / length.sum())
    residual = (old - new) - (found.delta or 0) * length
    assert found.se == pytest.approx(math.sqrt(400) * residual.std() / length.sum(), rel=0.05)
    assert found.label == "significant"


def test_a_root_mean_square_is_resampled_as_one() -> None:
    rng = np.random.default_rng(9)
    target = rng.normal(0, 1, 300)
    new, old = target + rng.normal(0, 0.5, 300), target + rng.normal(0, 1.0, 300)

    found = against(version(new, target), version(old, target), "rmse")

    expected = math.sqrt(((old - target) ** 2).mean()) - math.sqrt(((new - target) ** 2).mean())
    assert found.delta == pytest.approx(expected)
    assert found.label == "significant"


def test_auroc_needs_probabilities_and_has_de_long_s_standard_error() -> None:
    rng = np.random.default_rng(10)
    target = np.repeat([0, 1], 150)
    scores = [np.clip(rng.normal(0.4 + gap * target, 0.2), 0, 1) for gap in (0.3, 0.15)]
    new, old = (version(target, target) for _ in range(2))

    assert against(new, old, "auroc").label is None

    new, old = (replace(new, probabilities=np.stack([1 - s, s], axis=1)) for s in scores)
    found = against(new, old, "auroc")
    area = [np.mean([(p > q) + (p == q) / 2 for p in s[150:] for q in s[:150]]) for s in scores]
    drawn = [np.concatenate([rng.integers(150, size=150), 150 + rng.integers(150, size=150)]) for _ in range(300)]
    brute = np.std([_auroc(scores[0][i]) - _auroc(scores[1][i]) for i in drawn], ddof=1)
    assert found.delta == pytest.approx(area[0] - area[1])
    assert found.se == pytest.approx(brute, rel=0.15)


def _auroc(score: NDArray[np.float64]) -> float:
    return float((score[150:, None] > score[:150]).mean())


def test_more_samples_than_units_are_gathered_and_say_the_same() -> None:
    few = classes(11, n=2000)
    many = [np.tile(values, 6) for values in few]

    small = against(version(few[1], few[0]), version(few[2], few[0]), "f1")
    large = against(version(many[1], many[0]), version(many[2], many[0]), "f1")

    assert large.delta == pytest.approx(small.delta)
    assert large.se == pytest.approx((small.se or 0) / math.sqrt(6), rel=0.06)


def test_groups_widen_the_joint_bootstrap_too() -> None:
    target, new, old = classes(12, n=50)
    ten = [np.repeat(values, 10) for values in (new, old, target)]
    groups = np.repeat(np.arange(50), 10)

    once = against(version(new, target), version(old, target), "f1")
    copied = against(version(ten[0], ten[2], groups), version(ten[1], ten[2], groups), "f1")

    assert copied.delta == pytest.approx(once.delta)
    assert copied.se == pytest.approx(once.se, rel=0.05)


# ------------------------------------------------------------ published values


def test_the_published_value_tells_which_average_is_meant() -> None:
    target, new, old = classes(13, count=2)
    a, b = version(new, target), version(old, target)
    both = {way.name: way.both() for way in readings("f1", a, b, np.arange(200))}

    for name in ("macro f1", "binary f1", "weighted f1", "micro f1"):
        published = both[f"{name} of prediction and target"]
        found = against(a, b, "f1", published=published)
        assert found.delta == pytest.approx(published[0] - published[1]), name


def test_no_label_where_the_samples_do_not_give_the_published_value() -> None:
    target, new, old = classes(14)
    a, b = version(new, target), version(old, target)

    found = against(a, b, "f1", published=(0.3, 0.9))

    assert (found.label, found.delta, found.threshold) == (None, None, None)
    assert "not the published values" in found.note


def test_a_published_loss_that_was_averaged_over_batches_is_near_enough() -> None:
    rng = np.random.default_rng(15)
    old = rng.exponential(1, 500)
    new = old - 0.2 + rng.normal(0, 0.3, 500)
    published = (float(new.mean()) + 0.01, float(old.mean()) + 0.0105)

    found = against(version(loss=new), version(loss=old), "loss", published=published)

    assert (found.label, found.note) == ("significant", "")


# ------------------------------------------------------------ seeds, looks, selection


def test_a_seed_noise_floor_turns_a_significant_difference_into_noise() -> None:
    new, old = outcomes(kept=880, gained=40, lost=10, missed=70)

    floored = against(new, old, "accuracy", seed_sd=0.02, repeats=10)

    assert floored.threshold == pytest.approx(2.8070 * math.sqrt((floored.se or 0) ** 2 + 2 * 0.02**2), rel=1e-4)
    assert floored.label == "noise"
    assert against(new, old, "accuracy", seed_sd=0.001, repeats=10).label == "significant"


def test_a_worse_version_beside_the_picked_best_needs_more_and_a_better_one_does_not() -> None:
    worse, better = outcomes(900, 7, 25, 68), outcomes(900, 25, 7, 68)  # p = 0.0021 < 0.05 / 10, > 0.05 / 45

    assert against(*worse, "accuracy").label == "significant"
    assert against(*worse, "accuracy", selected=True).label == "suggestive"
    assert against(*better, "accuracy", selected=True).label == "significant"


@pytest.mark.parametrize("wrong", [{"looks": 0}, {"seed_sd": 0.1}, {"seed_sd": 0.1, "repeats": 1}, {"seed_sd": -1}])
def test_what_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="looks must be"):
        against(*outcomes(10, 5, 5), "accuracy", **wrong)


def test_null_loops_are_called_significant_at_most_five_times_in_a_hundred() -> None:
    rng = np.random.default_rng(16)
    loops, versions, n, false = 200, 20, 1000, 0
    for _ in range(loops):
        chances = rng.beta(0.57, 0.063, n)
        runs = rng.random((versions, n)) < chances
        false += any(_called_significant(new, old, versions) for old, new in pairwise(runs))
    assert 1 <= false <= 0.05 * loops


def _called_significant(new: NDArray[np.bool_], old: NDArray[np.bool_], looks: int) -> bool:
    gained, lost = int((new & ~old).sum()), int((old & ~new).sum())
    bound = mcnemar_threshold(gained + lost, len(new), looks=looks)
    return label_of((gained - lost) / len(new), bound, uncorrected=False) == "significant"


def test_judge_and_the_simulated_decision_are_one() -> None:
    rng = np.random.default_rng(17)
    seen: set[bool] = set()
    for shift in (0.0, 0.03, 0.06, 0.1):
        old = rng.random(400) < 0.85
        new = old | (rng.random(400) < shift / 0.15)
        called = _called_significant(new, old, 10)
        assert (against(version(accuracy=new), version(accuracy=old), "accuracy").label == "significant") == called
        seen.add(called)
    assert seen == {True, False}


# ------------------------------------------------------------ degenerate


def test_identical_versions_are_noise_without_width() -> None:
    target, new, _ = classes(18)
    same = version(new, target, loss=np.ones(200), accuracy=(new == target).astype(float))

    for metric in ("loss", "accuracy", "f1", "mcc"):
        found = against(same, same, metric)
        assert (found.label, found.delta, found.low, found.high, found.se) == ("noise", 0, 0, 0, 0), metric
        assert (found.ladder, found.p_value) == (False, 1)
        assert found.note == "every sample scores the same in both"


def test_a_constant_shift_is_certain_on_these_samples() -> None:
    old = np.random.default_rng(19).normal(0, 1, 100)

    found = against(version(score=old + 0.1), version(score=old), "score")

    assert found.low == pytest.approx(0.1) and found.high == pytest.approx(0.1)
    assert (found.label, found.note) == ("significant", "every sample differs by the same")


def test_one_differing_sample_has_an_interval_and_is_noise() -> None:
    new = np.zeros(1000)
    new[7] = 5.0

    assert against(version(score=new), version(score=np.zeros(1000)), "score").label == "noise"


@pytest.mark.parametrize("n", [1, 2, 9])
def test_a_handful_of_samples_gives_no_verdict_on_a_mean(n: int) -> None:
    found = against(version(loss=np.arange(n) + 3), version(loss=np.arange(n) * 2.5 + 1), "loss")

    assert (found.label, found.delta, found.low, found.p_value) == (None, None, None, None)
    assert found.note == f"{n} samples are too few to judge a difference by"


def test_a_handful_of_groups_gives_no_verdict() -> None:
    groups = np.arange(100) % 3
    found = against(version(loss=np.arange(100), groups=groups), version(loss=np.ones(100), groups=groups), "loss")

    assert found.label is None and "3 groups" in found.note


@pytest.mark.parametrize("n", [1, 5, 9])
def test_a_handful_of_outcomes_has_its_exact_test_and_no_interval(n: int) -> None:
    found = against(*outcomes(0, n, 0), "accuracy", looks=1)

    assert found.p_value == pytest.approx(min(1, 2 * 0.5**n))
    assert (found.low, found.high) == (None, None)
    assert found.label == ("significant" if n == 9 else "noise")


def test_two_classes_that_vanish_from_a_resample_leave_no_nan() -> None:
    target = np.array([0] * 30 + [1])
    new, old = target.copy(), np.zeros(31, dtype=int)

    for metric in ("f1", "recall", "precision", "mcc"):
        assert against(version(new, target), version(old, target), metric).label is not None


def test_differing_sample_ids_are_told_and_not_judged() -> None:
    found = against(version(loss=np.arange(30)), version(loss=np.arange(20)), "loss")

    assert (found.label, found.delta, found.n) == (None, None, 30)
    assert found.note.startswith("the evaluators' sample ids differ: 10 are in this version only, 0 in the other")


def test_a_metric_that_the_samples_do_not_hold_says_what_it_would_need() -> None:
    for metric in ("spearman", "bleu", "f1", "wer", "rmse", "r2"):
        found = against(version(loss=np.arange(30)), version(loss=np.arange(30)), metric)
        assert found.label is None and metric in found.note and "prediction and target" in found.note


def test_no_samples_at_all_are_no_reason_to_fail() -> None:
    assert against(version(), version(), "loss").note == "there are no samples"


def test_samples_from_disk_are_judged_whatever_their_order(tmp_path: Path) -> None:
    root = tmp_path / "내 프로젝트 1"
    root.mkdir()
    tree, rng = Tree(root), np.random.default_rng(20)
    target = rng.integers(3, size=80).tolist()
    for name, right in (("v001", 0.5), ("v002", 0.95)):
        rows = [
            {
                "id": f"표본 {i}",
                "scores": {"loss": 1 - right + i / 100},
                "prediction": t if rng.random() < right else "?",
            }
            for i, t in enumerate(target)
        ]
        lines = [json.dumps(row | {"target": t}, ensure_ascii=False) for row, t in zip(rows, target, strict=True)]
        tree.write(f"{name}.jsonl", "\n".join(reversed(lines) if name == "v001" else lines).encode())

    new, old = load_samples(tree, "v002.jsonl"), load_samples(tree, "v001.jsonl")

    assert against(new, old, "loss").delta == pytest.approx(0.45)
    assert against(new, old, "f1").label == "significant"
    assert against(new, old, "accuracy").test == "mcnemar"


def test_the_same_call_gives_the_same_verdict() -> None:
    target, new, old = classes(21)
    way = next(iter(readings("f1", version(new, target), version(old, target), np.arange(200))))
    assert isinstance(way, Summed)

    assert interval_of_summed(way, 1, seed=1) == interval_of_summed(way, 1, seed=1)
    assert interval_of_summed(way, 1, seed=1) != interval_of_summed(way, 1, seed=2)


def test_nothing_heavy_is_imported_before_the_first_verdict() -> None:
    code = (
        "import sys, progressive_training.loop.judge.noise.verdict\n"
        "sys.exit(', '.join({'numpy', 'scipy', 'pandas', 'torch'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
