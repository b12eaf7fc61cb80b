"""What was read from files before, good for as long as each file's status says that it is the same one."""

import os
import time
from pathlib import Path
from typing import TypeVar, cast

Stamp = tuple[int, int, int, int, int]
_MOST = 8192
_MOST_GROWING = 4  # one runs at a time
# A file that changes twice within its file system's tick keeps its times: young ones are read again.
_SETTLED_NS = 2_000_000_000
T = TypeVar("T")


class Known:
    """Values by file and type. A stamp is device, inode, size, and both times; the change time can't be set back.

    Nothing is opened here, so that a look costs microseconds; whoever misses reads the file through its `Tree`.
    """

    def __init__(self, root: Path) -> None:
        self._root = f"{root}/"
        self._kept: dict[tuple[str, type], tuple[Stamp, object]] = {}
        self._growing: dict[str, object] = {}

    def stamp(self, relative: str) -> Stamp | None:
        """The file's status now; None where there is nothing. Take it before you read what you mean to keep."""
        try:
            status = os.lstat(self._root + relative)
        except OSError:
            return None
        return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)

    def recall(self, relative: str, kind: type[T], stamp: Stamp | None) -> T | None:
        """What was kept of the file, if it had this stamp then."""
        kept = self._kept.get((relative, kind))
        return cast(T, kept[1]) if kept is not None and kept[0] == stamp else None

    def keep(self, relative: str, value: object, stamp: Stamp | None) -> None:
        """Keeps the value under its type, unless the file is so young that it could change unseen."""
        if stamp is None or time.time_ns() - stamp[4] < _SETTLED_NS:
            return
        if len(self._kept) >= _MOST:
            self._kept.clear()
        self._kept[relative, type(value)] = (stamp, value)

    def recall_growing(self, relative: str, kind: type[T]) -> T | None:
        """What was kept of a file that is added to; the caller sees for itself that it still agrees with the file."""
        kept = self._growing.get(relative)
        return kept if isinstance(kept, kind) else None

    def keep_growing(self, relative: str, value: object) -> None:
        """Keeps it for the few files that were read last."""
        self._growing.pop(relative, None)
        self._growing[relative] = value
        for oldest in list(self._growing)[:-_MOST_GROWING]:
            self._growing.pop(oldest, None)
