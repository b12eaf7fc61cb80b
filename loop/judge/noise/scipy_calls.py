# scipy ships no type stubs: what comes out of it is given its type here, and nowhere else.
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false
"""The functions of scipy.stats that the verdicts need, with types."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    FloatArray: TypeAlias = NDArray[np.float64]
    IntArray: TypeAlias = NDArray[np.int64]
    BoolArray: TypeAlias = NDArray[np.bool_]


def t_quantile(probability: float, degrees: int) -> float:
    from scipy import stats

    return float(stats.t.ppf(probability, degrees))


@lru_cache(maxsize=65536)
def fair_coin_p(heads: int, tosses: int) -> float:
    """Two-sided exact p-value of `heads` under a fair coin; 1 without a toss."""
    from scipy import stats

    return float(stats.binomtest(heads, tosses).pvalue) if tosses else 1.0


@lru_cache(maxsize=65536)
def fair_coin_quantile(probability: float, tosses: int) -> int:
    """The smallest number of heads that at most so many or fewer come up with at least this probability."""
    from scipy import stats

    return int(stats.binom.ppf(probability, tosses, 0.5))


def bca_bootstrap(
    data: tuple[FloatArray, ...],
    statistic: Callable[..., FloatArray],
    *,
    resamples: int,
    batch: int,
    seed: int,
) -> tuple[float, float, FloatArray]:
    """Lower and upper end of the 95 % BCa interval, and the statistic of every resample.

    `statistic(*resampled, axis=-1)` works along the last axis; the arrays of `data` are resampled together. The ends
    are NaN where BCa is undefined, for example where no resample lies below the estimate.
    """
    import numpy as np
    from scipy import stats

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the warning says what the NaN says too
        found = stats.bootstrap(
            data,
            statistic,
            paired=len(data) > 1,
            vectorized=True,
            n_resamples=resamples,
            batch=batch,
            method="BCa",
            rng=np.random.default_rng(seed),
        )
    interval = found.confidence_interval
    return float(interval.low), float(interval.high), np.asarray(found.bootstrap_distribution, dtype=np.float64)
