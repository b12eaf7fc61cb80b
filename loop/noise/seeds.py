"""What repeated trainings of one script say about luck."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

MEANINGFUL = 0.75  # of Bouthillier et al. 2021


@dataclass(frozen=True)
class Improvement:
    """P(A > B) with its 95 % percentile-bootstrap interval."""

    probability: float
    low: float
    high: float

    @property
    def meaningful(self) -> bool:
        return self.probability >= MEANINGFUL and self.low > 0.5


def probability_of_improvement(a: Sequence[float], b: Sequence[float], *, seed: int = 42) -> Improvement:
    """How often a run of A beats a run of B, ties counting half; higher values are better (Bouthillier et al. 2021).

    The interval resamples the runs of each arm; with fewer than about 10 runs an arm it is too narrow. Raises
    `ValueError` for an empty arm.
    """
    import numpy as np

    if not a or not b:
        raise ValueError("each arm needs at least one run")
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    wins = (x[:, None] > y).astype(np.float64) + 0.5 * (x[:, None] == y)
    rng = np.random.default_rng(seed)
    resampled = [
        wins[np.ix_(rng.integers(len(x), size=len(x)), rng.integers(len(y), size=len(y)))].mean() for _ in range(4999)
    ]
    low, high = np.quantile(resampled, [0.025, 0.975])
    return Improvement(float(wins.mean()), float(low), float(high))


def expected_best_of_k(values: Sequence[float], k: int, *, higher_is_better: bool = True) -> float:
    """The best of `k` runs drawn with replacement from those that were made, on average (Dodge et al. 2019).

    Raises `ValueError` for no values or k < 1.
    """
    if not values or k < 1:
        raise ValueError("at least one value and k >= 1 are needed")
    n = len(values)
    ordered = sorted(values, reverse=not higher_is_better)
    return sum(value * ((i / n) ** k - ((i - 1) / n) ** k) for i, value in enumerate(ordered, 1))


def seeds_all_better_by_chance(k: int) -> float:
    """The chance that all `k` seeds of one arm beat all `k` of the other without any difference: 1 / C(2k, k)."""
    return 1 / math.comb(2 * k, k)
