"""The line and column of a JSON text's keys and values, which the standard parser doesn't give."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+', re.S)
_NOT_JSON = ("NaN", "Infinity", "-Infinity")
Path = tuple[str | int, ...]


@dataclass
class _Open:
    """An object or array that is being read; `at` is the key or index within it, None where a key comes next."""

    array: bool
    at: str | int | None


def place_of_value(text: str, path: Sequence[str | int]) -> str | None:
    """`line:column` of the value at `path`, both from 1; None where there is none."""
    wanted = tuple(path)
    return next((_place(text, at) for kind, found, at in _walk(text) if (kind, found) == ("value", wanted)), None)


def place_of_repeated_key(text: str) -> str | None:
    """`line:column` of the first key that its object has already."""
    seen: set[Path] = set()
    for kind, path, at in _walk(text):
        if kind == "key":
            if path in seen:
                return _place(text, at)
            seen.add(path)
    return None


def place_of_constant(text: str) -> str | None:
    """`line:column` of the first NaN or Infinity, which Python's parser knows and JSON doesn't."""
    return next(
        (_place(text, at) for kind, _, at in _walk(text) if kind == "value" and _at(text, at) in _NOT_JSON), None
    )


def scalars(text: str) -> Iterator[tuple[Path, int, int]]:
    """The path of each value that is neither object nor array, with the offsets where it begins and ends."""
    for kind, path, at in _walk(text):
        word = _at(text, at)
        if kind == "value" and word not in ("{", "["):
            yield path, at, at + len(word)


def _walk(text: str) -> Iterator[tuple[str, Path, int]]:
    """Each ("key" | "value", path, offset) in order; of a text that is not JSON, what comes before the fault."""
    stack: list[_Open] = []
    for token in _TOKEN.finditer(text):
        top, word = stack[-1] if stack else None, token[0]
        if word in ("}", "]"):
            if top is None:
                return
            stack.pop()
        elif word == ",":
            if top is not None:
                top.at = top.at + 1 if isinstance(top.at, int) else None
        elif top is not None and not top.array and top.at is None:
            if not word.startswith('"'):
                return
            top.at = str(json.loads(word, strict=False))
            yield "key", _path(stack), token.start()
        elif word != ":":
            yield "value", _path(stack), token.start()
            if word in ("{", "["):
                stack.append(_Open(word == "[", 0 if word == "[" else None))


def _path(stack: Sequence[_Open]) -> Path:
    return tuple(frame.at for frame in stack if frame.at is not None)


def _at(text: str, offset: int) -> str:
    token = _TOKEN.match(text, offset)
    return token[0] if token else ""


def _place(text: str, offset: int) -> str:
    line, column = text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)
    return f"{line}:{column}"
