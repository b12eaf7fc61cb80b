"""Large arrays in memory that processes share: written once, sealed, and mapped by whoever gets it (Linux).

A block is sealed by who receives it, before it is read: nobody, its maker included, can change or shorten it any more.
What is mapped is one's own copy as soon as one writes there.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import sys
import weakref
from typing import Any

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

AVAILABLE = sys.platform == "linux" and hasattr(os, "memfd_create")
LEAST = 1 << 20
#: What one message may carry; the kernel takes 253.
MOST = 200
_SEALS = 1 | 2 | 4 | 8  # linux/fcntl.h: F_SEAL_SEAL, _SHRINK, _GROW, _WRITE
_ADD_SEALS, _GET_SEALS = 1024 + 9, 1024 + 10


class Block:
    """Shared memory behind a descriptor, which it closes when nobody uses it any more.

    `hands_on`: this process never writes to it, and sends it to others as it is.
    """

    def __init__(self, handle: int, *, hands_on: bool = False) -> None:
        self.handle, self._hands_on = handle, hands_on
        weakref.finalize(self, os.close, handle)

    def data(self, length: int) -> Any:
        """Its content. Raises `ValueError` for another length."""
        if os.fstat(self.handle).st_size != length:
            raise ValueError("shared memory of another length")
        found = _Mapped(self.handle, length, access=mmap.ACCESS_COPY)
        if self._hands_on:
            found.block = self
            _KNOWN[_address(found), length] = found
        return memoryview(found)


class _Mapped(mmap.mmap):
    block: Block


#: What is handed on as it came, by where it is mapped; only where nobody writes to it.
_KNOWN: weakref.WeakValueDictionary[tuple[int, int], _Mapped] = weakref.WeakValueDictionary()


def _address(value: Any) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(value))


def is_worth(size: int, others: int) -> bool:
    """Whether so many bytes go by shared memory, beside so many others of the message."""
    return AVAILABLE and size >= LEAST and others < MOST


def holding(data: Any) -> Block:
    """A block with these bytes, an array of uint8; that which it was mapped from, if it was. Raises: OSError."""
    known = _KNOWN.get((data.ctypes.data, len(data)))
    if known is not None:
        return known.block
    handle = os.memfd_create("batch", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    block, view = Block(handle), memoryview(data)
    while view:
        view = view[os.write(handle, view) :]
    return block


def seal(handle: int) -> None:
    """From now on nobody changes it. Raises: OSError where somebody still could, or it is no such memory."""
    os.set_inheritable(handle, False)
    try:
        fcntl.fcntl(handle, _ADD_SEALS, _SEALS)
    except PermissionError:  # sealed by the scorer, and handed on
        if fcntl.fcntl(handle, _GET_SEALS) & _SEALS != _SEALS:
            raise
