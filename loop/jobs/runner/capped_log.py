"""A log file that never passes its limit: the beginning and the newest end are kept, the middle goes.

Standard library only: the runner's interpreter knows no package.
"""

import errno
import os
from pathlib import Path

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_CUT = b"\n[... %20d bytes left out here: the log passed its limit of %d bytes ...]\n"
_LINE_SEARCH_BYTES = 4096


class CappedLog:
    """Appends to a file of at most `limit` bytes (at least 4096). Never raises for a full disk: output is lost then.

    The first half of the limit stays as it is; when the file is full, all between it and the newest quarter is dropped
    in place, so that a reader by path or by descriptor always finds the newest output at the end.
    """

    def __init__(self, path: Path, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._head = 0  # bytes before the cut; 0 = nothing was cut yet
        self._dropped = 0
        self.truncated = False
        self.disk_full = False
        self.received = 0
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)

    def write(self, data: bytes) -> None:
        """Appends `data`, cutting the middle when the file is full."""
        self.received += len(data)
        piece = self._limit // 8  # what fits after a cut, whatever the limit
        try:
            for start in range(0, len(data), piece):
                part = data[start : start + piece]
                if self._size + len(part) > self._limit:
                    self._cut()
                self._put(part)
        except OSError as error:
            self.disk_full = error.errno in NO_SPACE
            # Disk full or file too large: the script must go on, and the result says that output is missing.
            self.truncated = True

    def close(self) -> None:
        os.close(self._fd)

    def _put(self, data: bytes) -> None:
        while data:
            written = os.pwrite(self._fd, data, self._size)
            self._size += written
            data = data[written:]

    def _cut(self) -> None:
        if self._head == 0:
            half = self._limit // 2
            start = max(0, half - _LINE_SEARCH_BYTES)
            self._head = start + os.pread(self._fd, half - start, start).rfind(b"\n") + 1 or half
            after_head = self._head
        else:
            after_head = self._head + len(_CUT % (0, self._limit))
        start = max(after_head, self._size - self._limit // 4)
        tail = os.pread(self._fd, self._size - start, start)
        tail = tail[tail.find(b"\n", 0, _LINE_SEARCH_BYTES) + 1 :]
        self._dropped += self._size - after_head - len(tail)
        self.truncated = True
        self._size = self._head
        self._put(_CUT % (self._dropped, self._limit) + tail)
        os.ftruncate(self._fd, self._size)
