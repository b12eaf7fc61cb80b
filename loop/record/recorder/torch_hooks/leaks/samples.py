"""What is kept of the samples that came by, to look for leaks: bounded, and only what lies in the computer's memory."""

from __future__ import annotations

import sys
import time
from typing import Any

from .. import named
from ..batches import hashes_of, readable

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# What the script and torch hand over has no type here.

MAX_ROWS = 20_000
_NARROW, _NARROW_BYTES = 1024, 256  # values of a sample that are kept as they are
_MAX_BYTES = 32 << 20
_MAX_SECONDS = 2.0
_MAX_LETTERS = 4000
_SIDE = 8  # of a sketch


class Samples:
    """Of one role. `whole` where all that came by was kept; blocks are as the batches came."""

    def __init__(self, dataset: Any) -> None:
        self.rows = 0
        self.whole = True
        self.blocks: dict[named.Path, list[Any]] = {}
        self.hashes: dict[named.Path, list[Any]] = {}
        self.sketched: set[named.Path] = set()
        self.drawn: list[Any] = []  # the data set's indices, in the order of the rows; none where nobody says them
        self.dataset = dataset
        self._bytes, self._seconds = 0, 0.0

    def add(self, batch: Any, drawn: Any = None) -> None:
        numpy: Any = sys.modules.get("numpy")
        if not self.whole or numpy is None:
            self.whole = False
            return
        began = time.monotonic()
        found = [(path, readable(leaf)) for path, leaf in named.parts(batch)]
        found = [(path, leaf) for path, leaf in found if leaf is not None]
        size = len(found[0][1]) if found else 0
        found = [(path, leaf) for path, leaf in found if len(leaf) == size]
        if not size or self.rows + size > MAX_ROWS or (self.rows and [path for path, _ in found] != [*self.blocks]):
            self.whole = False
            return
        for path, leaf in found:
            block = self._block(numpy, path, leaf)
            self.blocks.setdefault(path, []).append(block)
            self.hashes.setdefault(path, []).append(hashes_of(numpy, leaf))
            self._bytes += block.nbytes if hasattr(block, "nbytes") else sum(map(len, block))
        self.rows += size
        if isinstance(drawn, (list, tuple)) and len(drawn) == size and len(self.drawn) + size == self.rows:
            self.drawn.extend(drawn)
        self._seconds += time.monotonic() - began
        self.whole = self._bytes <= _MAX_BYTES and self._seconds <= _MAX_SECONDS

    def _block(self, numpy: Any, path: named.Path, leaf: Any) -> Any:
        if isinstance(leaf, (list, tuple)):
            return [text[:_MAX_LETTERS] for text in leaf]
        if leaf[0].size <= (_NARROW if leaf.itemsize >= 4 else _NARROW_BYTES):
            return numpy.array(leaf.reshape(len(leaf), -1))  # a copy: a loader may use its memory again
        self.sketched.add(path)
        return _sketch(numpy, leaf)

    @property
    def paths(self) -> list[named.Path]:
        return [*self.blocks]

    def index(self, row: int) -> int:
        """Of a row in its data set; its place in the order of delivery where that isn't known."""
        return int(self.drawn[row]) if self.has_indices else row

    @property
    def has_indices(self) -> bool:
        return len(self.drawn) == self.rows and all(type(one) is int for one in self.drawn[:1])

    def texts(self, path: named.Path) -> list[str] | None:
        blocks = self.blocks.get(path, [])
        if not blocks or not isinstance(blocks[0], list):
            return None
        return [text for block in blocks for text in block]

    def array(self, numpy: Any, path: named.Path) -> Any:
        """Rows × values; None for texts. Integers of batches of several widths are padded with -1."""
        blocks = self.blocks.get(path, [])
        if not blocks or isinstance(blocks[0], list) or blocks[0].dtype.kind not in "fiub":
            return None
        widths = {block.shape[1] for block in blocks}
        if len(widths) > 1:
            if blocks[0].dtype.kind not in "iu":
                return None
            blocks = [numpy.pad(one, ((0, 0), (0, max(widths) - one.shape[1])), constant_values=-1) for one in blocks]
        return numpy.concatenate(blocks)

    def tokens(self, numpy: Any, path: named.Path) -> Any:
        """The array of a part that is integers in rows, as token ids are; None for any other."""
        array = None if path in self.sketched else self.array(numpy, path)
        return (
            array
            if array is not None and array.dtype.kind in "iu" and array.itemsize >= 4 and array.shape[1] > 7
            else None
        )

    def digests(self, numpy: Any, paths: list[named.Path]) -> Any:
        """64 bits for each row's values at these places, before anything was left out."""
        found = numpy.zeros(self.rows, numpy.uint64)
        for path in paths:
            found = found * numpy.uint64(0x9E3779B97F4A7C15) + numpy.concatenate(self.hashes[path])
        return found


def _sketch(numpy: Any, leaf: Any) -> Any:
    """64 means of blocks for each row: of an image's two sides, else along its values."""
    shape = leaf.shape
    if leaf.ndim >= 3 and shape[-1] <= 4 and shape[-2] >= _SIDE and shape[-3] >= _SIDE:
        leaf = numpy.moveaxis(leaf, -1, 1)  # colours last
    if leaf.ndim >= 3 and leaf.shape[-1] >= _SIDE and leaf.shape[-2] >= _SIDE:
        high, wide = leaf.shape[-2] // _SIDE, leaf.shape[-1] // _SIDE
        cut = leaf[..., : high * _SIDE, : wide * _SIDE].reshape(len(leaf), -1, _SIDE, high, _SIDE, wide)
        return cut.mean(axis=(1, 3, 5), dtype=numpy.float32).reshape(len(leaf), -1)
    flat = leaf.reshape(len(leaf), -1)
    length = flat.shape[1] // _SIDE**2
    return flat[:, : length * _SIDE**2].reshape(len(leaf), _SIDE**2, length).mean(axis=2, dtype=numpy.float32)
