"""What one batch holds: how many samples, and which, looked at without waiting for a device."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false, reportPrivateUsage=false
# What the script and torch hand over has no type here.

_DEEP = 4
_LEAVES = 64


def size_of(batch: Any) -> int | None:
    """The first dimension of the first tensor or array in the batch; None where there is none."""
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

    Only what lies in the computer's own memory is read, and only so much of it.
    """

    MAX_ROWS = 20_000
    MAX_BYTES = 24 << 20

    def __init__(self) -> None:
        self.rows = 0
        self.inputs: set[bytes] = set()
        self.whole = True
        self._sum = 0
        self._bytes = 0

    def add(self, batch: Any) -> None:
        if not self.whole:
            return
        arrays = [array for leaf in leaves(batch) if (array := _array(leaf)) is not None]
        size = len(arrays[0]) if arrays else 0
        arrays = [array for array in arrays if len(array) == size]
        self._bytes += sum(array.nbytes for array in arrays)
        if not arrays or self.rows + size > self.MAX_ROWS or self._bytes > self.MAX_BYTES:
            self.whole = False
            return
        self.rows += size
        for number in range(size):
            inputs = _digest(arrays[0][number].tobytes())
            self.inputs.add(inputs)
            rest = b"".join(array[number].tobytes() for array in arrays[1:])
            self._sum += int.from_bytes(_digest(inputs + rest), "big")

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


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=8).digest()


def _array(leaf: Any) -> Any:
    """A numpy view of it; None for what has none: on a device, sparse, of a type that numpy lacks."""
    device = getattr(leaf, "device", None)
    if device is None or isinstance(device, str):
        return leaf if hasattr(leaf, "nbytes") and hasattr(leaf, "tobytes") else None
    if device.type != "cpu" or "strided" not in str(leaf.layout) or leaf.requires_grad:
        return None
    try:
        return leaf.numpy()
    except (TypeError, RuntimeError):
        return None
