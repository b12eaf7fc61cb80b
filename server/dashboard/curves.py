"""Learning curves for a page: what the script plots, and the same numbers as a table."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ...loop.project.version import Version
from ...loop.text import clean
from ...loop.train.curves import Curves, shown_curves

_MOST_ROWS = 40
_MOST_PLOTTED = 2_000


@dataclass(frozen=True)
class CurveTable:
    """The curves as a table; `rows` are thinned to a few dozen."""

    names: tuple[str, ...]
    rows: tuple[tuple[int, tuple[float | None, ...]], ...]
    epochs: int


def curves_of(version: Version) -> Curves | None:
    return shown_curves(version.project.workspace.tree, version.artifacts)


def plots(curves: Curves | None) -> tuple[str, str]:
    """What the script draws, as JSON: the losses, and everything else that is no step or learning rate; else empty."""
    losses: dict[str, list[float | None]] = {}
    others: dict[str, list[float | None]] = {}
    if curves is None or not curves.epochs:
        return "", ""
    every = -(-len(curves.epochs) // _MOST_PLOTTED)
    for name, values in _shown(curves):
        (losses if "loss" in name.lower() else others)[name] = [_finite(value) for value in values[::every]]
    return _plot(curves.epochs[::every], losses), _plot(curves.epochs[::every], others)


def _plot(epochs: Sequence[int], series: Mapping[str, Sequence[float | None]]) -> str:
    return json.dumps({"epochs": epochs, "series": series}) if series else ""


def _shown(curves: Curves) -> Iterator[tuple[str, tuple[float | None, ...]]]:
    for name, values in curves.series.items():
        if not name.startswith(("lr", "step")):
            yield clean(name, 80), values


def _finite(value: float | None) -> float | None:
    """JSON has no NaN."""
    return value if value is not None and math.isfinite(value) else None


def curve_table(curves: Curves | None) -> CurveTable | None:
    """At most eight of the curves, and a few dozen epochs with the first and the last."""
    if curves is None or not curves.epochs:
        return None
    named = list(_shown(curves))[:8]
    step = -(-len(curves.epochs) // _MOST_ROWS)
    chosen = sorted({*range(0, len(curves.epochs), step), len(curves.epochs) - 1})
    rows = tuple((curves.epochs[place], tuple(values[place] for _, values in named)) for place in chosen)
    return CurveTable(tuple(name for name, _ in named), rows, len(curves.epochs))
