"""What a difference must exceed, and what it is then called. Plain numbers in, no resampling."""

import math
from statistics import NormalDist
from typing import Literal

from .scipy_calls import fair_coin_p, fair_coin_quantile, t_quantile

Label = Literal["noise", "suggestive", "significant"]

ALPHA = 0.05
MANY_REPEATS = 10  # from here the sd of the repeats is taken as known
MANY_UNITS = 100  # from here the sd of the differences is


def critical_value(looks: int, *, units: int, repeats: int | None = None) -> float:
    """z(1 − 0.05/(2·looks)); Student's t in its place where an sd comes from few samples or few repeats.

    `looks` is the number of versions that one validation set may judge; 1 gives the uncorrected 1.96.
    """
    degrees = [units - 1] if units < MANY_UNITS else []
    if repeats is not None and repeats < MANY_REPEATS:
        degrees.append(repeats - 1)
    probability = 1 - ALPHA / (2 * looks)
    return t_quantile(probability, min(degrees)) if degrees else NormalDist().inv_cdf(probability)


def threshold(se: float, *, looks: int, units: int, seed_sd: float | None = None, repeats: int | None = None) -> float:
    """What |delta| must exceed: critical value · √(SE² + 2σ̂²), with σ̂ the sd of a metric over repeated trainings.

    Twice σ̂², since the seed moved both versions. `units` are the independent samples (groups) behind SE.
    """
    floor = 0.0 if seed_sd is None else 2 * seed_sd**2
    return critical_value(looks, units=units, repeats=repeats if seed_sd is not None else None) * math.sqrt(
        se**2 + floor
    )


def counted_looks(looks: int, *, delta: float, selected: bool) -> int:
    """The looks to correct for: all pairs of versions that compare a worse one with the luckiest before it.

    The best so far was picked for its score on this very validation set, so the next version looks worse than it is. A
    better one beats the luck too, and needs no more than the plain correction.
    """
    return max(looks, looks * (looks - 1) // 2) if selected and delta < 0 else looks


def mcnemar_p(gained: int, lost: int) -> float:
    """Exact two-sided p-value: of the samples whose outcome changed, `gained` became right and `lost` wrong."""
    return fair_coin_p(gained, gained + lost)


def mcnemar_threshold(changed: int, n: int, *, looks: int) -> float:
    """|gained − lost| / n must exceed this for p < 0.05/looks, with `changed` samples that differ out of `n`."""
    fewest = fair_coin_quantile(ALPHA / looks / 2, changed) - 1  # the most of the rarer kind that still passes
    if fewest >= 0 and fair_coin_p(fewest, changed) >= ALPHA / looks:
        fewest -= 1  # the quantile is exact up to rounding
    # Differences come in steps of two; the bound lies between the last that doesn't do and the first that does.
    return (changed - 2 * fewest - 1) / n


def called(label: Label | None, delta: float | None) -> str:
    """A label with its direction, "significantly worse": one word beside a gain was read as praise. Noise has none."""
    if label is None or label == "noise" or delta is None:
        return label or ""
    return f"{label}ly {'better' if delta > 0 else 'worse'}"


def label_of(delta: float, bound: float, *, uncorrected: bool) -> Label:
    """Either direction alike; `uncorrected` says whether it would pass if this were the only look."""
    if abs(delta) > bound:
        return "significant"
    return "suggestive" if uncorrected else "noise"
