"""How a metric is recomputed from samples: as the mean of their scores, or as a function of sums over them.

Sums make a resample one matrix product: F1, precision, recall and MCC from the counts by class, word and character
error rate from errors and lengths, RMSE, R² and correlation from moments, AUROC through `ranking`. Averages are those
of torchmetrics, which the rendered 03_eval.py uses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from .auroc import auroc_terms
from .samples import Column, SampleScores

if TYPE_CHECKING:
    from .scipy_calls import FloatArray, IntArray

    Value: TypeAlias = Callable[[FloatArray], FloatArray]

_MOST_CELLS = 20_000_000  # unit terms of one version: 160 MB
_AVERAGES = ("macro", "binary", "weighted", "micro")


@dataclass(frozen=True, eq=False)
class Summed:
    """`value` maps sums of terms (..., m) to the metric (...); `new` and `old` are the terms by unit, (units, m)."""

    name: str
    new: FloatArray
    old: FloatArray
    value: Value

    def both(self) -> tuple[float, float]:
        """The metric over all samples, of the new version and of the old."""
        return float(self.value(self.new.sum(axis=0))), float(self.value(self.old.sum(axis=0)))

    def delta(self, sign: int) -> float:
        new, old = self.both()
        return sign * (new - old)


@dataclass(frozen=True, eq=False)
class PerSample:
    """A metric that is the mean of one value a sample; both arrays (n,), in the same order of samples."""

    name: str
    new: FloatArray
    old: FloatArray

    def both(self) -> tuple[float, float]:
        """The mean of the new version's values and of the old's."""
        return float(self.new.mean()), float(self.old.mean())


def readings(metric: str, new: SampleScores, old: SampleScores, units: IntArray) -> Iterator[PerSample | Summed]:
    """Every way to recompute the metric from what both versions' samples hold, the likeliest first; maybe none.

    `old` is in the order of `new`; `units` (n,) numbers the resampling unit of each sample.
    """
    if metric in new.scores and metric in old.scores:
        yield PerSample(f"the mean of the samples' {metric!r}", new.scores[metric], old.scores[metric])
    elif _plain_name(metric) in ("accuracy", "acc"):
        hits = _hits(new), _hits(old)
        if hits[0] is not None and hits[1] is not None:
            yield PerSample("the share of predictions that equal the target", hits[0], hits[1])
    yield from _summed(_plain_name(metric), new, old, units)


def _hits(samples: SampleScores) -> FloatArray | None:
    import numpy as np

    labels = _common_labels((samples.prediction, samples.target))
    if not labels:
        return None
    return (_coded(samples.prediction, labels) == _coded(samples.target, labels)).astype(np.float64)


def _plain_name(metric: str) -> str:
    return re.sub(r"^(val|valid|validation)[_/]", "", metric.lower())


def _summed(name: str, new: SampleScores, old: SampleScores, units: IntArray) -> tuple[Summed, ...]:
    if name in ("auroc", "roc_auc", "auc"):
        return _auroc(new, old, units)
    return (
        *_error_rate(name, new, old, units),
        *_by_class(name, new, old, units),
        *_by_moments(name, new, old, units),
    )


def _divided(top: FloatArray, bottom: FloatArray) -> FloatArray:
    """0 where the divisor is 0, as torchmetrics has it."""
    import numpy as np

    return np.divide(top, bottom, out=np.zeros_like(top), where=bottom != 0)


def _ratio(sums: FloatArray) -> FloatArray:
    return _divided(sums[..., 0], sums[..., 1])


def _by_unit(terms: FloatArray, units: IntArray) -> FloatArray:
    """(n, m) terms by sample to (units, m)."""
    import numpy as np

    count = int(units.max()) + 1
    sums = [np.bincount(units, weights=column, minlength=count) for column in terms.T]
    return np.stack(sums, axis=1).astype(np.float64)


def _error_rate(name: str, new: SampleScores, old: SampleScores, units: IntArray) -> tuple[Summed, ...]:
    """Σ errors / Σ length, from the scores `{name}_errors` and `{name}_length`, else `errors` and `length`."""
    import numpy as np

    if name not in ("wer", "cer"):
        return ()
    for errors, length in ((f"{name}_errors", f"{name}_length"), ("errors", "length")):
        if all(key in samples.scores for key in (errors, length) for samples in (new, old)):
            terms = [_by_unit(np.stack([one.scores[errors], one.scores[length]], axis=1), units) for one in (new, old)]
            return (Summed(f"Σ {errors} / Σ {length}", terms[0], terms[1], _ratio),)
    return ()


# ------------------------------------------------------------ classes


def _by_class(name: str, new: SampleScores, old: SampleScores, units: IntArray) -> tuple[Summed, ...]:
    values = _class_values(name)
    columns = (new.target, new.prediction, old.target, old.prediction)
    labels = _common_labels(columns) if values else ()
    if not labels or (int(units.max()) + 1) * 3 * len(labels) > _MOST_CELLS:
        return ()
    coded = [_coded(column, labels) for column in columns]
    terms = _counts(coded[0], coded[1], units, len(labels)), _counts(coded[2], coded[3], units, len(labels))
    return tuple(
        Summed(f"{title} of prediction and target", *terms, value)
        for title, value in values
        if "binary" not in title or len(labels) == 2
    )


def _common_labels(columns: tuple[Column, ...]) -> tuple[int | str, ...]:
    """The labels of all columns, sorted; none if a column can't be read as classes."""
    if any(column.codes is None for column in columns):
        return ()
    labels = {label for column in columns for label in column.labels}
    return tuple(sorted(labels, key=lambda label: (isinstance(label, str), label)))


def _coded(column: Column, labels: tuple[int | str, ...]) -> IntArray:
    import numpy as np

    place = {label: index for index, label in enumerate(labels)}
    return np.asarray([place[label] for label in column.labels], dtype=np.int64)[np.asarray(column.codes)]


def _counts(target: IntArray, predicted: IntArray, units: IntArray, classes: int) -> FloatArray:
    """(units, 3 · classes): of each class how often it was predicted rightly, predicted, and there."""
    import numpy as np

    count = int(units.max()) + 1
    right = target == predicted
    tables = [
        np.bincount(where * classes + label, minlength=count * classes).reshape(count, classes)
        for where, label in ((units[right], target[right]), (units, predicted), (units, target))
    ]
    return np.concatenate(tables, axis=1).astype(np.float64)


def _class_values(name: str) -> tuple[tuple[str, Value], ...]:
    """The readings of a metric's name, the likeliest first; which one is meant, the published value tells."""
    if name in ("mcc", "matthews_corrcoef"):
        return (("MCC", _mcc),)
    if name in ("accuracy", "acc", "balanced_accuracy"):
        return (("macro recall", _averaged("recall", "macro")),)
    found = re.fullmatch(r"(f1|precision|recall)(?:_score)?(?:_(macro|micro|weighted|binary))?", name)
    if found is None:
        return ()
    averages = (found[2],) if found[2] else _AVERAGES
    return tuple((f"{average} {found[1]}", _averaged(found[1], average)) for average in averages)


def _averaged(score: str, average: str) -> Value:
    import numpy as np

    def value(sums: FloatArray) -> FloatArray:
        right, predicted, there = np.split(sums, 3, axis=-1)
        if average == "micro":
            return _divided(right.sum(axis=-1), there.sum(axis=-1))
        bottom = {"f1": (predicted + there) / 2, "precision": predicted, "recall": there}[score]
        by_class = _divided(right, bottom)
        if average == "binary":
            return by_class[..., 1]
        # torchmetrics leaves a class out that is neither predicted nor there.
        weights = there if average == "weighted" else (predicted + there > 0).astype(np.float64)
        return _divided((by_class * weights).sum(axis=-1), weights.sum(axis=-1))

    return value


def _mcc(sums: FloatArray) -> FloatArray:
    """Matthews' correlation over all classes; 0 where only one class is predicted or there."""
    import numpy as np

    right, predicted, there = np.split(sums, 3, axis=-1)
    n = there.sum(axis=-1)
    together = right.sum(axis=-1) * n - (predicted * there).sum(axis=-1)
    spread = (n**2 - (predicted**2).sum(axis=-1)) * (n**2 - (there**2).sum(axis=-1))
    return _divided(together, np.sqrt(spread))


# ------------------------------------------------------------ numbers


def _by_moments(name: str, new: SampleScores, old: SampleScores, units: IntArray) -> tuple[Summed, ...]:
    import numpy as np

    value = {"rmse": _rmse, "r2": _r2, "r2_score": _r2, "pearson": _pearson, "explained_variance": _explained}.get(name)
    if value is None:
        return ()
    terms: list[FloatArray] = []
    for samples in (new, old):
        predicted, target = samples.prediction.numbers, samples.target.numbers
        if predicted is None or target is None or predicted.size != target.size:
            return ()
        if name != "rmse" and predicted.size != len(units):
            return ()
        p, t = predicted.reshape(len(units), -1), target.reshape(len(units), -1)
        # No value below changes with a shift of p and t alike or of each, and centred sums lose no digits.
        error, ones = p - t, np.ones_like(p)
        p, t, free = p - p.mean(), t - t.mean(), error - error.mean()
        by_sample = np.stack([x.sum(axis=1) for x in (ones, error**2, free, free**2, p, p**2, t, t**2, p * t)], axis=1)
        terms.append(_by_unit(by_sample, units))
    return (Summed(f"{name} of prediction and target", terms[0], terms[1], value),)


def _scatter(sums: FloatArray, one: int, product: int, other: int) -> FloatArray:
    """Σ xy − Σx Σy / n."""
    return sums[..., product] - sums[..., one] * sums[..., other] / sums[..., 0]


def _rmse(sums: FloatArray) -> FloatArray:
    import numpy as np

    return np.sqrt(sums[..., 1] / sums[..., 0])


def _r2(sums: FloatArray) -> FloatArray:
    return 1 - _divided(sums[..., 1], _scatter(sums, 6, 7, 6))


def _explained(sums: FloatArray) -> FloatArray:
    return 1 - _divided(_scatter(sums, 2, 3, 2), _scatter(sums, 6, 7, 6))


def _pearson(sums: FloatArray) -> FloatArray:
    import numpy as np

    spread = _scatter(sums, 4, 5, 4) * _scatter(sums, 6, 7, 6)
    return _divided(_scatter(sums, 4, 8, 6), np.sqrt(np.maximum(spread, 0)))


# ------------------------------------------------------------ ranks


def _auroc(new: SampleScores, old: SampleScores, units: IntArray) -> tuple[Summed, ...]:
    import numpy as np

    terms: list[FloatArray] = []
    for samples in (new, old):
        found = auroc_terms(samples)
        if found is None:
            return ()
        terms.append(_by_unit(np.stack([found, np.ones(len(units))], axis=1), units))
    return (Summed("macro AUROC of the probabilities", terms[0], terms[1], _ratio),)
