"""A grid of inference samples: each picture with what the model said and what is true."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from ...loop.text import Say, english
from .shapes import Chart, Image, Text

_SIZE, _GAP, _TEXT = 112, 20, 40


@dataclass(frozen=True)
class Tile:
    """One sample: a PNG, and two short texts."""

    name: str
    png: bytes
    output: str
    truth: str


def samples_chart(shown: Sequence[Tile], version: str, width: int, say: Say = english) -> Chart:
    """As many columns as fit."""
    columns = max(1, (width - _GAP) // (_SIZE + _GAP))
    images: list[Image] = []
    texts: list[Text] = []
    for place, sample in enumerate(shown):
        left = _GAP + place % columns * (_SIZE + _GAP)
        top = 12 + place // columns * (_SIZE + _TEXT + _GAP)
        uri = f"data:image/png;base64,{base64.b64encode(sample.png).decode()}"
        alt = f"sample {sample.name}: output {sample.output or 'unknown'}, truth {sample.truth or 'unknown'}"
        images.append(Image(left, top, _SIZE, uri, alt))
        texts.append(Text(left, top + _SIZE + 17, _cut(sample.output), "mono"))
        texts.append(Text(left, top + _SIZE + 33, _cut(f"truth {sample.truth}"), "tick"))
    told = say("{count} inference samples of {version} with the model's output and the truth.")
    rows = -(-len(shown) // columns)
    return Chart(
        width=width,
        height=12 + rows * (_SIZE + _TEXT + _GAP),
        name=say("Samples of {version}").format(version=version),
        told=told.format(count=len(shown), version=version),
        texts=tuple(texts),
        images=tuple(images),
    )


def _cut(text: str) -> str:
    return text if len(text) <= 18 else f"{text[:17]}…"
