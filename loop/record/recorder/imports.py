"""Runs something just after a module was imported, without changing how it is found or loaded."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from .recording import Recorder


class AfterImport:
    """A finder that finds nothing itself: it asks the others, and has the found module's loader call back once."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._calls: dict[str, Callable[[Any], None]] = {}

    def add(self, name: str, call: Callable[[Any], None]) -> None:
        self._calls[name] = self._recorder.guarded(call)

    def start(self) -> None:
        """From now on; what is imported already is called at once."""
        for name in [name for name in self._calls if name in sys.modules]:
            self._calls.pop(name)(sys.modules[name])
        finders: list[Any] = sys.meta_path
        finders.insert(0, self)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in self._calls:
            return None
        for finder in list(sys.meta_path):
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                self._recorder.guarded(self._call_after)(name, spec.loader)
                return spec
        return None

    def _call_after(self, name: str, loader: Any) -> None:
        """The loader stays what it is, so that inspect, pickle and importlib.resources see no stranger."""
        load = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            del loader.exec_module
            load(module)
            call = self._calls.pop(name, None)
            if call is not None:
                call(module)

        loader.exec_module = exec_module
