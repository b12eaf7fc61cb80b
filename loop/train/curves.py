"""Learning curves out of Lightning's metrics.csv, one value an epoch, and the progress of a run that is going on."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import Unreadable, UnsafePath
from ..store.tree import Tree
from . import metrics_csv
from .metrics_csv import Newest

_LOG_FOLDER = re.compile(r"version_(\d+)")
_TRAIN_LOSS = (
    *("train_loss_epoch", "train_loss", "train/loss_epoch", "train/loss"),
    *("training_loss", "loss_epoch", "loss"),
)
_VAL_LOSS = ("val_loss", "val/loss", "valid_loss", "validation_loss", "valid/loss", "val_loss_epoch", "eval_loss")


@dataclass(frozen=True)
class Curves:
    """`series[name][i]` is the last value that `name` had in `epochs[i]`; None where it had none."""

    source: str
    epochs: tuple[int, ...]
    series: Mapping[str, tuple[float | None, ...]]

    @property
    def train_loss(self) -> tuple[float | None, ...]:
        return self._first(_TRAIN_LOSS)

    @property
    def val_loss(self) -> tuple[float | None, ...]:
        return self._first(_VAL_LOSS)

    @property
    def last_epoch(self) -> int | None:
        return max(self.epochs, default=None)

    @property
    def not_finite(self) -> tuple[str, ...]:
        """The names of losses that were NaN or infinite in some epoch."""
        return tuple(
            name
            for name, values in self.series.items()
            if "loss" in name.lower() and any(value is not None and not math.isfinite(value) for value in values)
        )

    def _first(self, names: tuple[str, ...]) -> tuple[float | None, ...]:
        return next((self.series[name] for name in names if name in self.series), ())


def log_folder(tree: Tree, artifacts: str) -> str | None:
    """`logs/version_0`, else the newest `logs/version_*` (A1); None if there is none."""
    logs = f"{artifacts}/logs"
    numbers = [int(match[1]) for name in tree.names(logs) if (match := _LOG_FOLDER.fullmatch(name))]
    if not numbers:
        return None
    return f"{logs}/version_{0 if 0 in numbers else max(numbers)}"


def read_curves(tree: Tree, artifacts: str) -> Curves | None:
    """None where there is no metrics.csv yet. Rows that don't parse, such as one half written, are passed over.

    Raises `UnsafePath`, `Unreadable`.
    """
    folder = log_folder(tree, artifacts)
    return None if folder is None else _read(tree, f"{folder}/metrics.csv")


def shown_curves(tree: Tree, artifacts: str) -> Curves | None:
    """The same where a run is looked at and not judged: None also for what can't be read, or a link in its place."""
    try:
        return read_curves(tree, artifacts)
    except (UnsafePath, Unreadable):
        return None


def epochs_trained(tree: Tree, artifacts: str) -> int | None:
    """The epochs in all of a run's log folders: each fit has its own. None where no metrics.csv tells.

    A folder without a training loss is a validation's or a test's, unless there is no other.
    """
    names = [name for name in tree.names(f"{artifacts}/logs") if _LOG_FOLDER.fullmatch(name)]
    logs = [curves for name in names if (curves := _read(tree, f"{artifacts}/logs/{name}/metrics.csv"))]
    fits = [curves for curves in logs if curves.train_loss] or logs[:1]
    counts = [curves.last_epoch + 1 for curves in fits if curves.last_epoch is not None]
    return sum(counts) if counts else None


def newest(tree: Tree, artifacts: str) -> Newest | None:
    """How far a run is; only the two ends of its metrics.csv are read."""
    try:
        folder = log_folder(tree, artifacts)
        return None if folder is None else metrics_csv.newest(tree, f"{folder}/metrics.csv")
    except (UnsafePath, Unreadable):  # said when the run has ended
        return None


def _read(tree: Tree, source: str) -> Curves | None:
    found = metrics_csv.by_epoch(tree, source)
    if found is None:
        return None
    epochs = tuple(sorted(found))
    names = dict.fromkeys(name for epoch in epochs for name in found[epoch])
    return Curves(source, epochs, {name: tuple(found[epoch].get(name) for epoch in epochs) for name in names})
