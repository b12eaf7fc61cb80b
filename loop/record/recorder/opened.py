"""Which folders and files a process opened or made, and which hold weights.

Workers of a DataLoader open theirs unseen."""

from __future__ import annotations

import collections
import os
import sys
from typing import Any

from .recording import Recorder
from .sources import is_library

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false, reportPrivateUsage=false
# What the script and torch hand over has no type here.

_MAX_FILES = 200
_MAX_FOLDERS = 200
_WEIGHTS = (".ckpt", ".pt", ".pth", ".bin", ".safetensors", ".h5", ".pkl", ".onnx")
_CODE = (".py", ".pyc", ".so", ".pyd")
_NO_FILE = (".dist-info", ".__path_hook__")
_SYSTEM = ("/proc/", "/sys/", "/dev/", "/etc/", "/usr/", "/lib/", "/lib64/")
_WRITES = os.O_WRONLY | os.O_RDWR


class Opened:
    """Files by how often they were read or written, and folders by how many opens there were in them."""

    def __init__(self, folder: str) -> None:
        self._unsaid = (os.path.abspath(folder), os.path.abspath(os.environ.get("TMPDIR", "/tmp")))
        self.read: collections.Counter[str] = collections.Counter()
        self.written: collections.Counter[str] = collections.Counter()
        self.folders: collections.Counter[str] = collections.Counter()
        self.looked_through: dict[str, None] = {}
        self.made: dict[str, None] = {}

    def note(self, event: str, args: tuple[Any, ...]) -> None:
        path = args[0] if args else None
        if type(path) is not str:
            return
        if event == "os.mkdir":
            if len(self.made) < _MAX_FOLDERS:
                self.made[os.path.abspath(_whole(path))] = None
            return
        if event != "open":
            if len(self.looked_through) < _MAX_FOLDERS and not _is_left_out(path):
                self.looked_through[os.path.abspath(path)] = None
            return
        if path.endswith(_CODE) or _is_left_out(path):
            return
        path = os.path.abspath(path)
        folder = os.path.dirname(path)
        if folder in self._unsaid:
            return
        mode, flags = args[1], args[2]
        writes = any(letter in mode for letter in "wax+") if isinstance(mode, str) else bool(flags & _WRITES)
        files = self.written if writes else self.read
        if path in files or len(files) < _MAX_FILES:
            files[path] += 1
        if not writes and (folder in self.folders or len(self.folders) < _MAX_FOLDERS):
            self.folders[folder] += 1

    def listed(self) -> dict[str, Any]:
        return {
            "opened": {
                "read": dict(self.read),
                "weights": [path for path in self.read if path.endswith(_WEIGHTS)],
                "written": dict(self.written),
                "folders": dict(self.folders),
                "looked_through": list(self.looked_through),
                "made": list(self.made),
            }
        }


def watch(recorder: Recorder) -> None:
    """An audit hook sees each open of Python's own; it stays for the process's life. C libraries open unseen."""
    opened = [Opened(recorder.folder)]
    events = frozenset({"open", "os.listdir", "os.scandir", "os.mkdir"})
    note = recorder.guarded(lambda event, args: opened[0].note(event, args))
    busy: list[bool] = []

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event in events and not busy:
            busy.append(True)
            note(event, args)
            busy.clear()

    def begin() -> None:
        busy.clear()
        opened[0] = Opened(recorder.folder)

    sys.addaudithook(hook)
    recorder.at_begin.append(begin)
    recorder.at_write.append(lambda: opened[0].listed())


def _whole(path: str) -> str:
    """The folder that is wanted, where os.makedirs makes those above it first: a cache, say, which isn't there."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        if frame.f_code is os.makedirs.__code__:
            path = frame.f_locals.get("name", path)
        frame = frame.f_back
    return path if type(path) is str else os.fspath(path)


def _is_left_out(path: str) -> bool:
    return path.startswith(_SYSTEM) or is_library(path) or "__pycache__" in path or path.endswith(_NO_FILE)
