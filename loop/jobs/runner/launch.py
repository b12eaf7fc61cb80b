"""In the runner: starts the job's script, as a child, or inside a wrapper such as bubblewrap by way of a pid 1 of ours.

Standard library only: the runner's interpreter knows no package. A wrapper shows a script's death by signal as exit
code 128 + n, like a script's own exit; and whatever the script leaves behind would die with it, before anybody could
say so. So the few lines in _INIT are pid 1 inside: they start the script, report exactly how it ended, and stay until
nobody is left.
"""

import contextlib
import errno
import json
import os
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import landlock, processes
from .job_order import Order
from .limits import Limits

START_SECONDS = 30.0
_INIT = """
import os, signal, sys
report = int(sys.argv[1])
os.set_inheritable(report, False)
def say(*words):
    os.write(report, (" ".join(map(str, words)) + chr(10)).encode())
try:
    script = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ, setsid=True,
                             setsigdef=[signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT])
except OSError as error:
    say("error", error.errno)
    os._exit(127)
say("started")
while True:
    try:
        pid, status = os.waitpid(-1, 0)
    except ChildProcessError:
        break
    if pid == script:
        say("ended", status)
os._exit(0)
"""
# By architecture: what the kernel calls it, and the numbers of the first and the last of add_key, request_key, keyctl.
_KEYRING_CALLS = {
    "x86_64": (0xC000003E, 248, 250),
    "aarch64": (0xC00000B7, 217, 219),
    "riscv64": (0xC00000F3, 217, 219),
    "ppc64le": (0xC0000015, 269, 271),
}
_OTHER_ABI = 0x40000000  # from here on x86_64 numbers its calls for 32-bit pointers


class Launched:
    """A started script. `pid` is our child: the script itself, or the wrapper that it runs in."""

    def __init__(self, pid: int, report: int, *, wrapped: bool) -> None:
        self.pid = pid
        self.wrapped = wrapped
        self.running = True  # our child, which outlives the script by a moment where it is a wrapper
        self.status: int | None = None  # of the script, as waitpid gives it
        self._report = report
        self._text = b""

    def reaped(self, status: int) -> None:
        """Our child ended. A wrapper that ended without a word about its script took that along."""
        self.running = False
        self.look()
        if self.status is None:
            self.status = status
        if self._report >= 0:
            os.close(self._report)
            self._report = -1

    def fileno(self) -> int:
        return self._report

    def look(self) -> bool:
        """Reads what pid 1 has to say, without waiting; False once it will say no more."""
        while self._report >= 0:
            try:
                data = os.read(self._report, 4096)
            except BlockingIOError:
                return True
            if not data:
                return False
            self._text += data
            for line in self._text.split(b"\n")[:-1]:
                if line.startswith(b"ended "):
                    self.status = int(line.split()[1])
        return False

    def await_start(self, seconds: float = START_SECONDS) -> str | None:
        """None once the script runs, else why it doesn't. Only for a wrapped script: Popen raises for another."""
        deadline = time.monotonic() + seconds
        while True:
            ready, _, _ = select.select([self._report], [], [], max(0.0, deadline - time.monotonic()))
            more = bool(ready) and self.look()
            if b"started\n" in self._text:
                return None
            if self._text.startswith(b"error ") and self._text.endswith(b"\n"):
                return os.strerror(int(self._text.split()[1]))
            if not more:
                return "the sandbox did not start" if ready else f"the sandbox did not start within {seconds:.0f} s"


def without_keyrings(machine: str) -> bytes:
    """A filter for the kernel under which there is no keyring, and no way round by another ABI; empty if not known.

    The keyrings of a user are all of its processes', whatever session or namespace of ours they are in.
    """
    if machine not in _KEYRING_CALLS:
        return b""
    architecture, first, last = _KEYRING_CALLS[machine]
    load, equal, at_least, above, end = 0x20, 0x15, 0x35, 0x25, 0x06
    allowed, no_such_call = 0x7FFF0000, 0x00050000 | errno.ENOSYS
    lines = (
        (load, 0, 0, 4),
        (equal, 0, 5, architecture),
        (load, 0, 0, 0),
        (at_least, 3, 0, _OTHER_ABI),
        (at_least, 0, 1, first),
        (above, 0, 1, last),
        (end, 0, 0, allowed),
        (end, 0, 0, no_such_call),
    )
    return b"".join(struct.pack("=HBBI", *line) for line in lines)


def variables(marker: str, scratch: Path, *, wrapped: bool) -> dict[str, str]:
    """What we add to a job's own environment."""
    return {
        "PYTHONFAULTHANDLER": "1",
        "PYTHONUNBUFFERED": "1",
        "TMPDIR": "/tmp" if wrapped else str(scratch),
        processes.MARKER: marker,
    }


def launch(
    argv: Sequence[str],
    *,
    cwd: str,
    env: Mapping[str, str],
    wrapper: Sequence[str],
    output: int,
    in_child: Callable[[], None],
    keep: Sequence[int] = (),
) -> Launched:
    """Starts `argv` with both streams on `output`; `in_child` runs just before its program does.

    It inherits the descriptors `keep`.

    Raises: OSError, ValueError (a NUL or "=" in a variable's name).
    """
    command, report, passed = list(argv), -1, list[int]()
    if wrapper:
        report, theirs = os.pipe()
        os.set_blocking(report, False)
        passed.append(theirs)
        options: list[str] = []
        if rules := without_keyrings(os.uname().machine):
            passed.append(_readable(rules))
            options = ["--seccomp", str(passed[-1])]
        inside = [sys.executable, "-I", "-S", "-c", _INIT, str(theirs), *argv]
        command = [wrapper[0], *options, *wrapper[1:], "--", *inside]
    try:
        script = subprocess.Popen(
            command,
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=in_child,
            pass_fds=(*keep, *passed),
        )
    except (OSError, ValueError):
        if wrapper:
            os.close(report)
        raise
    finally:
        for descriptor in passed:
            os.close(descriptor)
    script.returncode = 0  # the runner waits for it, not Popen
    return Launched(script.pid, report, wrapped=bool(wrapper))


def _readable(content: bytes) -> int:
    """The end of a pipe that holds `content`."""
    reading, writing = os.pipe()
    os.write(writing, content)
    os.close(writing)
    return reading


def launch_job(order: Order, limits: Limits, marker: str, scratch: Path) -> tuple[Launched, int]:
    """Starts what the order asks for; the script, and the end of a pipe to read its output from, which never blocks.

    The script dies with this process. Raises: OSError, ValueError, as launch().
    """
    me = os.getpid()

    def in_child() -> None:
        if order.landlock is not None:
            _close_in(order.landlock, scratch)
        processes.die_with_parent()
        if os.getppid() != me:  # it died just before the request
            os._exit(1)
        limits.apply()

    pipe, write_end = os.pipe()
    os.set_blocking(pipe, False)
    env = {**order.environment(os.environ), **variables(marker, scratch, wrapped=bool(order.wrapper))}
    if order.landlock is not None:
        left = (order.landlock[kind] for kind in ("read", "listed", "written"))
        env[landlock.SEEN] = json.dumps([path for paths in left for path in paths])
    try:
        script = launch(order.argv, cwd=order.cwd, env=env, wrapper=order.wrapper, output=write_end, in_child=in_child)
    except subprocess.SubprocessError as error:  # in_child raised
        raise OSError("what holds the script, where there is no bubblewrap, can't be put in place") from error
    finally:
        os.close(write_end)
    if script.wrapped:
        _require_start(script, pipe)
    return script, pipe


def _close_in(left: Mapping[str, Any], scratch: Path) -> None:
    """This process, which is about to be the script, keeps what ..job.Landlock says. Raises: OSError."""
    if not left["network"] and (fault := landlock.leave_network()) is not None:
        raise OSError(fault)
    rights = ((left["read"], landlock.LOOK), (left["listed"], landlock.LIST), (left["written"], landlock.EVERYTHING))
    allowed = [(Path(path), right) for paths, right in rights for path in paths]
    allowed += [(path, landlock.EVERYTHING) for path in (scratch, scratch.resolve(), Path("/proc/self"))]
    if (fault := landlock.restrict(allowed, tcp=left["tcp"])) is not None:
        raise OSError(fault)
    landlock.drop_capabilities()
    if rules := without_keyrings(os.uname().machine):
        landlock.filter_calls(rules)


def _require_start(script: Launched, pipe: int) -> None:
    """Raises: OSError with the wrapper's own words, if it didn't come to start the script; nothing runs then."""
    fault = script.await_start()
    if fault is None:
        return
    with contextlib.suppress(ProcessLookupError):
        os.kill(script.pid, signal.SIGKILL)
    os.waitpid(script.pid, 0)
    words = ""
    with contextlib.suppress(BlockingIOError):  # it said nothing
        words = os.read(pipe, 4096).decode(errors="replace").strip()
    os.close(pipe)
    raise OSError(f"{fault}: {words}" if words else fault)
