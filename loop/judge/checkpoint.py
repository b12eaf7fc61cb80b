"""How best.ckpt was chosen, by what the recorder saw, beside what versions are compared by."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ..evaluate.checks.own_word import saver_of_best
from ..evaluate.evaluator_parts.tasks import same_name
from ..project.receipts import EvalReceipt, Metric, TrainReceipt
from ..project.version import Version
from ..rules.reading import Rules
from ..text import Told, cell
from ..train.curves import Curves, shown_curves
from ..train.measured import facts_of
from .best import primary_metric

_AS_GOOD = 2  # samples; so few fall to either side by chance


@dataclass(frozen=True)
class Epoch:
    """One epoch of metrics.csv, which counts from 0, with what was logged of the primary metric and of the loss."""

    number: int
    value: float
    loss: float | None


@dataclass(frozen=True)
class Chosen:
    """best.ckpt is of the epoch `at`, chosen by `monitor` among `epochs` epochs.

    `best` is the epoch with the best value of `metric`, the earlier of equals. `samples`: by how many of `count`
    validation samples that is ahead, where the metric counts samples. `softer`: the epoch with the lowest loss among
    those that are as good but for a sample or two, where that is another one. `on_scored`: it was chosen by what is
    logged in validation, on the samples that score it.
    """

    metric: str
    monitor: str | None
    by_metric: bool
    on_scored: bool
    at: Epoch
    epochs: int
    best: Epoch
    samples: int | None
    count: int
    softer: Epoch | None

    @property
    def said(self) -> Iterator[Told]:
        """What it cost, in a sentence; the way out, where there is one; and what the score owes to the choice."""
        values: dict[str, object] = {
            "metric": self.metric,
            "monitor": cell(self.monitor, 60) if self.monitor else Told("nothing"),
            "epochs": self.epochs,
            "epoch": self.at.number,
            "value": f"{self.at.value:.5g}",
            "best": self.best.number,
            "best_value": f"{self.best.value:.5g}",
            "samples": self.samples,
            "count": self.count,
        }
        yield from self._cost(values)
        if self.on_scored and self.epochs > 1:
            yield Told(
                "best.ckpt was picked among {epochs} epochs on the very samples that score it: on new ones it will be a"
                " little worse.",
                values,
            )

    def _cost(self, values: Mapping[str, object]) -> Iterator[Told]:
        if self.softer is not None and self.by_metric:
            beside = {
                "other": self.softer.number,
                "other_value": f"{self.softer.value:.5g}",
                "other_loss": f"{self.softer.loss:.5g}",
                "loss": f"{self.at.loss:.5g}",
            }
            yield Told(
                "best.ckpt is epoch {epoch} ({metric} {value}), chosen by {monitor}. Epoch {other} is as good but for a"
                " sample or two ({other_value}), and its loss is lower ({other_loss}, here {loss}): a tie should go to"
                " the loss, which may be an action.",
                {**values, **beside},
            )
        elif self.best.value == self.at.value:
            yield Told("best.ckpt is epoch {epoch}, chosen by {monitor}; no epoch had a better {metric}.", values)
        elif self.samples is not None and self.samples <= _AS_GOOD:
            yield Told(
                "best.ckpt is epoch {epoch} ({metric} {value}), chosen by {monitor}. Epoch {best} had {best_value}:"
                " {samples} of {count} samples, which is as good as a tie.",
                values,
            )
        elif self.by_metric:
            yield Told(
                "best.ckpt is epoch {epoch} ({metric} {value}), chosen by {monitor}. Epoch {best} had {best_value}, and"
                " none of it was kept.",
                values,
            )
        else:
            yield Told(
                "best.ckpt is epoch {epoch} ({metric} {value}), chosen by {monitor}, and versions are compared by"
                " {metric}. Epoch {best} had {best_value}. To choose it by {metric}, ties by the loss, may be an"
                " action.",
                values,
            )


def chosen(version: Version, rules: Rules) -> Chosen | None:
    """None where nothing was recorded of it, or the curves don't say.

    That is so of several fits, of several validations in one epoch, and without the metric in metrics.csv.
    """
    trained, receipt = version.receipt(TrainReceipt), version.receipt(EvalReceipt)
    metric = primary_metric(receipt, rules) if receipt is not None else None
    if trained is None or receipt is None or metric is None:
        return None
    fits = facts_of(version.attempt("train", trained.attempt)).fits
    saver = saver_of_best(fits[0].first) if len(fits) == 1 else None
    curves = shown_curves(version.project.workspace.tree, version.artifacts)
    validated = [row.epoch for fit in fits for row in fit.first.metrics.rows if row.role == "validation"]
    if saver is None or curves is None or len({*validated}) < len(validated):
        return None
    epochs = _epochs(curves, metric.name)
    at = next((one for one in epochs if one.number == saver.best_epoch), None)
    if at is None:
        return None
    monitor, logged = saver.monitor, fits[0].first.metrics.rows
    best = min(epochs, key=lambda one: _cost(metric, one.value))
    return Chosen(
        metric=metric.name,
        monitor=monitor,
        by_metric=monitor is not None and same_name(metric.name, (monitor,)) is not None,
        on_scored=any(row.role == "validation" and monitor in row.values for row in logged),
        at=at,
        epochs=len(epochs),
        best=best,
        samples=_samples(best.value - at.value, metric, receipt.num_samples),
        count=receipt.num_samples,
        softer=_softer(epochs, at, metric, receipt.num_samples),
    )


def _epochs(curves: Curves, metric: str) -> tuple[Epoch, ...]:
    name = same_name(metric, curves.series)
    losses = curves.val_loss or (None,) * len(curves.epochs)
    values = curves.series[name] if name is not None else ()
    rows = zip(curves.epochs, values, losses, strict=False)
    return tuple(Epoch(epoch, value, loss) for epoch, value, loss in rows if value is not None)


def _cost(metric: Metric, value: float) -> float:
    return -value if metric.higher_is_better else value


def _samples(difference: float, metric: Metric, count: int) -> int | None:
    """How many samples that is, for a metric that is a share of them."""
    whole = metric.value * count
    if not 0 <= metric.value <= 1 or abs(whole - round(whole)) > 1e-3:
        return None
    return round(abs(difference) * count)


def _softer(epochs: tuple[Epoch, ...], at: Epoch, metric: Metric, count: int) -> Epoch | None:
    if at.loss is None:
        return None
    level: list[tuple[float, Epoch]] = []
    for one in epochs:
        behind = _samples(one.value - at.value, metric, count)
        if one.loss is not None and one.loss < at.loss and behind is not None and behind <= _AS_GOOD:
            level.append((one.loss, one))
    return min(level, key=lambda pair: pair[0])[1] if level else None
