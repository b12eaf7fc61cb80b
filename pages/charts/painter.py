"""Paints charts as PNG: JSON on stdin, JSON with base64 on stdout. A program of its own, with matplotlib alone.

It is run by its path, apart from the server: a library of this size stays out of there, and may be stopped.
"""

import base64
import io
import json
import struct
import sys
from typing import Any

_DPI = 144
_POINT = 0.75  # of a CSS pixel
_SANS = ["DejaVu Sans", "Noto Sans CJK KR", "NanumGothic", "Apple SD Gothic Neo", "Malgun Gothic"]


def main() -> None:
    asked = json.load(sys.stdin)
    painted = {name: base64.b64encode(paint(chart)).decode() for name, chart in asked.items()}
    json.dump(painted, sys.stdout)


def paint(chart: dict[str, Any]) -> bytes:
    """The chart as a PNG, 1.5 pixels for each of its own."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    width, height = chart["width"], chart["height"]
    figure = Figure(figsize=(width / 96, height / 96), dpi=_DPI, facecolor=chart["paper"])
    canvas: Any = FigureCanvasAgg(figure)
    axes = figure.subplots(gridspec_kw={"left": 0, "right": 1, "bottom": 0, "top": 1})
    axes.set_axis_off()
    for line in chart["lines"]:
        _line(axes, line)
    for image in chart["images"]:
        _image(axes, image)
    for mark in chart["marks"]:
        _mark(axes, mark, chart["paper"])
    for text in chart["texts"]:
        _text(axes, text, chart["paper"])
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_aspect("auto")
    out = io.BytesIO()
    # Without what would differ from one machine or day to the next.
    canvas.print_png(out, metadata={"Software": None})
    return out.getvalue()


def _line(axes: Any, line: dict[str, Any]) -> None:
    across, down = zip(*line["points"], strict=True) if line["points"] else ((), ())
    style = (0, tuple(dash / line["width"] for dash in line["dashes"])) if line["dashes"] else "-"
    axes.plot(
        across,
        down,
        color=line["colour"],
        linewidth=line["width"] * _POINT,
        linestyle=style,
        alpha=line["opacity"],
        solid_capstyle="butt",
    )


def _mark(axes: Any, mark: dict[str, Any], paper: str) -> None:
    shapes = {"suggestive": ("D", 9.2), "first": ("s", 10), "unscored": ("x", 8)}
    shape, size = shapes.get(mark["kind"], ("o", 10))
    if mark["ringed"]:
        _marker(axes, mark, "o", 20, "none", mark["ring"], 1.5)
    _marker(axes, mark, shape, size, paper if mark["hollow"] else mark["colour"], mark["colour"], 2)


def _marker(axes: Any, mark: dict[str, Any], shape: str, size: float, inside: str, edge: str, width: float) -> None:
    axes.plot(
        [mark["x"]],
        [mark["y"]],
        marker=shape,
        markersize=size * _POINT,
        markerfacecolor=inside,
        markeredgecolor=edge,
        markeredgewidth=width * _POINT,
        linestyle="none",
        zorder=4,
    )


def _text(axes: Any, text: dict[str, Any], paper: str) -> None:
    from matplotlib.patheffects import withStroke

    axes.text(
        text["x"],
        text["y"],
        text["text"],
        color=text["colour"],
        fontsize=text["size"] * _POINT,
        fontweight="bold" if text["bold"] else "normal",
        fontfamily=["DejaVu Sans Mono"] if text["mono"] else _SANS,
        ha={"start": "left", "middle": "center", "end": "right"}[text["anchor"]],
        va="baseline",
        # What a user or a model wrote is no formula, whatever dollars are in it.
        parse_math=False,
        path_effects=[withStroke(linewidth=3 * _POINT, foreground=paper)],
        zorder=5,
    )


def _image(axes: Any, image: dict[str, Any]) -> None:
    from matplotlib.image import imread

    try:
        pixels = imread(io.BytesIO(base64.b64decode(image["png"])), format="png")
    except (OSError, SyntaxError, ValueError, LookupError, TypeError, EOFError, struct.error):
        # A broken file of the user's, told by whatever its parsing met: its place stays empty.
        return
    left, top, size = image["x"], image["y"], image["size"]
    height, width = pixels.shape[:2]
    share = size / max(height, width)
    across, down = width * share, height * share
    left, top = left + (size - across) / 2, top + (size - down) / 2
    axes.imshow(
        pixels,
        extent=(left, left + across, top + down, top),
        cmap="gray",
        vmin=0,
        vmax=1,
        interpolation="nearest",
        zorder=3,
    )


if __name__ == "__main__":
    main()
