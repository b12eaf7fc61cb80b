"""Thresholds, McNemar's test, labels, and what repeated trainings say."""

import math
from itertools import product

import pytest

from progressive_training.loop.judge.noise.thresholds import (
    counted_looks,
    critical_value,
    label_of,
    mcnemar_p,
    mcnemar_threshold,
    threshold,
)


def test_one_look_asks_for_1_96_and_twenty_for_3_02_standard_errors() -> None:
    assert critical_value(1, units=1000) == pytest.approx(1.9600, abs=1e-4)
    assert critical_value(20, units=1000) == pytest.approx(3.0233, abs=1e-4)


def test_few_samples_and_few_repeats_ask_for_student_s_t() -> None:
    assert critical_value(1, units=10) == pytest.approx(2.2622, abs=1e-4)  # t(0.975), 9 degrees of freedom
    assert critical_value(1, units=1000, repeats=5) == pytest.approx(2.7764, abs=1e-4)  # 4 degrees
    assert critical_value(1, units=1000, repeats=10) == pytest.approx(1.9600, abs=1e-4)
    assert critical_value(1, units=20, repeats=5) == pytest.approx(2.7764, abs=1e-4)  # the fewer of both


def test_seed_noise_counts_twice_since_both_versions_had_a_seed() -> None:
    plain = threshold(0.003, looks=1, units=1000)
    floored = threshold(0.003, looks=1, units=1000, seed_sd=0.004, repeats=20)

    assert plain == pytest.approx(1.96 * 0.003, rel=1e-4)
    assert floored == pytest.approx(1.96 * math.sqrt(0.003**2 + 2 * 0.004**2), rel=1e-4)


def test_mcnemar_is_the_binomial_test_of_the_samples_that_changed() -> None:
    assert mcnemar_p(9, 1) == pytest.approx(2 * (1 + 10) / 2**10)
    assert mcnemar_p(1, 9) == mcnemar_p(9, 1)
    assert mcnemar_p(5, 5) == 1
    assert mcnemar_p(0, 0) == 1


@pytest.mark.parametrize("looks", [1, 5, 20])
def test_the_threshold_of_mcnemar_says_what_its_p_value_says(looks: int) -> None:
    for gained, lost in product(range(60), range(0, 60, 3)):
        beyond = abs(gained - lost) / 1000 > mcnemar_threshold(gained + lost, 1000, looks=looks)
        assert beyond == (mcnemar_p(gained, lost) < 0.05 / looks), (gained, lost)


def test_labels_speak_of_the_size_in_either_direction() -> None:
    for delta in (0.03, -0.03):
        assert label_of(delta, 0.02, uncorrected=True) == "significant"
        assert label_of(delta, 0.04, uncorrected=True) == "suggestive"
        assert label_of(delta, 0.04, uncorrected=False) == "noise"


def test_only_a_worse_version_beside_a_picked_one_is_corrected_for_all_pairs() -> None:
    assert counted_looks(20, delta=-0.01, selected=True) == 190
    assert counted_looks(20, delta=0.01, selected=True) == 20
    assert counted_looks(20, delta=-0.01, selected=False) == 20
    assert counted_looks(1, delta=-0.01, selected=True) == 1
