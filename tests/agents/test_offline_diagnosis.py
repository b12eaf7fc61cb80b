import math

import pytest

from progressive_training.agents.offline.diagnosis import Curves, Scores, Verdict, diagnose

NONE_YET = Scores("accuracy", (0.8,), higher_is_better=True)


def curves(train: list[float | None], val: list[float | None]) -> Curves:
    return Curves(tuple(range(max(len(train), len(val)))), tuple(train), tuple(val))


@pytest.mark.parametrize(
    ("verdict", "train", "val"),
    [
        ("underfit", [1.9, 1.1, 0.7, 0.5, 0.4], [1.4, 0.9, 0.6, 0.46, 0.41]),
        ("overfit", [1.0, 0.5, 0.2, 0.08, 0.02], [0.9, 0.6, 0.55, 0.63, 0.75]),
        ("overfit", [1.0, 0.4, 0.2, 0.11, 0.10], [0.9, 0.5, 0.401, 0.400, 0.399]),
        ("plateau", [0.70, 0.52, 0.50, 0.499, 0.498], [0.71, 0.53, 0.511, 0.510, 0.510]),
        ("healthy", [1.0, 0.4, 0.2, 0.12, 0.06], [0.9, 0.4, 0.25, 0.2, 0.17]),
        ("diverged", [1.0, 2.4, 9.0], [1.1, 3.0, 8.0]),
        ("diverged", [1.0, math.nan, math.nan], [1.1, math.nan, math.nan]),
        ("diverged", [1.0, 0.9, math.inf], [1.1, 1.0, 1.0]),
    ],
)
def test_the_shape_of_the_curves_names_the_verdict(verdict: Verdict, train: list[float], val: list[float]) -> None:
    assert diagnose(curves([*train], [*val]), NONE_YET).verdict == verdict


def test_one_bad_last_epoch_is_not_yet_overfitting() -> None:
    found = diagnose(curves([1.0, 0.6, 0.4, 0.3, 0.25], [1.0, 0.6, 0.45, 0.35, 0.39]), NONE_YET)

    assert found.verdict != "overfit"


@pytest.mark.parametrize(
    ("values", "higher_is_better", "words"),
    [((0.90, 0.97, 0.95), True, "0.0200 below"), ((0.30, 0.20, 0.25), False, "0.0500 above")],
)
def test_a_score_behind_the_best_one_is_a_regression_in_either_direction(
    values: tuple[float, ...], higher_is_better: bool, words: str
) -> None:
    healthy = curves([1.0, 0.5, 0.3], [1.0, 0.5, 0.3])

    found = diagnose(healthy, Scores("score", values, higher_is_better))

    assert found.verdict == "regressed"
    assert words in found.evidence[0]
    assert "v002" in found.evidence[0]


@pytest.mark.parametrize(
    ("values", "higher_is_better"),
    [((0.9, 0.95, 0.95), True), ((0.9, 0.95, 0.941), True), ((51.2, 50.0, 50.4), False), ((0.0, 0.0), True)],
)
def test_a_score_level_with_the_best_one_or_behind_by_one_percent_is_no_regression(
    values: tuple[float, ...], higher_is_better: bool
) -> None:
    found = diagnose(curves([0.5, 0.5, 0.5], [0.5, 0.5, 0.5]), Scores("score", values, higher_is_better))

    assert found.verdict == "plateau"


def test_what_costs_one_percent_again_and_again_is_a_regression_in_the_end() -> None:
    found = [
        diagnose(curves([0.5, 0.5], [0.5, 0.5]), Scores("accuracy", values, True)).verdict
        for values in ((0.95, 0.943), (0.95, 0.943, 0.936))
    ]

    assert found == ["plateau", "regressed"]


def test_divergence_outranks_a_regression() -> None:
    found = diagnose(curves([1.0, 5.0], [1.0, 7.0]), Scores("accuracy", (0.9, 0.1), True))

    assert found.verdict == "diverged"


def test_the_evidence_carries_the_numbers_that_it_rests_on() -> None:
    found = diagnose(curves([1.947, 0.401], [1.443, 0.408]), Scores("accuracy", (0.9056,), True))

    text = "\n".join(found.evidence)
    for number in ("1.9470", "0.4010", "1.4430", "0.4080", "0.9056", "71.7%", "1.02 times"):
        assert number in text


def test_without_curves_the_scores_decide_and_the_cautions_say_so() -> None:
    found = diagnose(Curves(), Scores("accuracy", (0.9, 0.9), higher_is_better=True))

    assert found.verdict == "plateau"
    assert "no train_loss and no val_loss" in found.cautions[0]


def test_epochs_without_a_loss_are_passed_over() -> None:
    found = diagnose(curves([None, 1.0, 0.6, 0.4], [1.2, None, 0.7, 0.45]), NONE_YET)

    assert found.verdict == "underfit"
    assert "lowest, 0.4500, in epoch 3" in "\n".join(found.evidence)


def test_a_version_without_any_score_or_curve_is_still_described() -> None:
    found = diagnose(Curves(), Scores("accuracy", (None,), higher_is_better=True))

    assert found.verdict == "healthy"
    assert found.evidence == ("No version has a accuracy yet.",)
