"""What a chart is made of: lines, marks, texts and pictures at places in pixels, y downwards."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

LineKind = Literal[
    "grid", "axis", "line", "faint", "best", "dashed", "bar", "bar-significant", "bar-suggestive", "one", "shown"
]
MarkKind = Literal["significant", "suggestive", "noise", "first", "unscored", "plain", "front"]
TextKind = Literal[
    "title", "subtitle", "tick", "value", "caption", "significant", "suggestive", "noise", "name", "mono"
]
Anchor = Literal["start", "middle", "end"]


@dataclass(frozen=True)
class Line:
    """A polyline."""

    points: tuple[tuple[float, float], ...]
    kind: LineKind

    @property
    def path(self) -> str:
        return " ".join(f"{x:g},{y:g}" for x, y in self.points)


@dataclass(frozen=True)
class Mark:
    """One version. Kinds differ in shape as well as in colour; `told` is its sentence for those who can't see it."""

    x: float
    y: float
    kind: MarkKind
    told: str
    href: str | None = None
    ringed: bool = False

    @property
    def outline(self) -> str:
        """The SVG path of its shape."""
        x, y = self.x, self.y
        match self.kind:
            case "suggestive":
                return f"M{x:g} {y - 6.5:g}l6.5 6.5l-6.5 6.5l-6.5 -6.5z"
            case "first":
                return f"M{x - 5:g} {y - 5:g}h10v10h-10z"
            case "unscored":
                return f"M{x - 4:g} {y - 4:g}l8 8m0 -8l-8 8"
            case _:
                return f"M{x - 5:g} {y:g}a5 5 0 1 0 10 0a5 5 0 1 0 -10 0z"


@dataclass(frozen=True)
class Text:
    """One line; `y` is its baseline."""

    x: float
    y: float
    text: str
    kind: TextKind
    anchor: Anchor = "start"


@dataclass(frozen=True)
class Image:
    """A picture as a data URI, with its pixels kept sharp."""

    x: float
    y: float
    size: float
    uri: str
    alt: str


@dataclass(frozen=True)
class Chart:
    """`name` says what it shows in a few words, `told` in a sentence: for headings and for those who can't see it.

    These and what marks tell may be in the report's language; the texts that are drawn stay English.
    """

    width: int
    height: int
    name: str
    told: str
    lines: tuple[Line, ...] = ()
    marks: tuple[Mark, ...] = ()
    texts: tuple[Text, ...] = ()
    images: tuple[Image, ...] = ()

    def titled(self, subtitle: str = "") -> "Chart":
        """The same chart with its name on top, for where no heading stands above it."""
        down = 52 if subtitle else 34
        texts = [Text(16, 26, self.name, "title")]
        texts += [Text(16, 46, subtitle, "subtitle")] if subtitle else []
        moved = self.moved(down)
        return replace(moved, height=self.height + down, texts=(*texts, *moved.texts))

    def moved(self, down: float) -> "Chart":
        """Everything in it `down` pixels lower; its size stays."""
        return replace(
            self,
            lines=tuple(replace(line, points=tuple((x, y + down) for x, y in line.points)) for line in self.lines),
            marks=tuple(replace(mark, y=mark.y + down) for mark in self.marks),
            texts=tuple(replace(text, y=text.y + down) for text in self.texts),
            images=tuple(replace(image, y=image.y + down) for image in self.images),
        )


def line(points: Iterable[tuple[float, float]], kind: LineKind) -> Line:
    return Line(tuple((round(x, 1), round(y, 1)) for x, y in points), kind)
