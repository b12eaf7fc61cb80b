"""A version's inference samples by number, and what of them may be shown: text, and pictures by their first bytes."""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pydantic import JsonValue

from ..errors import LoopError, UnsafePath
from ..project.version import Version
from ..store.tree import Tree
from ..text import clean

PictureKind = Literal["image/png", "image/jpeg", "image/gif", "image/webp"]
MAX_PICTURE_BYTES = 4 * 1024 * 1024
_MAX_TEXT, _MAX_NAME = 4_000, 200
_MOST_PIXELS = 2_048
_TEXT = (".json", ".txt", ".md", ".csv", ".yaml", ".yml")
# What a file is, is decided by its content: a name can say anything. SVG is not among them, since it can hold scripts.
_STARTS: tuple[tuple[bytes, PictureKind], ...] = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)
# The most telling first; a sample may hold several.
_ORDER = ("viz", "input", "output", "gt")
# Under which key an output or a truth states what it is about.
_TELLING = ("prediction", "predicted", "pred", "output", "text", "label", "target", "truth", "gt", "value")


@dataclass(frozen=True)
class Picture:
    kind: PictureKind
    data: bytes


@dataclass(frozen=True)
class SampleFile:
    """`number` counts the sample's files from 1; `text` is cleaned and cut, None for what is not text."""

    number: int
    name: str
    text: str | None
    is_picture: bool


@dataclass(frozen=True)
class Sample:
    """`number` counts the version's samples from 1, in the order of their folders' names."""

    number: int
    name: str
    files: tuple[SampleFile, ...]

    @property
    def pictures(self) -> tuple[SampleFile, ...]:
        """The sample's pictures, the most telling one first."""
        stems = {name: place for place, name in enumerate(_ORDER)}
        found = [file for file in self.files if file.is_picture]
        return tuple(sorted(found, key=lambda file: stems.get(file.name.partition(".")[0], len(stems))))

    def said(self, stem: str) -> str | None:
        """What the file of that name says, such as `output`, in few words; None where it is missing or no text."""
        found = next((file.text for file in self.files if file.name.partition(".")[0] == stem and file.text), None)
        return None if found is None else _in_few_words(found)


def samples(version: Version, most: int) -> tuple[Sample, ...]:
    """The first `most` samples of a version; none before its evaluation."""
    tree, folder = version.project.workspace.tree, _folder(version)
    return tuple(
        Sample(number, clean(name, _MAX_NAME), tuple(_files(tree, f"{folder}/{name}")))
        for number, name in enumerate(_names(version)[:most], 1)
    )


def count(version: Version) -> int:
    """How many samples the version has."""
    return len(_names(version))


def picture(version: Version, sample: int, file: int) -> Picture | None:
    """The picture with these numbers; None where there is none, or it is no picture of a known kind."""
    tree, folders = version.project.workspace.tree, _names(version)
    if not 1 <= sample <= len(folders):
        return None
    folder = f"{_folder(version)}/{folders[sample - 1]}"
    files = tree.names(folder)
    if not 1 <= file <= len(files):
        return None
    try:
        data = tree.read(f"{folder}/{files[file - 1]}", limit=MAX_PICTURE_BYTES)
    except (LoopError, FileNotFoundError):
        return None
    kind = kind_of(data)
    return Picture(kind, data) if kind else None


def kind_of(data: bytes) -> PictureKind | None:
    """What kind of picture these bytes begin as."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for start, kind in _STARTS if data.startswith(start)), None)


def is_moderate(data: bytes) -> bool:
    """Whether it is a PNG of a size that is safe to decode, by its header: few bytes may unpack to gigabytes."""
    if kind_of(data) != "image/png" or len(data) < 24 or data[12:16] != b"IHDR":
        return False
    width, height = struct.unpack(">II", data[16:24])
    return 0 < width <= _MOST_PIXELS and 0 < height <= _MOST_PIXELS


def _in_few_words(text: str) -> str:
    """Of JSON the value that matters, such as the prediction beside its probabilities; text as it is."""
    try:
        content: JsonValue = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if isinstance(content, dict):
        lower = {str(key).lower(): value for key, value in content.items()}
        content = next((lower[name] for name in _TELLING if name in lower), content)
    return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)


def _folder(version: Version) -> str:
    return f"{version.artifacts}/infer_samples"


def _names(version: Version) -> list[str]:
    """Only folders: a file beside them is no sample, and neither is a link in the folder's own place."""
    tree, folder = version.project.workspace.tree, _folder(version)
    try:
        return [name for name in tree.names(folder) if tree.is_folder(f"{folder}/{name}")]
    except UnsafePath:
        return []


def _files(tree: Tree, folder: str) -> Iterator[SampleFile]:
    for number, name in enumerate(tree.names(folder), 1):
        try:
            data = tree.read(f"{folder}/{name}", limit=MAX_PICTURE_BYTES)
        except (LoopError, FileNotFoundError):
            yield SampleFile(number, clean(name, _MAX_NAME), None, is_picture=False)
            continue
        text = clean(data.decode(errors="replace").strip(), _MAX_TEXT) if name.lower().endswith(_TEXT) else None
        yield SampleFile(number, clean(name, _MAX_NAME), text, is_picture=kind_of(data) is not None)
