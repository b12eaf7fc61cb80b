"""Where bubblewrap isn't: Landlock on the job's own process, and a network namespace where the machine lets us."""

import functools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .job import Landlock
from .runner import landlock
from .view import Confines, accelerators, machine

_PROGRAM = Path(landlock.__file__)


@dataclass(frozen=True)
class Holds:
    """What this machine can do without bubblewrap. `problem` is why nothing of it; else `network` why not that."""

    problem: str | None
    network: str | None = None
    tcp: bool = False

    def told(self, *, network: bool) -> str:
        """What isn't kept from a job, in words."""
        lacking = ["UNIX sockets of this user", "the names of processes"]
        if not network and self.network is not None:
            lacking.append("UDP" if self.tcp else "the network")
        return ", ".join(lacking)


@functools.cache
def holds() -> Holds:
    """Found out by trying it on a process, once in the life of this one."""
    if sys.platform != "linux":
        return Holds("Landlock needs Linux")
    command = [sys.executable, "-I", "-S", "-B", str(_PROGRAM)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=20, check=True, stdin=subprocess.DEVNULL)
        found = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return Holds(f"Landlock can't be tried: {error}")
    return Holds(found["files"], found["network"], tcp=found["version"] >= 4)


def of(confines: Confines, *, one_process: bool) -> Landlock:
    """What the runner is to leave a job that sees `confines`. Several processes of a job talk over TCP."""
    found = holds()
    masked = [*confines.emptied, *confines.doors, *confines.blank]
    looked_at = [*machine(), *confines.shown, *confines.own, Path("/sys"), Path("/proc")]
    for path in confines.readable:
        looked_at += landlock.around(path, masked) if _holds_any(path, masked) else [path]
    return Landlock(
        read=tuple(dict.fromkeys(map(str, looked_at))),
        listed=tuple(dict.fromkeys(str(path) for path in _listed(confines.readable, masked))),
        written=tuple(map(str, (*confines.writable, Path("/dev/shm"), *_devices(), *accelerators()))),
        network=confines.network or found.network is not None,
        tcp=confines.network or found.network is None or not one_process,
    )


def _holds_any(path: Path, masked: list[Path]) -> bool:
    return any(path == one or path in one.parents for one in masked)


def _listed(readable: tuple[Path, ...], masked: list[Path]) -> Iterator[Path]:
    """A folder that holds something masked: what is in it has a name, and Python looks for modules by that."""
    for path in readable:
        yield from (path for one in masked if path in one.parents)


def _devices() -> Iterator[Path]:
    names = ("null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts", "fd", "stdin", "stdout", "stderr")
    yield from (Path("/dev") / name for name in names if os.path.lexists(f"/dev/{name}"))
