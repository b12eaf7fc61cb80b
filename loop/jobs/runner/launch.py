"""In the runner: starts the job's script, as a child, or inside a wrapper such as bubblewrap by way of a pid 1 of ours.

Standard library only: the runner's interpreter knows no package. A wrapper shows a script's death by signal as exit
code 128 + n, like a script's own exit; and whatever the script leaves behind would die with it, before anybody could
say so. So the few lines in _INIT are pid 1 inside: they start the script, report exactly how it ended, and stay until
nobody is left.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from . import processes
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
    command, report, theirs = list(argv), -1, -1
    if wrapper:
        report, theirs = os.pipe()
        os.set_blocking(report, False)
        command = [*wrapper, "--", sys.executable, "-I", "-S", "-c", _INIT, str(theirs), *argv]
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
            pass_fds=(*keep, theirs) if wrapper else keep,
        )
    except (OSError, ValueError):
        if wrapper:
            os.close(report)
        raise
    finally:
        if wrapper:
            os.close(theirs)
    script.returncode = 0  # the runner waits for it, not Popen
    return Launched(script.pid, report, wrapped=bool(wrapper))


def launch_job(order: Order, limits: Limits, marker: str, scratch: Path) -> tuple[Launched, int]:
    """Starts what the order asks for; the script, and the end of a pipe to read its output from, which never blocks.

    The script dies with this process. Raises: OSError, ValueError, as launch().
    """
    me = os.getpid()

    def in_child() -> None:
        processes.die_with_parent()
        if os.getppid() != me:  # it died just before the request
            os._exit(1)
        limits.apply()

    pipe, write_end = os.pipe()
    os.set_blocking(pipe, False)
    env = {**order.environment(os.environ), **variables(marker, scratch, wrapped=bool(order.wrapper))}
    try:
        script = launch(order.argv, cwd=order.cwd, env=env, wrapper=order.wrapper, output=write_end, in_child=in_child)
    finally:
        os.close(write_end)
    if script.wrapped:
        _require_start(script, pipe)
    return script, pipe


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
