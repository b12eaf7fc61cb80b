"""Charts as PNG files, by the painter in a process of its own: bounded in time, and never needed."""

import base64
import binascii
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from .shapes import Chart
from .style import BLUE, LINES, MARKS, PAPER, TEXTS

INSTALL = 'pip install "progressive-training[pictures]"'
# The first run on a machine looks at every font that is there.
_SECONDS = 45.0
_PAINTER = Path(__file__).with_name("painter.py")
_PAINTED = TypeAdapter(dict[str, str])


def can_paint() -> bool:
    """Whether matplotlib is installed; it is not imported."""
    return find_spec("matplotlib") is not None


def paint(charts: Mapping[str, Chart]) -> Mapping[str, bytes]:
    """A PNG for each chart; none at all where they can't be painted. Equal charts give equal bytes."""
    if not charts or not can_paint():
        return {}
    asked = json.dumps({name: _order(chart) for name, chart in charts.items()}).encode()
    # -I: no PYTHONPATH, no folder of the user's in the import path; the painter needs matplotlib alone.
    command = [sys.executable, "-I", str(_PAINTER)]
    try:
        done = subprocess.run(
            command,
            input=asked,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_SECONDS,
            check=True,
            cwd="/",
        )
        painted = _PAINTED.validate_json(done.stdout)
        return {name: base64.b64decode(data) for name, data in painted.items()}
    except (OSError, subprocess.SubprocessError, ValidationError, binascii.Error):
        # A picture is derived and can be made later; what it is derived from must not wait for it.
        return {}


def _order(chart: Chart) -> Mapping[str, object]:
    """The chart with each shape's looks, as the painter takes it."""
    return {
        "width": chart.width,
        "height": chart.height,
        "paper": PAPER,
        "lines": [{"points": line.points, **asdict(LINES[line.kind])} for line in chart.lines],
        "marks": [
            {"x": mark.x, "y": mark.y, "kind": mark.kind, "ringed": mark.ringed, "ring": BLUE}
            | asdict(MARKS[mark.kind])
            for mark in chart.marks
        ],
        "texts": [
            {"x": text.x, "y": text.y, "text": text.text, "anchor": text.anchor, **asdict(TEXTS[text.kind])}
            for text in chart.texts
        ],
        "images": [
            {"x": image.x, "y": image.y, "size": image.size, "png": image.uri.partition(",")[2]}
            for image in chart.images
        ],
    }
