"""Draws a finished loop: the primary metric by version, with the one action that led to each and its noise label.

python bench/picture.py PROJECT OUT.png
"""

import sys
import textwrap
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from progressive_training.loop.project import Project
from progressive_training.loop.status import VersionView, status

_LINE, _INK, _FAINT = "#94a3b8", "#1f2937", "#6b7280"
_PAPER = {"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.85}
_COLOURS = {"significant": "#15803d", "suggestive": "#b45309", "noise": "#64748b", None: "#334155"}


def draw(project: Path, out: Path) -> None:
    """Writes a PNG of 1500 x 780 pixels; versions without the primary metric are left out."""
    view = status(Project(project))
    scored = [(version, _value(version, view.primary_metric)) for version in view.versions]
    shown = [(version, value) for version, value in scored if value is not None]
    if not shown:
        sys.exit(f"picture: no version in {project} has a score yet")
    places, values = list(range(len(shown))), [value for _, value in shown]
    figure, axes = plt.subplots(figsize=(10, 5.2), dpi=150)
    axes.plot(places, values, color=_LINE, linewidth=1.5, zorder=1)
    for place, (version, value) in zip(places, shown, strict=True):
        _draw_version(axes, place, version, value, values[place - 1] if place else None)
    span = (max(values) - min(values)) or abs(values[0]) or 1.0
    axes.set_ylim(min(values) - 0.25 * span, max(values) + 0.3 * span)
    axes.set_xlim(-0.5, len(shown) - 0.5)
    axes.set_xticks(places, [_label(view.versions, version) for version, _ in shown], fontsize=9, color=_INK)
    title = f"Validation {view.primary_metric}: each version is one action away from the one before"
    axes.set_title(title, loc="left", color=_INK, fontsize=12, pad=22)
    axes.text(
        *(0, 1.02, "bar: 95 % interval of the gain over the version before"),
        transform=axes.transAxes,
        color=_FAINT,
        fontsize=9,
    )
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", colors=_FAINT, length=0)
    axes.grid(axis="y", color="#e5e7eb", linewidth=0.8)
    axes.set_axisbelow(True)
    figure.tight_layout()
    figure.savefig(out)
    plt.close(figure)


def _draw_version(axes: Axes, place: int, version: VersionView, value: float, before: float | None) -> None:
    gain = version.gain
    colour = _COLOURS[gain.label if gain else None]
    if gain is not None and before is not None and gain.low is not None and gain.high is not None:
        sign = 1 if gain.delta * (value - before) >= 0 else -1
        low, high = sorted((before + sign * gain.low, before + sign * gain.high))
        axes.vlines(place, low, high, color=colour, linewidth=3, alpha=0.45, zorder=2)
    axes.scatter([place], [value], color=colour, s=60, zorder=3)
    axes.annotate(
        f"{value:.4f}", (place, value), (10, 4), textcoords="offset points", color=_INK, fontsize=11, bbox=_PAPER
    )
    if gain is not None and gain.label:
        axes.annotate(gain.label, (place, value), (10, -10), textcoords="offset points", color=colour, fontsize=9)


def _value(version: VersionView, primary: str) -> float | None:
    return next((metric.value for metric in version.metrics if metric.name == primary), None)


def _label(versions: tuple[VersionView, ...], version: VersionView) -> str:
    parent = next((one for one in versions if one.version == version.version - 1), None)
    words = parent.action.change if parent and parent.action else "the baseline under the user's rules"
    return f"{version.version_id}\n" + "\n".join(textwrap.wrap(words, 30)[:4])


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python bench/picture.py PROJECT OUT.png")
    draw(Path(sys.argv[1]), Path(sys.argv[2]))
