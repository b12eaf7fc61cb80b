"""In the user's interpreter: reads a torch checkpoint, and copies it with its weights in disorder, but runs none of it.

Standard library only, Python 3.9: run_evaluator.py loads this file. The pickle inside is read
with every class replaced by a stand-in that does nothing. That is stricter than `torch.load(weights_only=True)`, and a
checkpoint whose hyper-parameters are objects of the script can be read all the same.
"""

from __future__ import annotations

import array
import hashlib
import io
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MAX_PICKLE_BYTES = 256 << 20
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# A checkpoint's content has no type before it is looked at.

# Element size by storage class; what isn't floating point (counters, indices) stays in order.
_FLOATING = {"FloatStorage": "I", "HalfStorage": "H", "BFloat16Storage": "H", "DoubleStorage": "Q"}
_SIGN = {"I": 1 << 31, "H": 1 << 15, "Q": 1 << 63}


class StandIn(dict):  # type: ignore[type-arg]
    """Takes the place of any class: keeps what it is given and does nothing."""

    name = ""

    def __init__(self, *arguments: Any) -> None:
        super().__init__()
        self.arguments = arguments

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, dict):
            self.update(state)

    def append(self, item: Any) -> None:
        self.arguments += (item,)

    def extend(self, items: Any) -> None:
        self.arguments += tuple(items)


class Storage:
    """A tensor's memory: the zip record that holds it, and the name of its class."""

    def __init__(self, key: str, kind: str) -> None:
        self.key = key
        self.kind = kind


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return type("StandIn", (StandIn,), {"name": f"{module}.{name}"})

    def persistent_load(self, pid: Any) -> Any:
        kind = getattr(pid[1], "name", "")
        return Storage(str(pid[2]), kind.rsplit(".", 1)[-1])


def is_torch_checkpoint(path: Path) -> bool:
    return zipfile.is_zipfile(path)


def read(path: Path) -> Any:
    """The checkpoint's content with stand-ins. Raises ValueError if it is no checkpoint that torch wrote."""
    with zipfile.ZipFile(path) as archive:
        name = next((name for name in archive.namelist() if name.endswith("/data.pkl")), None)
        if name is None or archive.getinfo(name).file_size > MAX_PICKLE_BYTES:
            raise ValueError(f"{path.name} has no data.pkl of a checkpoint")
        try:
            return _Reader(io.BytesIO(archive.read(name))).load()
        except (pickle.UnpicklingError, AttributeError, EOFError, IndexError, KeyError, TypeError) as error:
            raise ValueError(f"{path.name} can't be read: {error}") from error


def describe(path: Path) -> dict[str, Any]:
    """`epoch`, `global_step` and the plain values among `hyper_parameters`, as far as the checkpoint has them."""
    content = read(path)
    found: dict[str, Any] = {}
    if isinstance(content, dict):
        for name in ("epoch", "global_step"):
            if type(content.get(name)) is int:
                found[name] = content[name]
        found["hyper_parameters"] = dict(_plain(content.get("hyper_parameters"), ""))
    return found


def _plain(value: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _plain(inner, f"{prefix}.{key}" if prefix else str(key))
    elif prefix and (value is None or isinstance(value, (bool, int, float, str))):
        yield prefix, value


def weights_digest(path: Path) -> str | None:
    """One digest of all tensors of the weights, with their names and shapes; None for a file without any.

    Two checkpoints with the same weights have the same, whatever else they hold. Raises ValueError as read() does.
    """
    content = read(path)
    weights = content.get("state_dict", content) if isinstance(content, dict) else content
    found = hashlib.blake2b(digest_size=16)
    keys: dict[str, str] = {}
    for name, tensor in _tensors(weights, ""):
        storage, *rest = tensor.arguments
        keys.setdefault(storage.key, storage.kind)
        found.update(repr((name, list(keys).index(storage.key), _whole_numbers(rest))).encode())
    with zipfile.ZipFile(path) as archive:
        records = {entry.rpartition("/")[2]: entry for entry in archive.namelist() if "/data/" in entry}
        for key, kind in keys.items():
            found.update(kind.encode())
            if key in records:
                with archive.open(records[key]) as record:
                    while data := record.read(1 << 20):
                        found.update(data)
    return found.hexdigest() if keys else None


def _tensors(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    arguments = getattr(value, "arguments", ())
    if arguments and isinstance(arguments[0], Storage):
        yield name, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _tensors(inner, f"{name}.{key}")
        for inner in arguments:
            yield from _tensors(inner, name)


def _whole_numbers(values: Any) -> list[Any]:
    """Offset, shape and stride; what else a tensor is made of says nothing of its values."""
    return [value for value in values if isinstance(value, (int, tuple)) and not isinstance(value, bool)]


def write_disordered(source: Path, target: Path) -> int:
    """Copies the checkpoint with each floating tensor of its weights reversed and negated; how many records changed.

    What holds no negative number is reversed alone, since a negative variance gives NaN whatever the model says; if
    that changes nothing in the whole file, it is negated after all. Raises ValueError if it is no checkpoint that torch
    wrote.
    """
    content = read(source)
    weights = content.get("state_dict", content) if isinstance(content, dict) else content
    kinds = {storage.key: _FLOATING[storage.kind] for storage in _storages(weights) if storage.kind in _FLOATING}
    return _copy_disordered(source, target, kinds, keep=True) or _copy_disordered(source, target, kinds, keep=False)


def _copy_disordered(source: Path, target: Path, kinds: dict[str, str], *, keep: bool) -> int:
    """`keep`: what holds no negative number gets none."""
    changed = 0
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as copy:
        for entry in archive.infolist():
            data = archive.read(entry)
            folder, _, key = entry.filename.rpartition("/")
            if folder.endswith("/data") and key in kinds:
                before, data = data, _disordered(data, kinds[key], keep=keep)
                changed += data != before
            copy.writestr(entry.filename, data)
    return changed


def _storages(value: Any) -> Iterator[Storage]:
    if isinstance(value, Storage):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _storages(inner)
        yield from _storages(getattr(value, "arguments", ()))
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _storages(inner)


def _disordered(data: bytes, code: str, *, keep: bool) -> bytes:
    words = array.array(code)
    whole = len(data) - len(data) % words.itemsize
    words.frombytes(data[:whole])
    words.reverse()
    sign = _SIGN[code]
    if keep and not any(word & sign for word in words):
        return words.tobytes() + data[whole:]
    return array.array(code, (word ^ sign for word in words)).tobytes() + data[whole:]
