"""The script's temporary folder.

Standard library only and Python 3.9: the runner reads this module in the user's interpreter.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

# multiprocessing binds sockets in TMPDIR, whose paths may have 107 bytes (104 on macOS), with up to 40 of its own.
_MAX_BYTES = 60
_PREFIX = "progressive-training-"


class Scratch(NamedTuple):
    """A folder inside the attempt, and the path to reach it by: a short symlink where its own path is too long."""

    folder: Path
    path: Path

    @classmethod
    def make(cls, folder: Path, *, alias: bool = True) -> Scratch:
        """Without `alias` there is no symlink: a sandbox has the folder at /tmp. Raises: OSError."""
        folder.mkdir(exist_ok=True)
        if not alias or len(str(folder).encode()) <= _MAX_BYTES:
            return cls(folder, folder)
        short = Path(tempfile.mkdtemp(prefix=_PREFIX, dir="/tmp")) / "t"
        short.symlink_to(folder)
        return cls(folder, short)

    def remove(self) -> None:
        """Removes the folder and the symlink; what can't be removed stays, and harms nothing."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.path != self.folder and self.path.parent.name.startswith(_PREFIX):
            shutil.rmtree(self.path.parent, ignore_errors=True)
