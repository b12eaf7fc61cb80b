"""Which of the changed lines ran: asked for by a variable, and looked at so that it costs next to nothing.

From Python 3.12 on the interpreter tells of each line once, and only in functions that have one of them. Before that a
trace function looks at calls; it leaves for good when all lines have run, and for a while when it has cost too much.
Flags are in one file for each host that all processes share, also workers of a DataLoader, which leave no facts.
"""

from __future__ import annotations

import mmap
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from types import CodeType, FrameType
from typing import Any

from .recording import Recorder

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false, reportPrivateUsage=false, reportAttributeAccessIssue=false
# What the script and torch hand over has no type here.

VARIABLE = "PROGRESSIVE_TRAINING_LINES"  # SCRIPT:LINE,LINE,…
_TOOL = 4
_PAUSED = 0  # the first flag: not all of the run was watched
_CALLS = 4096  # between two looks at the clock
_CALL_SECONDS = 3e-7
_AT_FIRST, _SHARE = 0.5, 0.005  # seconds, and then a part of all time
# Its frames are left out of tracebacks and warnings by this name, as those of an import are.
_FIND = """
def find_and_load(name, import_):
    pause()
    try:
        return original(name, import_)
    finally:
        resume()
"""


def watch(recorder: Recorder) -> None:
    asked = os.environ.get(VARIABLE)
    if not asked:
        return
    script, _, numbers = asked.rpartition(":")
    lines = Lines(recorder.folder, script, [int(number) for number in numbers.split(",")])
    found = recorder.guarded(lines.found)

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event == "exec" and not lines.known:
            found(args[0])

    sys.addaudithook(hook)
    recorder.at_tick.append(lines.resume)
    recorder.at_compile.append(lines.leave)


class Lines:
    """The lines that are waited for, by the code that has them."""

    def __init__(self, folder: str, script: str, numbers: list[int]) -> None:
        self.known = False
        self._script = os.path.realpath(script)
        self._flag = {number: place + 1 for place, number in enumerate(numbers)}
        self._path = os.path.join(folder, f"lines-{_host()}.bin")
        self._file: mmap.mmap | None = None
        self._waiting: dict[int, set[int]] = {}
        self._codes: list[CodeType] = []
        self._began = time.monotonic()
        self._calls = self._depth = 0
        self._next_look = _CALLS
        self._call: Any = None

    def found(self, code: Any) -> None:
        """The script is about to run: now its functions are known."""
        if type(code) is not CodeType or os.path.realpath(code.co_filename) != self._script:
            return
        self.known = True
        self._mark(_PAUSED, hit=False)
        for inner in _functions(code):
            lines = {line for line in _lines(inner) if line in self._flag}
            if lines:
                self._codes.append(inner)
                self._waiting[id(inner)] = lines
        if not self._waiting:
            return
        if sys.version_info >= (3, 12):
            self._monitor(sys.monitoring)
        elif sys.gettrace() is None:
            self._trace()
        else:
            self._mark(_PAUSED)

    def leave(self) -> None:
        """What is compiled runs elsewhere, unseen."""
        self._mark(_PAUSED)

    def _mark(self, place: int, *, hit: bool = True) -> None:
        if self._file is None:
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                os.ftruncate(handle, len(self._flag) + 1)
                self._file = mmap.mmap(handle, len(self._flag) + 1)
            finally:
                os.close(handle)
        if hit:
            self._file[place] = 1

    def _monitor(self, monitoring: Any) -> None:
        def ran(code: CodeType, line: int) -> Any:
            if line in self._flag:
                self._mark(self._flag[line])
            return monitoring.DISABLE

        monitoring.use_tool_id(_TOOL, "progressive-training")
        monitoring.register_callback(_TOOL, monitoring.events.LINE, ran)
        for code in self._codes:
            monitoring.set_local_events(_TOOL, code, monitoring.events.LINE)

    def _trace(self) -> None:
        waiting = self._waiting

        def call(frame: FrameType, event: str, arg: Any) -> Any:
            self._calls += 1
            if self._calls >= self._next_look:
                self._look_at_the_clock()
            return line if id(frame.f_code) in waiting else None

        def line(frame: FrameType, event: str, arg: Any) -> Any:
            lines = waiting.get(id(frame.f_code))
            if lines is None:
                return None
            if event == "line" and frame.f_lineno in lines:
                self._mark(self._flag[frame.f_lineno])
                lines.discard(frame.f_lineno)
                if not lines:
                    del waiting[id(frame.f_code)]
                    if not waiting:
                        sys.settrace(None)
                    return None
            return line

        self._call = call
        _around_imports(self._pause, self._imported)
        sys.settrace(call)

    def _pause(self) -> None:
        self._depth += 1
        if sys.gettrace() is self._call:
            sys.settrace(None)

    def _imported(self) -> None:
        self._depth -= 1
        self.resume()

    def resume(self) -> None:
        """Looks again, where that was too dear before and is no more."""
        if not self._depth and self._waiting and self._call and sys.gettrace() is None and self._affordable():
            sys.settrace(self._call)

    def _affordable(self) -> bool:
        return self._calls * _CALL_SECONDS < _AT_FIRST + _SHARE * (time.monotonic() - self._began)

    def _look_at_the_clock(self) -> None:
        self._next_look = self._calls + _CALLS
        if not self._affordable():
            self._mark(_PAUSED)
            sys.settrace(None)


def _around_imports(pause: Callable[[], None], resume: Callable[[], None]) -> None:
    """Imports are most of what a script calls before it trains, and none of it is the script's."""
    import importlib

    bootstrap: Any = importlib._bootstrap
    names: dict[str, Any] = {"pause": pause, "resume": resume, "original": bootstrap._find_and_load}
    exec(compile(_FIND, "<frozen importlib._bootstrap>", "exec"), names)
    bootstrap._find_and_load = names["find_and_load"]


def _functions(code: CodeType) -> Iterator[CodeType]:
    for inner in code.co_consts:
        if type(inner) is CodeType:
            if inner.co_flags & 0x02:  # has locals of its own: no class body
                yield inner
            yield from _functions(inner)


def _lines(code: CodeType) -> Iterator[int]:
    import dis

    return (line for _, line in dis.findlinestarts(code) if line and line != code.co_firstlineno)


def _host() -> str:
    return "".join(letter for letter in socket.gethostname()[:40] if letter.isalnum() or letter == "-")
