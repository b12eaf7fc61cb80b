"""Where modules are looked for: the script's own folder last, so that none of its files takes a package's place.

A package that isn't installed has no place to take: where a library asks for one (`import gmpy2`, if there is one) and
finds a file of the project, that file runs. So it is noted who asked.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import CodeType, FrameType, ModuleType
from typing import Any

from .recording import Recorder
from .sources import OURS, is_library

_MAX = 20


class OwnLast:
    """A finder that finds nothing: it sees each import first, and moves the script's folder once Python has put it
    first, which it has where the script has `begun`."""

    def __init__(self, *, begun: bool) -> None:
        self._here = os.getcwd()
        self._moved = False
        self._before = 0 if begun else self._count()  # what a variable says of it is the user's own choice
        self._own = _names(self._here)
        self._asked: dict[str, str] = {}

    def start(self) -> None:
        """From now on."""
        self._move()
        finders: list[Any] = sys.meta_path
        finders.insert(0, self)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not self._moved:
            self._move()
        if path is None and name in self._own and name not in self._asked:
            self._asked[name] = _asker(name, sys._getframe(1)) or ""  # pyright: ignore[reportPrivateUsage]
        return None

    def listed(self) -> dict[str, Any]:
        """The project's modules that a library asked for, and which file that was."""
        found: list[dict[str, str]] = []
        for name, by in self._asked.items():
            file = getattr(sys.modules.get(name), "__file__", None)
            if by and isinstance(file, str) and not is_library(file):
                found.append({"file": os.path.abspath(file), "by": by})
        return {"stands_in": found[:_MAX]}

    def _move(self) -> None:
        """Python puts the folder first when it begins the script, which is after it has run its sitecustomize."""
        if self._is_own(sys.path[0]) and self._count() > self._before:
            sys.path.append(sys.path.pop(0))
            self._moved = True

    def _count(self) -> int:
        return sum(map(self._is_own, sys.path))

    def _is_own(self, path: str) -> bool:
        program = getattr(sys, "argv", None) or [""]
        return os.path.abspath(path) in (self._here, os.path.dirname(os.path.realpath(program[0])))


def watch(recorder: Recorder, begun: bool) -> None:
    own_last = OwnLast(begun=begun)
    own_last.start()
    recorder.at_write.append(own_last.listed)


def _names(folder: str) -> frozenset[str]:
    try:
        return frozenset(name.partition(".")[0] for name in os.listdir(folder))
    except OSError:
        return frozenset()


def _asker(name: str, frame: FrameType | None) -> str | None:
    """The library's file that asks for a module by a name of its own; None where the project asks, or gave the name."""
    asking: str | None = None
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith(("<frozen importlib", OURS)) and not file.endswith("importlib/__init__.py"):
            if not is_library(file):
                return None
            asking = asking or file
            if _says(frame.f_code, name):
                return asking
        frame = frame.f_back
    return None


def _says(code: CodeType, name: str) -> bool:
    """Whether the name stands in this code: in an import, or as a text that it hands on."""
    return name in code.co_names or any(
        isinstance(one, str) and one.partition(".")[0] == name for one in code.co_consts
    )
