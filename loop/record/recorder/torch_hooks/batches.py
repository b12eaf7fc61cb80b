"""What one batch holds: how many samples, and which, looked at without waiting for a device."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .named import inputs, parts

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false, reportPrivateUsage=false
# What the script and torch hand over has no type here.

_DEEP = 4
_LEAVES = 64
_FIRST, _SECOND = 0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53
_known_weights: dict[int, Any] = {}


def size_of(batch: Any) -> int | None:
    """The first dimension of the first tensor or array in the batch; None where there is none."""
    if type(batch) in (list, tuple) and batch:  # as most are
        shape = getattr(batch[0], "shape", None)
        if shape:
            size = shape[0]
            return size if type(size) is int else int(size)
    for leaf in leaves(batch):
        return int(leaf.shape[0])
    return None


def leaves(batch: Any, depth: int = 0) -> Iterator[Any]:
    """Tensors and arrays with at least one dimension, in the batch's own order."""
    shape = getattr(batch, "shape", None)
    if isinstance(shape, tuple):  # torch.Size is one
        if shape:
            yield batch
    elif depth < _DEEP and isinstance(batch, Mapping):
        for inner in list(batch.values())[:_LEAVES]:
            yield from leaves(inner, depth + 1)
    elif depth < _DEEP and isinstance(batch, (list, tuple)):
        for inner in batch[:_LEAVES]:
            yield from leaves(inner, depth + 1)


class Contents:
    """Which samples came by: a digest that their order doesn't change, and the inputs, to find them in another set.

    Only what lies in the computer's own memory is read, and only so much of it. The hashes tell samples apart; nobody
    is kept from making two that are alike.
    """

    MAX_ROWS = 20_000
    MAX_BYTES = 32 << 20

    def __init__(self) -> None:
        self.rows = 0
        self.inputs: set[int] = set()
        self.whole = True
        self._sum = 0
        self._bytes = 0

    def add(self, batch: Any) -> None:
        numpy: Any = sys.modules.get("numpy")
        if not self.whole or numpy is None:
            self.whole = False
            return
        found = [(path, array) for path, leaf in parts(batch) if (array := readable(leaf)) is not None]
        size = len(found[0][1]) if found else 0
        hashes = {path: hashes_of(numpy, array) for path, array in found if len(array) == size}
        self._bytes += sum(array.nbytes if hasattr(array, "nbytes") else sum(map(len, array)) for _, array in found)
        if not size or self.rows + size > self.MAX_ROWS or self._bytes > self.MAX_BYTES:
            self.whole = False
            return
        self.rows += size
        self.inputs.update(_together(hashes[path] for path in inputs([*hashes]) or [*hashes][:1]).tolist())
        self._sum += int(_together(hashes.values()).sum())

    def listed(self) -> dict[str, Any]:
        digest = f"{self._sum & (1 << 64) - 1:016x}"
        return {"rows": self.rows, "distinct_inputs": len(self.inputs), "whole": self.whole, "digest": digest}


def digest_of(tensors: Any) -> str:
    """One digest of a few values of each tensor and of its shape, whatever device it is on. Waits for that device."""
    found = hashlib.blake2b(digest_size=8)
    for tensor in tensors:
        flat = tensor.detach().reshape(-1)
        some = flat[:: max(1, flat.numel() // 16)][:16].double().cpu()
        found.update(repr((tuple(tensor.shape), some.tolist())).encode())
    return found.hexdigest()


def _together(hashes: Iterable[Any]) -> Any:
    first, *more = hashes
    for one in more:
        first = _mixed(first) + one
    return first


def readable(leaf: Any) -> Any:
    """A list of texts as it is, else a numpy view of it; None for what has none."""
    return leaf if isinstance(leaf, (list, tuple)) else array_of(leaf)


def hashes_of(numpy: Any, leaf: Any) -> Any:
    """64 bits for each row, or each text."""
    if not isinstance(leaf, (list, tuple)):
        return row_hashes(numpy, leaf)
    digests = (hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest() for text in leaf)
    return numpy.array([int.from_bytes(one, "little") for one in digests], numpy.uint64)


def row_hashes(numpy: Any, array: Any) -> Any:
    """64 bits for each row, the same in each process: all rows at once, a row at a time would cost a step's time."""
    size = len(array)
    rows = numpy.ascontiguousarray(array).reshape(size, -1).view(numpy.uint8)
    words = numpy.zeros((size, -(-rows.shape[1] // 8) * 8), numpy.uint8)
    words[:, : rows.shape[1]] = rows
    words = words.view(numpy.uint64)
    # Rows of another length or type must differ where their bytes are nought.
    return _mixed(((words ^ (words >> 29)) * _weights(numpy, words.shape[1])).sum(axis=1) + numpy.uint64(rows.shape[1]))


def _weights(numpy: Any, count: int) -> Any:
    if count not in _known_weights:
        _known_weights.clear()
        _known_weights[count] = _mixed(numpy.arange(1, count + 1, dtype=numpy.uint64)) | numpy.uint64(1)
    return _known_weights[count]


def _mixed(words: Any) -> Any:
    """Each bit of the input changes half of the output's (the finish of MurmurHash3)."""
    words = (words ^ (words >> 33)) * _FIRST
    words = (words ^ (words >> 33)) * _SECOND
    return words ^ (words >> 33)


def array_of(leaf: Any) -> Any:
    """A numpy view of it; None for what has none: on a device, sparse, of a type that numpy lacks."""
    device = getattr(leaf, "device", None)
    if device is None or isinstance(device, str):
        return leaf if hasattr(leaf, "nbytes") and not leaf.dtype.hasobject else None
    if device.type != "cpu" or "strided" not in str(leaf.layout) or leaf.requires_grad:
        return None
    try:
        return leaf.numpy()
    except (TypeError, RuntimeError):
        return None
