"""AUROC as a mean over samples (DeLong, DeLong & Clarke-Pearson 1988), so that it is resampled like any mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .samples import SampleScores

if TYPE_CHECKING:
    from .scipy_calls import BoolArray, FloatArray


def auroc_terms(samples: SampleScores) -> FloatArray | None:
    """(n,) values whose mean is the AUROC: one class against the rest, averaged over classes as torchmetrics does.

    Their spread is that of the AUROC to first order. None unless each sample has probabilities (one for each class, or
    that of class 1) and its target is a class number.
    """
    import numpy as np

    probabilities, targets = samples.probabilities, samples.target.numbers
    if probabilities is None or targets is None or targets.ndim != 1 or samples.target.codes is None:
        return None
    classes = max(2, probabilities.shape[1])
    if targets.min() < 0 or targets.max() >= classes:
        return None
    if probabilities.shape[1] == 1:
        return _one_class(probabilities[:, 0], targets == 1)
    found = [_one_class(probabilities[:, label], targets == label) for label in range(classes)]
    return np.mean(found, axis=0)


def _one_class(score: FloatArray, positive: BoolArray) -> FloatArray:
    """AUROC + each sample's influence on it; zeros for a class that is nowhere or everywhere, as in torchmetrics."""
    import numpy as np

    n, positives = len(score), int(positive.sum())
    if positives in (0, n):
        return np.zeros(n)
    placement = np.empty(n)
    placement[positive] = _share_below(score[positive], score[~positive])
    placement[~positive] = 1 - _share_below(score[~positive], score[positive])
    auroc = placement[positive].mean()
    return auroc + (placement - auroc) * np.where(positive, n / positives, n / (n - positives))


def _share_below(values: FloatArray, others: FloatArray) -> FloatArray:
    """Of each value, the share of `others` that are smaller; equal ones count half."""
    import numpy as np

    ordered = np.sort(others)
    return (np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")) / (2 * len(others))
