"""Axes: round numbers on them, and where a value lies."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

# Beyond these, a difference or a tenth of it may be no number any more.
_LARGEST, _SMALLEST = 1e300, 1e-300


@dataclass(frozen=True)
class Scale:
    """From values to pixels; values outside lie at the edge."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self, most: int = 6, *, whole: bool = False) -> tuple[tuple[float, str], ...]:
        """Pixels and text of at most `most` round values inside; with `whole` no fractions."""
        step = _round_step((self.high - self.low) / max(1, most - 1))
        step = max(1.0, math.ceil(step)) if whole else step
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        digits = next((digits for digits in range(8) if abs(round(step, digits) - step) < step * 1e-6), 8)
        values = [number * step for number in range(first, last + 1)]
        return tuple((self(value), _told(value, digits)) for value in values)


def scale(values: Iterable[float], start: float, end: float, *, pad: float = 0.08) -> Scale:
    """One that holds all finite values, with `pad` of their span on either side."""
    finite = [min(max(value, -_LARGEST), _LARGEST) for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    size = max(abs(low), abs(high))
    if high - low <= max(1e-12 * size, _SMALLEST):  # all the same
        half = max(size / 2, 0.5 if size < _SMALLEST else 0)
        return Scale(low - half, high + half, start, end)
    return Scale(low - pad * (high - low), high + pad * (high - low), start, end)


def number(value: float) -> str:
    """Four significant digits, without what a reader must decode; 0.9815, 12.35, 1.2e-05."""
    return f"{value:.4f}" if 0.1 <= abs(value) < 1 else f"{value:.4g}"


def signed(value: float) -> str:
    """A difference with its sign, a minus as wide as a plus."""
    return f"{value:+.4g}".replace("-", "\N{MINUS SIGN}")


def _round_step(step: float) -> float:
    """The smallest of 1, 2, 2.5 or 5 times a power of ten that is not below."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= step * (1 - 1e-9))


def _told(value: float, digits: int) -> str:
    if value and (abs(value) >= 1e6 or digits > 6):
        return f"{value:.3g}"
    return f"{value:,.{digits}f}"
