"""One version against another on the same samples: how large the difference is, and what it may be called."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal

from . import decisions
from .decisions import Label
from .intervals import Interval, interval_of_mean, interval_of_summed, units_of
from .metrics import Summed, summed_metrics
from .samples import SampleScores, matched

if TYPE_CHECKING:
    from .calls import FloatArray, IntArray

Test = Literal["bca", "mcnemar", "joint bootstrap"]

FEWEST = 10  # samples or groups; below, an estimated sd says nothing


@dataclass(frozen=True)
class NoiseVerdict:
    """`delta` is oriented: positive is better, in the metric's own unit. What can't be computed is None, and `note` says why.

    `low`, `high` are the 95 % BCa interval, which knows the validation set's noise and not the seed's; `ladder` says
    delta > SE (Blum & Hardt 2015); |delta| must exceed `threshold` for "significant". `p_value` is not corrected for looks:
    exact for "mcnemar", from delta / SE otherwise.
    """

    metric: str
    against: str
    n: int
    delta: float | None
    low: float | None
    high: float | None
    se: float | None
    ladder: bool
    threshold: float | None
    label: Label | None
    test: Test | None
    p_value: float | None
    note: str = ""


@dataclass(frozen=True)
class _Case:
    """What `judge` was asked."""

    metric: str
    against: str
    n: int
    units: int
    looks: int
    seed_sd: float | None
    repeats: int | None

    def none(self, note: str, delta: float | None = None) -> NoiseVerdict:
        return NoiseVerdict(
            self.metric, self.against, self.n, delta, None, None, None, False, None, None, None, None, note
        )

    def bound(self, se: float, looks: int) -> float:
        return decisions.threshold(se, looks=looks, units=self.units, seed_sd=self.seed_sd, repeats=self.repeats)

    def given(
        self, delta: float, interval: Interval | None, se: float, *, test: Test, p: float, exact: float, note: str
    ) -> NoiseVerdict:
        """`exact` is what McNemar's test asks of |delta|; 0 for the other tests."""
        corrected, single = (self._both(se, looks, exact, test) for looks in (self.looks, 1))
        excluded = interval is None or interval.low > 0 or interval.high < 0
        uncorrected = (p < decisions.ALPHA if test == "mcnemar" else excluded) and abs(delta) > self.floor(single)
        return NoiseVerdict()
