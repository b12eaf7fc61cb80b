"""Pictures of numpy alone: PNG files, lines, boxes, masks in colour.

A picture is 8-bit grey (H, W) or colour (H, W, 3).
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

WHITE, GREY, BLACK = (255, 255, 255), (150, 150, 150), (0, 0, 0)
TRUE, PREDICTED = (0, 114, 178), (213, 94, 0)  # blue and orange, which the colour-blind tell apart too
#: One a class, the background first; beyond them they repeat.
CLASSES = (
    *((0, 0, 0), (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0)),
    *((204, 121, 167), (148, 103, 189), (140, 86, 75), (127, 201, 127), (23, 190, 207)),
)
VOID = (128, 128, 128)
#: Digits as three bits a row, five rows.
_FONT = {
    **dict(zip("01234", ("75557", "26227", "71747", "71717", "55711"))),
    **dict(zip("56789", ("74717", "74757", "71222", "75757", "75717"))),
    **dict(zip("-.e+ ", ("00700", "00002", "07747", "02720", "00000"))),
}


def write_png(path: Path, picture: Any) -> None:
    """By hand, since no example needs an image library else."""
    height, width = picture.shape[:2]
    lines = b"".join(b"\0" + line.tobytes() for line in picture)
    kind = 0 if picture.ndim == 2 else 2
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0))]
    chunks += [(b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    data = b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)


def as_picture(array: Any) -> Any | None:
    """An image-like sample as 8-bit grey (H, W) or colour (H, W, 3); None for anything else."""
    side = math.isqrt(array.size)
    if array.ndim == 1 and side * side == array.size and array.dtype.kind == "f":
        array = array.reshape(side, side)
    if array.ndim == 3 and array.shape[0] in (1, 3):
        array = array.transpose(1, 2, 0)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3) or min(array.shape[:2]) < 8:
        return None
    low, high = float(array.min()), float(array.max())
    return ((array - low) * (255 / (high - low or 1))).astype("uint8")


def enlarged(picture: Any, scale: int) -> Any:
    return picture.repeat(max(1, scale), axis=0).repeat(max(1, scale), axis=1)


def in_colour(picture: Any) -> Any:
    """A copy of it as (H, W, 3)."""
    return numpy.repeat(picture[:, :, None], 3, axis=2) if picture.ndim == 2 else picture.copy()


def coloured(mask: Any) -> Any:
    """A mask of class numbers in the classes' colours; grey where a class is below 0 and counts for nothing."""
    picture = numpy.array(CLASSES, dtype="uint8")[mask.clip(0) % len(CLASSES)]
    picture[mask < 0] = VOID
    return picture


def overlaid(picture: Any, mask: Any) -> Any:
    """The picture with the mask's classes over it; the background stays as it is."""
    mixed = (0.5 * in_colour(picture) + 0.5 * coloured(mask)).astype("uint8")
    return numpy.where((mask == 0)[:, :, None], in_colour(picture), mixed)


def beside(pictures: Sequence[Any], gap: int = 4) -> Any:
    """Pictures of one height from left to right."""
    white = numpy.full((pictures[0].shape[0], gap, 3), 255, dtype="uint8")
    parts = [part for picture in pictures for part in (in_colour(picture), white)]
    return numpy.concatenate(parts[:-1], axis=1)


def line(picture: Any, start: tuple[float, float], end: tuple[float, float], colour: tuple[int, int, int]) -> None:
    """From one (x, y) to another, two pixels wide; what lies outside isn't drawn."""
    steps = int(max(abs(end[0] - start[0]), abs(end[1] - start[1]))) + 1
    columns = numpy.linspace(start[0], end[0], steps + 1).round().astype(int)
    rows = numpy.linspace(start[1], end[1], steps + 1).round().astype(int)
    for right, down in ((0, 0), (1, 0), (0, 1)):
        x, y = columns + right, rows + down
        inside = (x >= 0) & (x < picture.shape[1]) & (y >= 0) & (y < picture.shape[0])
        picture[y[inside], x[inside]] = colour


def box(picture: Any, corners: Sequence[float], colour: tuple[int, int, int]) -> None:
    """Its edges; corners are x1, y1, x2, y2, and may lie outside."""
    x1, y1, x2, y2 = (min(max(float(value), -9.0), 9.0 + max(picture.shape[:2])) for value in corners)
    for start, end in (((x1, y1), (x2, y1)), ((x2, y1), (x2, y2)), ((x2, y2), (x1, y2)), ((x1, y2), (x1, y1))):
        line(picture, start, end, colour)


def number(picture: Any, x: int, y: int, value: float, scale: int = 2) -> None:
    """A number in small digits, its upper left corner at (x, y)."""
    for character in f"{value:.3g}":
        glyph = numpy.array([[int(row) >> bit & 1 for bit in (2, 1, 0)] for row in _FONT.get(character, "00000")])
        shape = enlarged(glyph.astype(bool), scale)[: picture.shape[0] - y, : max(0, picture.shape[1] - x)]
        picture[y : y + shape.shape[0], x : x + shape.shape[1]][shape] = BLACK
        x += 4 * scale


def curves(lines: Sequence[tuple[Sequence[float], Sequence[float], tuple[int, int, int]]]) -> Any:
    """Curves of (xs, ys, colour) in one frame, with the lowest and the highest y at its left."""
    width, height, left, edge = 640, 240, 72, 10
    picture = numpy.full((height, width, 3), 255, dtype="uint8")
    known = [(numpy.asarray(xs, float), numpy.asarray(ys, float), colour) for xs, ys, colour in lines]
    finite = numpy.concatenate([ys[numpy.isfinite(ys)] for _, ys, _ in known])
    if not len(finite):
        return picture
    low, high = float(finite.min()), float(finite.max())
    first, last = min(xs.min() for xs, _, _ in known if len(xs)), max(xs.max() for xs, _, _ in known if len(xs))
    number(picture, 2, edge, high)
    number(picture, 2, height - edge - 10, low)
    box(picture, (left - 4, 2, width - 4, height - 4), GREY)
    for xs, ys, colour in known:
        columns = left + (xs - first) * ((width - left - edge) / ((last - first) or 1))
        rows = height - edge - (ys - low) * ((height - 2 * edge) / ((high - low) or 1))
        points = [(x, y) for x, y in zip(columns, rows) if math.isfinite(y)]
        for start, end in zip(points, points[1:] or points):
            line(picture, start, end, colour)
    return picture
