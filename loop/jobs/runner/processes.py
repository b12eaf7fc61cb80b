"""Who a process is, which processes belong to an attempt, how to end them, and what wakes a runner to that.

Standard library only: the runner's interpreter knows no package. Linux knows the whole tree
through /proc. Elsewhere (macOS) an attempt is the process group of its script: a descendant that left it is not found.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

MARKER = "PROGRESSIVE_TRAINING_ATTEMPT"
KILL_SECONDS = 30.0  # a process in uninterruptible sleep may outlast even that

_PROC = Path("/proc")
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


class Process(NamedTuple):
    """One process at one moment; `stamp` tells it from a later one with the same pid."""

    pid: int
    parent: int
    session: int
    state: str
    stamp: str
    threads: int = 1


def boot_id() -> str:
    """An id that changes with each start of the machine; pids and monotonic times mean nothing beyond it."""
    if sys.platform == "linux":
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    return _output("sysctl", "-n", "kern.bootsessionuuid")


def start_stamp(pid: int) -> str | None:
    """When the process `pid` started, in the system's own unit; None when there is none."""
    if sys.platform == "linux":
        process = _read_process(pid)
        return process.stamp if process else None
    return _output("ps", "-o", "lstart=", "-p", str(pid)) or None


def send_signal(pid: int, stamp: str, number: int) -> bool:
    """Signals `pid` if it still is the process that started at `stamp`; says whether it was."""
    try:
        if sys.platform == "linux" and hasattr(os, "pidfd_open"):
            descriptor = os.pidfd_open(pid)  # from here on a reused pid can't be hit
            try:
                if start_stamp(pid) != stamp:
                    return False
                signal.pidfd_send_signal(descriptor, number)
            finally:
                os.close(descriptor)
        elif start_stamp(pid) == stamp:
            os.kill(pid, number)
        else:
            return False
    except ProcessLookupError:
        return False
    return True


def describe(process: Process) -> str:
    """Such as `pid 123 pt_data_worker: python 02_train_v001.py`, bounded and printable."""
    if sys.platform != "linux":
        return f"process group {process.pid}"
    folder = _PROC / str(process.pid)
    try:
        name = (folder / "comm").read_text(errors="replace").strip()
        with (folder / "cmdline").open("rb") as file:
            command = file.read(400).replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return f"pid {process.pid}"
    text = f"pid {process.pid} {name}: {command}"
    return "".join(c if c.isprintable() else " " for c in text)[:160]


class Tree(NamedTuple):
    """The processes of one attempt: whoever descends from `root`, is in `session`, or carries `marker`.

    `root` itself and this process are not members. Without `root` only the marker counts, since a session id
    may have been used again by somebody else. `wrapper` is a sandbox: it and its one child, pid 1 within, are no
    members either; they end when everybody within has ended, and their end is the end of everybody within.
    """

    marker: str
    root: int | None = None
    session: int | None = None
    wrapper: int | None = None

    def members(self) -> list[Process]:
        """Those that live now; the dead that nobody has waited for don't count."""
        if sys.platform != "linux":
            return self._group()
        table = _table()
        mine = set[int]()
        for process in table.values():
            if self._is_outside(process):
                continue
            if self._descends(process, table) or self._in_session(process) or self._carries_marker(process.pid):
                mine.add(process.pid)
        return [table[pid] for pid in sorted(mine)]

    def usage(self) -> tuple[int, int]:
        """How many processes there are now and how many threads they have; a cheaper look than members()."""
        if sys.platform != "linux":
            return 0, 0
        table = _table()
        found = [
            process
            for process in table.values()
            if not self._is_outside(process) and (self._descends(process, table) or self._in_session(process))
        ]
        return len(found), sum(process.threads for process in found)

    def signal(self, number: int) -> None:
        """Signals every member."""
        for process in self.members():
            self.signal_one(process, number)

    def signal_one(self, process: Process, number: int) -> None:
        with contextlib.suppress(PermissionError):  # a setuid program: not ours to signal
            if sys.platform == "linux":
                send_signal(process.pid, process.stamp, number)
            else:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, number)

    def kill(self, wait: Callable[[float], None]) -> dict[int, str]:
        """KILLs until two looks in a row find nobody, at most KILL_SECONDS; returns who it was, by pid.

        `wait` lets a little time pass. One look isn't enough: a process is invisible for a moment while it executes.
        """
        seen: dict[int, str] = {}
        deadline = time.monotonic() + KILL_SECONDS
        empty = 0
        shell = self._shell()
        while empty < 2 and time.monotonic() < deadline:
            members = self.members()
            empty = 0 if members else empty + 1
            for process in members:
                if process.pid not in seen and process.pid not in shell:
                    seen[process.pid] = describe(process)
                self.signal_one(process, signal.SIGKILL)
            if members and self.wrapper is not None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(self.wrapper, signal.SIGKILL)
            wait(0.01)
        for process in self.members():
            seen[process.pid] = f"{describe(process)} (could not be killed)"
        return seen

    def _shell(self) -> frozenset[int]:
        """The wrapper and pid 1 within, which another look can't tell from a member once the wrapper is dead."""
        if self.wrapper is None:
            return frozenset()
        return frozenset({self.wrapper, *(one.pid for one in _table().values() if one.parent == self.wrapper)})

    def _is_outside(self, process: Process) -> bool:
        if process.state in "ZX" or process.pid in (self.root, os.getpid()):
            return True
        return self.wrapper is not None and self.wrapper in (process.pid, process.parent)

    def _descends(self, process: Process, table: dict[int, Process]) -> bool:
        if self.root is None:
            return False
        for _ in range(len(table)):  # bounded: the table is not one moment's, so it might hold a circle
            if process.parent == self.root:
                return True
            if process.parent not in table:
                return False
            process = table[process.parent]
        return False

    def _in_session(self, process: Process) -> bool:
        return self.root is not None and process.session == self.session

    def _carries_marker(self, pid: int) -> bool:
        try:
            environment = (_PROC / str(pid) / "environ").read_bytes()
        except OSError:
            return False  # gone, or another user's
        return f"{MARKER}={self.marker}".encode() in environment.split(b"\0")

    def _group(self) -> list[Process]:
        if self.session is None:
            return []
        try:
            os.killpg(self.session, 0)
        except (ProcessLookupError, PermissionError):  # macOS refuses a group of which only the dead are left
            return []
        return [Process(self.session, 0, self.session, "R", "")]


def become_subreaper() -> bool:
    """Orphans among this process's descendants become its children. Linux only: says whether it worked."""
    return _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> bool:
    """The kernel KILLs this process when its parent dies. Linux only: says whether it worked."""
    return _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _prctl(option: int, value: int) -> bool:
    if sys.platform != "linux":
        return False
    try:
        import ctypes
    except ImportError:  # a Python that was built without libffi
        return False
    return ctypes.CDLL(None).prctl(option, value, 0, 0, 0) == 0


def _table() -> dict[int, Process]:
    pids = [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]
    found = (_read_process(pid) for pid in pids)
    return {process.pid: process for process in found if process}


def _read_process(pid: int) -> Process | None:
    try:
        line = (_PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    fields = line[line.rindex(b")") + 2 :].split()  # the name before may hold blanks and brackets
    return Process(pid, int(fields[1]), int(fields[3]), fields[0].decode(), fields[19].decode(), int(fields[17]))


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


class Signals:
    """A file descriptor that can be read after each signal, and whether one of them asked for the end."""

    def __init__(self) -> None:
        self.cancelled = False
        self._receiver, self._sender = socket.socketpair()
        self._receiver.setblocking(False)
        self._sender.setblocking(False)
        signal.set_wakeup_fd(self._sender.fileno(), warn_on_full_buffer=False)
        # Handlers rather than SIG_IGN, which the script would inherit.
        for number in (signal.SIGCHLD, signal.SIGHUP):
            signal.signal(number, self._on_nothing)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_cancel)

    def fileno(self) -> int:
        return self._receiver.fileno()

    def drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._receiver.recv(4096)

    def _on_nothing(self, *_: object) -> None:
        """The waking is all that is wanted."""

    def _on_cancel(self, *_: object) -> None:
        self.cancelled = True
