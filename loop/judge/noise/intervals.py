"""Standard error and 95 % interval of a difference: of a mean, and of a function of sums."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

from .scipy_calls import bca_bootstrap

if TYPE_CHECKING:
    from .metrics import Summed
    from .scipy_calls import FloatArray, IntArray

RESAMPLES = 9999
#: Beyond this many samples the BCa correction is smaller than the rounding of a report: the normal interval is given.
MOST_BCA = 10_000
#: A metric that is no mean is resampled over at most this many units: more samples are gathered into them at random.
MOST_UNITS = 2_500
_HEAVY = 200_000  # unit terms from which the joint bootstrap makes do with fewer resamples
_CELLS = 200_000  # of one batch: arrays of 1.6 MB stay in the cache, which is four times as fast as 16 MB
_Z = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True)
class Interval:
    low: float
    high: float
    se: float


def se_of_mean(differences: FloatArray, groups: IntArray | None) -> float:
    """sd/√n; with groups from the groups' sums, since samples of one group don't err independently."""
    import numpy as np

    n = len(differences)
    if _all_equal(differences):  # their sd is rounding error
        return 0.0
    if groups is None:
        return float(np.std(differences, ddof=1)) / math.sqrt(n)
    sums, counts = group_sums(differences, groups)
    residual = sums - differences.mean() * counts
    return math.sqrt(len(sums) / (len(sums) - 1) * float(residual @ residual)) / n


def interval_of_mean(differences: FloatArray, groups: IntArray | None, *, seed: int) -> Interval:
    """BCa over samples, or over whole groups; the normal interval beyond `MOST_BCA` or where BCa is undefined.

    Expects at least two samples (groups). About 40 ms at n = 1,000 and 0.7 s at 10,000; memory below 100 MB.
    """
    import numpy as np

    mean, se = float(differences.mean()), se_of_mean(differences, groups)
    data = (differences,) if groups is None else group_sums(differences, groups)
    units = len(data[0])
    if se == 0 or units > MOST_BCA:
        return Interval(mean - _Z * se, mean + _Z * se, se)

    def statistic(values: FloatArray, counts: FloatArray | None = None, axis: int = -1) -> FloatArray:
        if counts is None:
            return np.asarray(values.mean(axis=axis))
        return np.asarray(values.sum(axis=axis) / counts.sum(axis=axis))

    low, high, _ = bca_bootstrap(data, statistic, resamples=RESAMPLES, batch=max(1, _CELLS // units), seed=seed)
    if not (math.isfinite(low) and math.isfinite(high)):
        low, high = mean - _Z * se, mean + _Z * se
    return Interval(low, high, se)


def interval_of_summed(summed: Summed, sign: int, *, seed: int) -> Interval:
    """BCa of sign · (new − old), both recomputed on the same resampled units; SE is the sd over the resamples."""
    import numpy as np

    units = len(summed.new)

    def statistic(index: FloatArray, axis: int = -1) -> FloatArray:
        drawn = index.astype(np.int64).reshape(-1, index.shape[-1])
        rows = np.arange(len(drawn))[:, None] * units
        weights = np.bincount((drawn + rows).ravel(), minlength=len(drawn) * units).reshape(len(drawn), units)
        weights = weights.astype(np.float64)
        values = sign * (summed.value(weights @ summed.new) - summed.value(weights @ summed.old))
        return values.reshape(index.shape[:-1])

    heavy = summed.new.size > _HEAVY
    low, high, values = bca_bootstrap(
        (np.arange(units, dtype=np.float64),),
        statistic,
        resamples=1999 if heavy else RESAMPLES,
        batch=max(1, _CELLS // max(summed.new.shape)),
        seed=seed,
    )
    delta, se = summed.delta(sign), float(values.std(ddof=1))
    if not (math.isfinite(low) and math.isfinite(high)):
        low, high = delta - _Z * se, delta + _Z * se
    return Interval(low, high, se)


def group_sums(values: FloatArray, groups: IntArray) -> tuple[FloatArray, FloatArray]:
    """Each group's sum and size."""
    import numpy as np

    return np.bincount(groups, weights=values).astype(np.float64), np.bincount(groups).astype(np.float64)


def units_of(n: int, groups: IntArray | None, *, seed: int) -> IntArray:
    """The resampling unit of each sample: its group, itself, or one of `MOST_UNITS` random gatherings of equal size."""
    import numpy as np

    if groups is None and n <= MOST_UNITS:
        return np.arange(n, dtype=np.int64)
    if groups is None:
        return np.random.default_rng(seed).permutation(n) % MOST_UNITS
    count = int(groups.max()) + 1
    if count <= MOST_UNITS:
        return groups
    return (np.random.default_rng(seed).permutation(count) % MOST_UNITS)[groups]


def _all_equal(values: FloatArray) -> bool:
    return float(values.max() - values.min()) <= 1e-12 * float(abs(values).max())
