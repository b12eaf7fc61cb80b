"""The script's temporary folder.

Standard library only: the runner's interpreter knows no package.
"""

import contextlib
import shutil
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
    def make(cls, folder: Path, *, alias: bool = True, movable: bool = False) -> "Scratch":
        """Without `alias` there is no symlink: a sandbox has the folder at /tmp. `movable` needs one in any case.

        Raises: OSError.
        """
        folder.mkdir(exist_ok=True)
        if not alias or (not movable and len(str(folder).encode()) <= _MAX_BYTES):
            return cls(folder, folder)
        import tempfile  # where it is needed: a runner's start counts in milliseconds

        short = Path(tempfile.mkdtemp(prefix=_PREFIX, dir="/tmp")) / "t"
        short.symlink_to(folder)
        return cls(folder, short)

    def moved(self, folder: Path) -> "Scratch":
        """The same files under the same `path`, but for a sandbox, with `folder` behind it. Raises: OSError."""
        self.folder.rename(folder)
        if self.path == self.folder:
            return Scratch(folder, folder)
        link = self.path.with_name("moved")
        link.symlink_to(folder)
        link.replace(self.path)
        return Scratch(folder, self.path)

    def remove(self) -> None:
        """Removes the folder and the symlink; what can't be removed stays, and harms nothing."""
        with contextlib.suppress(RecursionError):  # a thousand folders within one another; the attempt's go later
            shutil.rmtree(self.folder, ignore_errors=True)
        if self.path != self.folder and self.path.parent.name.startswith(_PREFIX):
            shutil.rmtree(self.path.parent, ignore_errors=True)
