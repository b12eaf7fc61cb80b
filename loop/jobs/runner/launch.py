"""Starts the job's script: as a child, or inside a wrapper such as bubblewrap by way of a pid 1 of ours.

Standard library only: the runner's interpreter knows no package. A wrapper tells a death by
signal as exit code 128 + n only, and what the script leaves behind would die with it unseen. So the few lines in _INIT
are pid 1 inside: they start the script, report exactly how it ended, and stay until nobody is left.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from . import processes

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
    command, report, told = list(argv), -1, -1
    if wrapper:
        report, told = os.pipe()
        os.set_blocking(report, False)
        command = [*wrapper, "--", sys.executable, "-I", "-S", "-c", _INIT, str(told), *argv]
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
            pass_fds=(*keep, told) if wrapper else keep,
        )
    except (OSError, ValueError):
        if wrapper:
            os.close(report)
        raise
    finally:
        if wrapper:
            os.close(told)
    script.returncode = 0  # the runner waits for it, not Popen
    return Launched(script.pid, report, wrapped=bool(wrapper))
