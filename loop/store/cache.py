"""Values that were read from files, kept until a file's status says that it changed."""

import os
import struct
import time
from pathlib import Path
from typing import TypeVar, cast

Stamp = tuple[int, int, int, int, int]
_MOST = 2048  # of a kind: about as many versions
_MOST_BRIEFLY = 64  # what a Step reads of the versions that it is about, many times over
_MOST_GROWING = 4  # one runs at a time
# A file that changes twice within its file system's tick keeps its times: young ones are read again.
_SETTLED_NS = 2_000_000_000
_PACKED = struct.Struct("=QQqqq")  # a third of the tuple's memory, for each of thousands
T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")


class Known:
    """Values by file and type. A stamp is device, inode, size, and both times; the change time can't be set back.

    Nothing is opened here, so that a look costs microseconds. On a miss, read the file through its `Tree`.
    """

    def __init__(self, root: Path) -> None:
        self._root = f"{root}/"
        self._kept: dict[type, dict[str, tuple[bytes, object]]] = {}
        self._briefly: dict[tuple[str, type], tuple[bytes, object]] = {}
        self._growing: dict[str, object] = {}

    def stamp(self, relative: str) -> Stamp | None:
        """The file's status now; None where there is nothing. Take it before you read what you want to keep."""
        try:
            status = os.lstat(self._root + relative)
        except OSError:
            return None
        return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)

    def recall(self, relative: str, kind: type[T], stamp: Stamp | None) -> T | None:
        """What was kept of the file under this stamp, or None."""
        kept = self._kept.get(kind, {}).get(relative) or self._briefly.get((relative, kind))
        if kept is None or stamp is None or kept[0] != _PACKED.pack(*stamp):
            return None
        return cast(T, kept[1])

    def keep(self, relative: str, value: object, stamp: Stamp | None, *, briefly: bool = False) -> None:
        """Keeps the value under its type, unless the file is so young that it could change unseen.

        With `briefly`, only the last few values are kept: for what no call needs of a thousand versions at once.
        """
        if stamp is None or time.time_ns() - stamp[4] < _SETTLED_NS:
            return
        if briefly:
            _keep_last(self._briefly, (relative, type(value)), (_PACKED.pack(*stamp), value), _MOST_BRIEFLY)
            return
        of_kind = self._kept.setdefault(type(value), {})
        if len(of_kind) >= _MOST:
            of_kind.clear()
        of_kind[relative] = (_PACKED.pack(*stamp), value)

    def recall_growing(self, relative: str, kind: type[T]) -> T | None:
        """What was kept of a file that only grows. Check yourself that it still agrees with the file."""
        kept = self._growing.get(relative)
        return kept if isinstance(kept, kind) else None

    def keep_growing(self, relative: str, value: object) -> None:
        """Keeps the value, for the few files that were read last."""
        _keep_last(self._growing, relative, value, _MOST_GROWING)


def _keep_last(kept: dict[K, V], key: K, value: V, most: int) -> None:
    # Any thread may do the same at this moment.
    kept.pop(key, None)
    kept[key] = value
    for oldest in list(kept)[:-most]:
        kept.pop(oldest, None)
