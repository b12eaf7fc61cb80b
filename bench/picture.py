"""Draws a finished loop: the primary metric by version, with the one action that led to each.

python bench/picture.py PROJECT OUT.png
"""

import sys
import textwrap
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from progressive_training.loop.project import Project
from progressive_training.loop.status import VersionView, status

_BEST, _OTHER, _INK, _FAINT = "#1b7f4d", "#8fb8a6", "#1f2937", "#6b7280"


def draw(project: Path, out: Path) -> None:
    """Writes a PNG of 1500 x 750 pixels; versions without the primary metric are left out."""
    view = status(Project(project))
    shown = [
        (version, value) for version in view.versions if (value := _value(version, view.primary_metric)) is not None
    ]
    if not shown:
        sys.exit(f"picture: no version in {project} has a score yet")
    values = [value for _, value in shown]
    higher = next(m.higher_is_better for m in shown[0][0].metrics if m.name == view.primary_metric)
    best = (max if higher else min)(values)
    figure, axes = plt.subplots(figsize=(10, 5), dpi=150)
    colours = [_BEST if value == best else _OTHER for value in values]
    bars = axes.bar([version.version_id for version, _ in shown], values, color=colours, width=0.55)
    span = (max(values) - min(values)) or abs(best) or 1.0
    axes.set_ylim(min(values) - 0.6 * span, max(values) + 0.35 * span)
    for bar, value in zip(bars, values, strict=True):
        place = (bar.get_x() + bar.get_width() / 2, value)
        axes.annotate(f"{value:.4f}", place, (0, 5), textcoords="offset points", ha="center", color=_INK, fontsize=12)
    axes.set_xticks(range(len(shown)), [_label(view.versions, version) for version, _ in shown], fontsize=9, color=_INK)
    samples = f"validation {view.primary_metric}"
    axes.set_title(
        f"Each version is one action away from the one before\n{samples}", loc="left", color=_INK, fontsize=12
    )
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", colors=_FAINT, length=0)
    axes.grid(axis="y", color="#e5e7eb", linewidth=0.8)
    axes.set_axisbelow(True)
    figure.tight_layout()
    figure.savefig(out)
    plt.close(figure)


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
