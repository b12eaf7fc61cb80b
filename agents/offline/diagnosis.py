"""What the learning curves and the scores so far say about a version, in one word and in the numbers behind it.

The thresholds are rules of thumb for choosing what to try next. They are no test of significance: that is the server's.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeGuard

from ...loop.store.paths import version_id

Verdict = Literal["diverged", "regressed", "underfit", "overfit", "plateau", "healthy"]

_RISE = 0.05  # a validation loss this far above its own minimum has turned
_STILL_FALLING = 0.03  # a loss that lately gains this much an epoch has more to gain
_GAP = 1.5  # a validation loss this many times the training loss shows memorising
_DIVERGED = 1.5  # a loss this many times its start has blown up
_LEVEL = 0.001  # scores this close, relative to the best, are level
_BEHIND = 0.01  # a score less far behind the best, relative to it, is not worth a training to take the change back


@dataclass(frozen=True)
class Curves:
    """One loss an epoch; None where an epoch has none. The three may be empty, and may differ in length."""

    epochs: tuple[int, ...] = ()
    train_loss: tuple[float | None, ...] = ()
    val_loss: tuple[float | None, ...] = ()


@dataclass(frozen=True)
class Scores:
    """The primary metric of each version up to the one in question; None where a version has none.

    `first` is the number of the first version, which is not 1 where a user brought later scripts.
    """

    name: str
    values: tuple[float | None, ...]
    higher_is_better: bool
    first: int = 1

    def label(self, index: int) -> str:
        """The version_id of `values[index]`."""
        return version_id(self.first + index)

    @property
    def best(self) -> int | None:
        """The index of the first best value; None where there is none."""
        known = [
            (value if self.higher_is_better else -value, -i) for i, value in enumerate(self.values) if _real(value)
        ]
        return -max(known)[1] if known else None


@dataclass(frozen=True)
class Diagnosis:
    """`evidence` are sentences with numbers, `reading` says what they are taken to mean, `cautions` what they can't."""

    verdict: Verdict
    evidence: tuple[str, ...]
    reading: str
    cautions: tuple[str, ...] = ()


def diagnose(curves: Curves, scores: Scores) -> Diagnosis:
    """The most pressing verdict: diverged, then regressed, then what the curves show.

    Without curves the scores alone decide, and the cautions say so.
    """
    train, val = _finite(curves.train_loss), _finite(curves.val_loss)
    evidence = (*_curve_evidence(curves, train, val), *_score_evidence(scores))
    cautions = _cautions(train, val)
    if reason := _divergence(curves, train, val):
        return Diagnosis("diverged", (reason, *evidence), "The steps are too large for this loss.", cautions)
    if reason := _regression(scores):
        reading = "The last change cost more than it brought, or the difference is noise; the curves alone can't tell."
        return Diagnosis("regressed", (reason, *evidence), reading, cautions)
    verdict, reading = _shape(train, val, scores)
    return Diagnosis(verdict, evidence, reading, cautions)


def _shape(train: list[float], val: list[float], scores: Scores) -> tuple[Verdict, str]:
    gap = val[-1] / train[-1] if train and val and train[-1] > 0 else 1.0
    if val and val.index(min(val)) < len(val) - 2 and val[-1] > min(val) * (1 + _RISE) and _falls(train):
        return "overfit", "Training goes on lowering its own loss while the validation loss has turned upwards."
    if len(val) >= 2 and _recent_gain(val) > _STILL_FALLING:
        if gap <= _GAP:
            return (
                "underfit",
                "Training ends before the loss has levelled off, with the validation loss not far above the other.",
            )
        return "healthy", "The validation loss still falls, though the training loss runs ahead of it."
    if gap > _GAP:
        return "overfit", "The validation loss has levelled off well above the training loss."
    if _level_scores(scores) or len(val) >= 2:
        return "plateau", "More of the same gains nothing: the loss, or the score, has levelled off."
    return "healthy", "Nothing stands out."


def _divergence(curves: Curves, train: list[float], val: list[float]) -> str | None:
    for name, values in (("train_loss", curves.train_loss), ("val_loss", curves.val_loss)):
        for epoch, value in zip(curves.epochs, values, strict=False):
            if value is not None and not math.isfinite(value):
                return f"{name} is {value} in epoch {epoch}."
    for name, values in (("train_loss", train), ("val_loss", val)):
        if len(values) >= 2 and values[0] > 0 and values[-1] > values[0] * _DIVERGED:
            times = values[-1] / values[0]
            return f"{name} ended at {values[-1]:.4g}, {times:.1f} times the {values[0]:.4g} of its first epoch."
    return None


def _regression(scores: Scores) -> str | None:
    best = scores.best
    if best is None or best == len(scores.values) - 1 or not _real(last := scores.values[-1]):
        return None
    top = scores.values[best]
    if top is None or abs(top - last) <= _BEHIND * abs(top):
        return None
    worse = "below" if scores.higher_is_better else "above"
    behind = f"{abs(top - last):.4f} {worse} the best so far"
    return f"{scores.name} is {last:.4f}, {behind} ({top:.4f} of {scores.label(best)})."


def _curve_evidence(curves: Curves, train: list[float], val: list[float]) -> list[str]:
    found: list[str] = []
    for name, values in (("train_loss", train), ("val_loss", val)):
        if values:
            found.append(f"{name} went from {values[0]:.4f} to {values[-1]:.4f} in {_epochs(len(values))}.")
    if len(val) >= 2:
        place = next(epoch for epoch, value in zip(curves.epochs, curves.val_loss, strict=False) if value == min(val))
        found.append(
            f"val_loss was lowest, {min(val):.4f}, in epoch {place}; in the last epoch it {_changed(_last_gain(val))}."
        )
    if train and val and train[-1] > 0:
        found.append(f"At the end val_loss is {val[-1] / train[-1]:.2f} times train_loss.")
    return found


def _score_evidence(scores: Scores) -> list[str]:
    known = [(index, value) for index, value in enumerate(scores.values) if _real(value)]
    if not known:
        return [f"No version has a {scores.name} yet."]
    listed = ", ".join(f"{scores.label(index)} {value:.4f}" for index, value in known)
    return [f"{scores.name} so far: {listed}."]


def _cautions(train: list[float], val: list[float]) -> tuple[str, ...]:
    lacking = [name for name, values in (("train_loss", train), ("val_loss", val)) if not values]
    if lacking:
        return (f"There is no {' and no '.join(lacking)} in the learning curves, so the scores weigh more here.",)
    if len(val) < 3:
        return (f"{_epochs(len(val))} of validation loss is little to tell a trend from.",)
    return ()


def _level_scores(scores: Scores) -> bool:
    known = [value for value in scores.values if _real(value)]
    if len(known) < 2:
        return False
    scale = max(abs(value) for value in known) or 1.0
    return abs(known[-1] - known[-2]) <= _LEVEL * scale


def _falls(values: Sequence[float]) -> bool:
    return len(values) >= 2 and values[-1] < values[len(values) // 2]


def _last_gain(values: Sequence[float]) -> float:
    """The share of the loss that the last epoch took off; negative where it added."""
    return (values[-2] - values[-1]) / values[-2] if values[-2] > 0 else 0.0


def _recent_gain(values: Sequence[float]) -> float:
    """The gain of the lowest loss, an epoch, over the last two where there are enough: one may be chance."""
    window = 2 if len(values) >= 4 else 1
    before, after = min(values[:-window]), min(values)
    return (before - after) / before / window if before > 0 else 0.0


def _changed(gain: float) -> str:
    return f"fell by {gain:.1%}" if gain >= 0 else f"rose by {-gain:.1%}"


def _epochs(count: int) -> str:
    return "1 epoch" if count == 1 else f"{count} epochs"


def _finite(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if _real(value)]


def _real(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)
