"""JSON, YAML and arrays, as plain values within bounds. Standard library and PyYAML; runs in the helper alone."""

import ast
import json
import os
import struct
from collections.abc import Sequence
from typing import Any, NoReturn

import yaml

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# What a file holds has no type before it is looked at.

MOST_BYTES, _MOST_YAML = 16 << 20, 4 << 20
MOST_VALUES, MOST_DEPTH = 200_000, 60
_MOST_WHOLE = 1 << 64
_ARRAYS = {
    "<f4": ("f", "float32"),
    "<f8": ("d", "float64"),
    "<i8": ("q", "int64"),
    "<i4": ("i", "int32"),
    "|u1": ("B", "uint8"),
    "<i2": ("h", "int16"),
}


class Refused(Exception):
    """What is wrong with the file, in words of ours."""


def json_values(files: Sequence[int], *, strict: bool = False) -> Any:
    """What a JSON file holds; with `strict` no key stands there twice, and each number is one."""
    return plain(parse_json(content(files[0]), strict=strict))


def parse_json(data: bytes, *, strict: bool) -> Any:
    """Raises: ValueError, RecursionError, Refused."""
    text = data.decode("utf-8-sig")
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant) if strict else json.loads(text)
    except json.JSONDecodeError as error:
        raise Refused(f"it is not valid JSON ({error})") from error


def _once(items: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(items)
    if len(found) < len(items):
        raise Refused("a key stands there twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise Refused(f"{name} is not a JSON number")


# The one in C, where it was built.
_Safe: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Safe):
    """Objects that Lightning tagged as Python's are read as nothing, and never constructed."""


def _nothing(_loader: object, _suffix: str, _node: object) -> None:
    return None


_Loader.add_multi_constructor("", _nothing)


def yaml_values(files: Sequence[int]) -> Any:
    """What a YAML file holds."""
    return plain(yaml.load(content(files[0], _MOST_YAML), _Loader))


def plain(value: Any) -> Any:
    """The value as JSON has it, aliases written out. Raises: Refused, for more or deeper ones than anybody needs."""
    return _Plain().of(value, 0)


class _Plain:
    def __init__(self) -> None:
        self._left = MOST_VALUES

    def of(self, value: Any, depth: int) -> Any:
        self._left -= 1
        if self._left < 0:
            raise Refused(f"it holds more than {MOST_VALUES:,} values")
        if depth > MOST_DEPTH:
            raise Refused(f"it is nested deeper than {MOST_DEPTH} levels, or holds itself")
        if value is None or isinstance(value, bool | float | str):
            return value
        if isinstance(value, int):
            return value if -_MOST_WHOLE < value < _MOST_WHOLE else str(value)
        if isinstance(value, dict):
            return {str(key): self.of(inner, depth + 1) for key, inner in value.items()}
        if isinstance(value, list | tuple | set):
            return [self.of(inner, depth + 1) for inner in value]
        return str(value)


def array_words(files: Sequence[int]) -> str:
    """`float32[64], from 0 to 1`, by the head of a .npy file: numpy isn't loaded for that."""
    data = content(files[0])
    if data[:6] != b"\x93NUMPY":
        raise Refused("it is no .npy file")
    wide = data[6] > 1
    size = struct.unpack_from("<I" if wide else "<H", data, 8)[0]
    begin = 12 if wide else 10
    head = ast.literal_eval(data[begin : begin + size].decode("latin-1"))
    kind, shape = str(head["descr"]), [int(side) for side in head["shape"]]
    form, name = _ARRAYS.get(kind, (None, kind))
    told = f"{name}{shape}"
    body = data[begin + size :]
    if form is None or not body:
        return told
    values = struct.unpack(f"<{len(body) // struct.calcsize(form)}{form}", body)
    return f"{told}, from {min(values):.4g} to {max(values):.4g}"


def content(file: int, most: int = MOST_BYTES) -> bytes:
    """All of a file from its beginning. Raises: Refused, for one that is too large."""
    data = chunk(file, 0, most + 1)
    if len(data) > most:
        raise Refused(f"it is larger than {most >> 20} MiB")
    return data


def chunk(file: int, offset: int, most: int) -> bytes:
    """At most so many bytes from there."""
    parts: list[bytes] = []
    while most > 0 and (part := os.pread(file, min(most, 1 << 20), offset)):
        parts.append(part)
        offset, most = offset + len(part), most - len(part)
    return b"".join(parts)
