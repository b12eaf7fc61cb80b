"""The driver's other end: orders, and system calls that fail or kill when a Step comes to them.

strace counts the calls of each kind for each process. The driver's forks all begin at none, and the injection waits for
call number `_AT` of every kind: an order that is to be hit at its n-th `renameat` makes `_AT` - n empty ones first.
So one strace and one interpreter serve any number of trials.
"""

import json
import os
import re
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..programs import need

Fault = Literal["SIGKILL", "ENOSPC", "EIO", "EROFS"]
Calls = Sequence[Mapping[str, Any]]
FAULTS: tuple[Fault, ...] = ("SIGKILL", "ENOSPC", "EIO", "EROFS")
# Every call by which a Step changes a file system. What this machine's architecture lacks, strace leaves out ("?").
WRITES = (
    *("write", "pwrite64", "fsync", "ftruncate", "openat", "rename", "renameat", "renameat2", "link", "linkat"),
    *("unlink", "unlinkat", "rmdir", "mkdir", "mkdirat", "sendfile", "copy_file_range", "symlinkat"),
)
_AT, _AT_OPEN = 500, 6000  # a Step opens more than it writes, for reading; so does the driver, for importing
_LINE = re.compile(r"^(\d+) +(\w+)\((.*)$")
_TESTS = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Point:
    """The n-th call of this kind that a process makes, n from 1."""

    call: str
    number: int
    text: str = ""

    def __str__(self) -> str:
        return f"{self.call} #{self.number}: {self.text[:160]}"


@dataclass(frozen=True)
class Reply:
    """`status` is the fork's exit code, -9 when it was killed. `answers` has one entry a call; none when killed."""

    pid: int
    status: int
    answers: tuple[Mapping[str, Any], ...]

    @property
    def killed(self) -> bool:
        return self.status == -9


class Driver:
    """A running driver, under strace when it has a fault to inject."""

    def __init__(self, channel: socket.socket, log: Path | None) -> None:
        self._channel = channel
        self._replies = channel.makefile("r", encoding="utf-8")
        self._log = log

    def call(
        self,
        root: Path,
        calls: Calls,
        *,
        executor: str = "forking",
        broken: str | None = None,
        point: Point | None = None,
    ) -> Reply:
        """Makes the calls in a fork of the driver; with a `point`, it is hit there."""
        order: dict[str, Any] = {"root": str(root), "executor": executor, "calls": list(calls), "broken": broken}
        if point is not None:
            order["pads"] = {point.call: _when(point.call) - point.number}
        return self._sent([order])[0]

    def at_once(self, root: Path, calls: Calls, *, executor: str = "deferred") -> list[Reply]:
        """Each call in a process of its own, all in one moment."""
        return self._sent([{"root": str(root), "executor": executor, "calls": [call]} for call in calls])

    def _sent(self, orders: list[dict[str, Any]]) -> list[Reply]:
        self._channel.sendall(json.dumps(orders).encode() + b"\n")
        replies = json.loads(self._replies.readline())
        return [Reply(reply["pid"], reply["status"], tuple(reply["answers"])) for reply in replies]

    def points(self, reply: Reply, folder: str) -> list[Point]:
        """Every change that the reply's fork made below `folder` (plain ASCII), in order, as strace saw it."""
        assert self._log is not None, "only a traced driver knows"
        seen: Counter[str] = Counter()
        found: list[Point] = []
        for line in self._log.read_text(encoding="utf-8", errors="replace").splitlines():
            match = _LINE.match(line)
            if match is None or int(match[1]) != reply.pid:
                continue
            call, text = match[2], match[3]
            seen[call] += 1
            if folder in text and (call != "openat" or "O_CREAT" in text):
                found.append(Point(call, seen[call], text))
        return found

    def was_hit(self, reply: Reply) -> bool:
        """Whether the injection took place in the reply's fork."""
        assert self._log is not None, "only a traced driver knows"
        if reply.killed:
            return True
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        return any(line.startswith(f"{reply.pid} ") and "(INJECTED)" in line for line in lines)

    def close(self) -> None:
        """Ends the driver: no more orders come."""
        self._replies.close()
        self._channel.close()

    def forget(self) -> None:
        """Empties strace's log, which is read as a whole."""
        assert self._log is not None, "only a traced driver has one"
        os.truncate(self._log, 0)


@contextmanager
def driver(fault: Fault | None = None, log: Path | None = None) -> Iterator[Driver]:
    """A driver; with a `fault`, under strace, whose log is `log`. It ends with the block."""
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-B", "-m", "support.faults.driver", str(theirs.fileno())]
    if fault is not None:
        assert log is not None, "a traced driver needs a log"
        command = [*_strace(fault, log), *command]
    process = subprocess.Popen(
        command, cwd=_TESTS, env={**os.environ, "PYTHONPATH": str(_TESTS)}, pass_fds=(theirs.fileno(),)
    )
    theirs.close()
    made = Driver(ours, log)
    try:
        yield made
    finally:
        made.close()
        process.wait(timeout=60)


def _strace(fault: Fault, log: Path) -> list[str]:
    need("strace")
    injections: list[str] = []
    for call in WRITES:
        what = f"signal={fault}" if fault == "SIGKILL" else f"error={fault}"
        injections += ["-e", f"inject=?{call}:{what}:when={_when(call)}"]
    # Its quick mode can't deliver a signal (strace 6.1).
    quick = [] if fault == "SIGKILL" else ["--seccomp-bpf"]
    log.touch()
    traced = ",".join(f"?{call}" for call in WRITES)
    # Appended, so that the log can be emptied in between.
    return ["strace", "-f", *quick, "-qq", "-y", "-A", "-o", str(log), "-e", f"trace={traced}", *injections]


def _when(call: str) -> int:
    return _AT_OPEN if call == "openat" else _AT
