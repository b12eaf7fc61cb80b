"""Where a version errs: by class, by the target's range, by group, and what the last change fixed and broke."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from ..project.receipts import Metric
from .noise.samples import Column, SampleScores, matched

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .noise.scipy_calls import FloatArray, IntArray

    BoolArray: TypeAlias = NDArray[np.bool_]

MOST_ROWS, MOST_CLASSES, RANGES = 8, 100, 5

Kind = Literal["wrong", "distance", "score"]


@dataclass(frozen=True)
class Row:
    """A class, a range of targets or a group. `mean` is the mean error of its `samples`; `told` what they end as."""

    name: str
    samples: int
    mean: float
    told: str = ""


@dataclass(frozen=True)
class Change:
    """What became of each sample since the version before; ids of the most telling ones first, `MOST_ROWS` at most."""

    better: int
    worse: int
    fixed: tuple[str, ...]
    broke: tuple[str, ...]


@dataclass(frozen=True)
class Errors:
    """`kind` says what an error is: a wrong answer (1, else 0), a distance from the target, or the cost `measure`.

    `hardest` are places in samples.jsonl from 0, the largest error first and the largest loss among equals. `rows` is
    the same error by class, range or group (`by`): classes and groups the worst first, ranges from the lowest up.
    """

    kind: Kind
    measure: str
    hardest: tuple[int, ...]
    by: Literal["class", "range", "group", ""]
    rows: tuple[Row, ...]
    change: Change | None


def errors(new: SampleScores, old: SampleScores | None, primary: Metric) -> Errors | None:
    """The errors that the primary metric counts, sample by sample; None where the samples say nothing of them."""
    import numpy as np

    found = _costs(new, primary)
    if found is None:
        return None
    kind, measure, costs = found
    losses = new.scores.get("loss")
    order = np.lexsort((np.zeros_like(costs) if losses is None else -losses, -costs))
    by, rows = _rows(new, kind, costs)
    if measure == primary.name and primary.higher_is_better:  # shown as the metric has it
        rows = tuple(replace(row, mean=-row.mean) for row in rows)
    aligned = matched(new, old) if old is not None else None
    before = _costs(aligned, primary) if aligned is not None else None
    return Errors(
        kind=kind,
        measure=measure,
        hardest=tuple(int(place) for place in order[:MOST_ROWS]),
        by=by,
        rows=rows,
        change=_change(new.ids, costs, before[2]) if before is not None and before[:2] == found[:2] else None,
    )


def _costs(samples: SampleScores, primary: Metric) -> tuple[Kind, str, FloatArray] | None:
    """What each sample costs, (n,): its score under the metric, else wrong or not, else its distance, else its loss."""
    import numpy as np

    name, prediction, target = primary.name, samples.prediction, samples.target
    own = samples.scores.get(name)
    if own is not None and not np.isin(own, (0.0, 1.0)).all():
        return "score", name, -own if primary.higher_is_better else own
    for errors in (f"{name}_errors", "errors"):
        if errors in samples.scores:
            return "score", "errors", samples.scores[errors]
    if prediction.codes is not None and target.codes is not None:
        labels = {label: place for place, label in enumerate(dict.fromkeys((*prediction.labels, *target.labels)))}
        return "wrong", "share wrong", (_coded(prediction, labels) != _coded(target, labels)).astype(np.float64)
    predicted, truth = prediction.numbers, target.numbers
    if predicted is not None and truth is not None and predicted.shape == truth.shape:
        distance = np.abs(predicted - truth)
        return "distance", "mean absolute error", distance if distance.ndim == 1 else distance.mean(axis=1)
    return ("score", "loss", samples.scores["loss"]) if "loss" in samples.scores else None


def _coded(column: Column, labels: Mapping[int | str, int]) -> IntArray:
    import numpy as np

    return np.asarray([labels[label] for label in column.labels], dtype=np.int64)[np.asarray(column.codes)]


def _rows(
    samples: SampleScores, kind: Kind, costs: FloatArray
) -> tuple[Literal["class", "range", "group", ""], tuple[Row, ...]]:
    """The errors by what the samples offer: their classes, the range of their target, or their groups."""
    import numpy as np

    target, n = samples.target, len(samples.ids)
    if target.codes is not None and len(target.labels) <= min(MOST_CLASSES, n // 2) and kind != "distance":
        names = {code: str(label) for code, label in enumerate(target.labels)}
        rows = [_row(names[code], costs, target.codes == code, _taken_for(samples, code)) for code in names]
        return "class", _worst(rows)
    if target.numbers is not None and target.numbers.ndim == 1 and n >= 2 * RANGES:
        edges = np.unique(np.quantile(target.numbers, np.linspace(0, 1, RANGES + 1)))
        place = np.clip(np.searchsorted(edges, target.numbers, side="right") - 1, 0, len(edges) - 2)
        rows = [
            _row(f"{edges[one]:.4g} … {edges[one + 1]:.4g}", costs, place == one, _bias(samples, place == one))
            for one in range(len(edges) - 1)
        ]
        return "range", tuple(row for row in rows if row.samples)
    if samples.groups is not None and (groups := int(samples.groups.max()) + 1) <= n // 2:
        names = samples.group_names
        return "group", _worst([_row(names[one], costs, samples.groups == one) for one in range(groups)])
    return "", ()


def _row(name: str, costs: FloatArray, there: BoolArray, told: str = "") -> Row:
    count = int(there.sum())
    return Row(name, count, float(costs[there].mean()) if count else 0.0, told)


def _worst(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Those with the most error in all, since there most is to be gained."""
    least = min((row.mean for row in rows if row.samples), default=0.0)
    found = [row for row in rows if row.samples and row.mean > min(0.0, least)]
    return tuple(sorted(found, key=lambda row: (row.mean - min(0.0, least)) * row.samples, reverse=True)[:MOST_ROWS])


def _taken_for(samples: SampleScores, code: int) -> str:
    """What a class's wrong answers say, the most frequent first."""
    import numpy as np

    prediction = samples.prediction
    if prediction.codes is None or samples.target.codes is None:
        return ""
    counts = np.bincount(prediction.codes[samples.target.codes == code], minlength=len(prediction.labels))
    right = samples.target.labels[code]
    wrong = [
        (int(counts[one]), str(label)) for one, label in enumerate(prediction.labels) if label != right and counts[one]
    ]
    return ", ".join(f"{label} ({count})" for count, label in sorted(wrong, reverse=True)[:3])


def _bias(samples: SampleScores, there: BoolArray) -> str:
    """By how much the predictions are above the targets on average."""
    predicted, target = samples.prediction.numbers, samples.target.numbers
    if predicted is None or target is None or predicted.shape != target.shape or not there.any():
        return ""
    return f"{float((predicted[there] - target[there]).mean()):+.4g}"


def _change(ids: Sequence[str], new: FloatArray, old: FloatArray) -> Change:
    import numpy as np

    gained = old - new
    order = np.argsort(-gained, kind="stable")
    better, worse = int((gained > 0).sum()), int((gained < 0).sum())
    return Change(
        better=better,
        worse=worse,
        fixed=tuple(ids[int(place)] for place in order[: min(better, MOST_ROWS)]),
        broke=tuple(ids[int(place)] for place in order[::-1][: min(worse, MOST_ROWS)]),
    )
