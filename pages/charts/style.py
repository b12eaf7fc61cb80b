"""What each kind of shape looks like in a PNG; charts.css says the same to a page, which has a dark side too."""

from collections.abc import Mapping
from dataclasses import dataclass

from .shapes import LineKind, MarkKind, TextKind

PAPER, INK, SOFT, RULE = "#ffffff", "#1a1d21", "#59626d", "#e3e6ea"
GREEN, AMBER, SLATE, BLUE = "#11713a", "#96590a", "#59626d", "#2456c7"


@dataclass(frozen=True)
class Stroke:
    colour: str
    width: float
    dashes: tuple[float, ...] = ()
    opacity: float = 1.0


@dataclass(frozen=True)
class Fill:
    colour: str
    hollow: bool = False


@dataclass(frozen=True)
class Font:
    colour: str
    size: float
    bold: bool = False
    mono: bool = False


LINES: Mapping[LineKind, Stroke] = {
    "grid": Stroke(RULE, 1),
    "axis": Stroke("#b9c0c8", 1),
    "line": Stroke("#8b95a1", 1.5),
    "faint": Stroke("#a5aeb8", 1.5),
    "best": Stroke(BLUE, 1, (2, 4), 0.8),
    "dashed": Stroke(BLUE, 1.5, (5, 4)),
    "one": Stroke(BLUE, 2.5),
    "shown": Stroke(BLUE, 6, opacity=0.3),
    "bar": Stroke(SLATE, 4, opacity=0.35),
    "bar-significant": Stroke(GREEN, 4, opacity=0.4),
    "bar-suggestive": Stroke(AMBER, 4, opacity=0.4),
}
MARKS: Mapping[MarkKind, Fill] = {
    "significant": Fill(GREEN),
    "suggestive": Fill(AMBER),
    "noise": Fill(SLATE, hollow=True),
    "first": Fill(INK),
    "unscored": Fill(SLATE, hollow=True),
    "plain": Fill(SLATE, hollow=True),
    "front": Fill(BLUE),
}
TEXTS: Mapping[TextKind, Font] = {
    "title": Font(INK, 16, bold=True),
    "subtitle": Font(SOFT, 12),
    "tick": Font(SOFT, 11),
    "value": Font(INK, 12.5, bold=True),
    "caption": Font(SOFT, 11),
    "significant": Font(GREEN, 11, bold=True),
    "suggestive": Font(AMBER, 11, bold=True),
    "noise": Font(SLATE, 11),
    "name": Font(INK, 12),
    "mono": Font(INK, 12, mono=True),
}
