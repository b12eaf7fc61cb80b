"""The runner's loop: starts the attempt's script, and as its parent sees it through to its end.

Standard library only: the runner's interpreter knows no package.
"""

import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from . import attempt_files, gpu, limits, processes
from .capped_log import CappedLog
from .job_order import Order
from .launch import Launched, launch_job
from .processes import Signals
from .scratch import Scratch
from .status_files import Ending, Heartbeat, RunnerIdentity, StatusFiles
from .watching import Watch

HEARTBEAT_SECONDS = 2.0
SETTLE_SECONDS = 0.5  # a helper process may end by itself just after its script


class Spare(Protocol):
    """An interpreter that waits, and may become the attempt's script; ../warm has the one there is."""

    marker: str
    scratch: Scratch
    script: Launched
    pipe: int
    output: bytes

    def move(self, folder: Path) -> str | None:
        """Makes the spare's temporary folder the attempt's; says why not, or None."""
        ...

    def become(self, job: dict[str, Any]) -> str | None:
        """The script runs when this returns None. Else it never will, and this says why."""
        ...

    def discard(self) -> None: ...


class Supervisor:
    """The script's parent: reads its output, counts its time, ends its whole tree, and writes down how it ended."""

    def __init__(self, folder: Path, signals: Signals, why: str = "") -> None:
        """`why` is what stood in the way of a warm start, if there might have been one."""
        self._folder = folder
        self._order = Order.read(folder)
        self._status = StatusFiles(folder)
        self._marker = os.urandom(16).hex()
        self._how = f"cold: {why}" if why else "cold"
        self._started_at = _utc()
        self._started = _now()
        self._scratch = Scratch(folder / attempt_files.SCRATCH, folder / attempt_files.SCRATCH)
        self._next_beat = 0.0
        self._signals = signals
        self._detail: str | None = None
        self._killed: dict[int, str] = {}
        self._selector = selectors.DefaultSelector()

    def start(self, spare: Spare | None = None, job: dict[str, object] | None = None) -> None:
        """Starts the script, in the spare if that is fit for the job. Raises: OSError, and leaves no trace then."""
        processes.become_subreaper()
        self._selector.register(self._signals, selectors.EVENT_READ)
        self._log = CappedLog(self._folder / attempt_files.LOG, self._order.log_limit_bytes)
        self._status.reserve()
        try:
            adopted = spare is not None and job is not None and self._adopt(spare, job)
            if not adopted:
                self._scratch = Scratch.make(self._folder / attempt_files.SCRATCH, alias=not self._order.wrapper)
                # Before the script: were this process to die in between, the marker is known.
                self._write_identity(None)
                self._limits = self._order.limits(self._scratch.folder)
                self._oom_kills = limits.oom_kills()
                self._script, self._pipe = launch_job(self._order, self._limits, self._marker, self._scratch.path)
                self._listen_to_script()
        except (OSError, ValueError):  # ValueError: a NUL or "=" in a variable's name
            self._scratch.remove()
            self._status.withdraw()
            raise
        self._watch()

    def _adopt(self, spare: Spare, job: dict[str, object]) -> bool:
        """Whether the spare has become the job. If not, nothing of it is left, and the job has not begun."""
        # The identity is written before the spare may begin: were this process to die in between, whoever looks knows
        # that the job was here (server_keeper), and finds the script by its marker.
        reason = spare.move(self._folder)
        if reason is None:
            self._scratch, self._marker = spare.scratch, spare.marker
            self._write_identity(None)
            reason = spare.become(job)
        if reason is not None:
            spare.discard()
            self._how = f"cold: {reason}"
            return False
        self._how = "warm"
        self._script, self._pipe = spare.script, spare.pipe
        self._oom_kills = limits.oom_kills()
        self._limits = self._order.limits(self._scratch.folder)
        self._log.write(spare.output)
        self._listen_to_script()
        return True

    def _watch(self) -> None:
        wrapper = self._script.pid if self._order.wrapper else None
        self._tree = processes.Tree(self._marker, os.getpid(), self._script.pid, wrapper)
        self._watchdog = limits.Watchdog(self._limits, self._tree.usage)
        self._training = Watch(self._order.watching)
        self._gpus = gpu.watch(self._order.environment(os.environ))
        self._write_identity(self._script.pid)

    def finish(self) -> int:
        """Sees the script through, writes result.json, and returns the exit code in the shell's convention."""
        reason = self._until_it_must_end()
        if reason != "exited" or not self._wait_until(self._is_gone, SETTLE_SECONDS):
            self._stop(leftovers=reason == "exited")
        # A wrapper has nobody left to wait for.
        if not self._wait_until(lambda: not self._script.running, SETTLE_SECONDS):
            os.kill(self._script.pid, signal.SIGKILL)
        self._drain(to_the_end=True)
        self._log.close()
        self._scratch.remove()
        return self._write_result(reason)

    # Starting

    def _listen_to_script(self) -> None:
        if self._script.wrapped:
            self._selector.register(self._script.fileno(), selectors.EVENT_READ)
        self._selector.register(self._pipe, selectors.EVENT_READ)

    def _write_identity(self, script_pid: int | None) -> None:
        self._status.identity(
            RunnerIdentity(
                pid=os.getpid(),
                stamp=processes.start_stamp(os.getpid()) or "",
                boot_id=processes.boot_id(),
                host=socket.gethostname(),
                python=sys.executable,
                marker=self._marker,
                script_pid=script_pid,
                scratch=str(self._scratch.path),
                started_at=self._started_at,
                started_monotonic=self._started,
                start=self._how,
            )
        )

    # Running

    def _until_it_must_end(self) -> str:
        limit = self._order.timeout_seconds
        deadline = float("inf") if limit is None else self._started + limit
        while self._script.status is None:
            if self._signals.cancelled:
                return "cancelled"
            if _now() >= deadline:
                return "timeout"
            self._detail = self._watchdog.look(_now())
            if self._detail is not None:
                return "limit"
            if (found := self._training.look(_now())) is not None:
                self._detail = found[1] or None
                return found[0]
            self._pump(min(deadline, self._watchdog.next_look, self._training.next_look))
        if self._training.diverged():
            return "diverged"
        # What it left in its last second.
        if not self._signals.cancelled and (found := self._watchdog.folders()) is not None:
            self._detail = found
            return "limit"
        # A scheduler's TERM goes to the whole tree: the script may be gone before this one has looked.
        return "cancelled" if self._signals.cancelled and self._script.status != 0 else "exited"

    def _pump(self, deadline: float) -> None:
        """Takes in output until the deadline or a signal, reaping and beating; may return early."""
        woken = False
        while not woken:
            self._beat()
            until = min(deadline, self._next_beat)
            for key, _ in self._selector.select(max(0.0, until - _now())):
                if key.fileobj == self._pipe:
                    self._drain()
                elif key.fd == self._script.fileno():
                    if not self._script.look():
                        self._selector.unregister(key.fileobj)
                    woken = True
                else:
                    self._signals.drain()
                    woken = True
            self._reap()
            woken = woken or _now() >= deadline

    def _drain(self, *, to_the_end: bool = False) -> None:
        """Moves what is in the pipe to the log: a script whose pipe is full would wait for us.

        Without `to_the_end` one read only, so that a script that never stops talking can't keep us from its time limit.
        """
        if self._pipe < 0:
            return
        while True:
            try:
                data = os.read(self._pipe, 1 << 16)
            except BlockingIOError:
                return
            if not data:
                self._selector.unregister(self._pipe)
                os.close(self._pipe)
                self._pipe = -1
                return
            self._log.write(data)
            if not to_the_end:
                return

    def _reap(self) -> None:
        """Waits for whoever has died: the script, and the orphans that came to us."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._script.pid:
                if self._script.fileno() >= 0 and self._script.fileno() in self._selector.get_map():
                    self._selector.unregister(self._script.fileno())
                self._script.reaped(status)

    def _beat(self) -> None:
        now = _now()
        if now < self._next_beat:
            return
        self._next_beat = now + HEARTBEAT_SECONDS
        stall = self._training.stall
        beat = Heartbeat(now, now - self._started, self._log.received)
        if stall is not None:
            beat = beat._replace(quiet_seconds=stall.seconds, usual_seconds=stall.usual, stalled_in=stall.kind)
        self._status.heartbeat(beat)

    # Ending

    def _stop(self, *, leftovers: bool) -> None:
        """TERM to the whole tree, the grace, then KILL; remembers whom it took more than TERM, and all leftovers."""
        members = self._tree.members()
        if leftovers:
            self._killed.update((process.pid, processes.describe(process)) for process in members)
        for process in members:
            self._tree.signal_one(process, signal.SIGTERM)
        if not self._wait_until(self._is_gone, self._order.grace_seconds):
            found = self._tree.kill(lambda seconds: self._pump(_now() + seconds))
            for pid, text in found.items():
                self._killed.setdefault(pid, text)

    def _is_gone(self) -> bool:
        return self._script.status is not None and not self._tree.members()

    def _wait_until(self, condition: Callable[[], bool], seconds: float) -> bool:
        deadline = _now() + seconds
        pause = 0.01
        while not condition():
            if _now() >= deadline:
                return False
            self._pump(min(deadline, _now() + pause))
            pause = min(pause * 1.5, 0.2)  # a look at every process is not free
        return True

    def _write_result(self, reason: str) -> int:
        ending = Ending(
            status=self._script.status,
            reason=reason,
            detail=self._detail,
            wall_seconds=_now() - self._started,
            started_at=self._started_at,
            finished_at=_utc(),
            killed=list(self._killed.values()),
            oom_kills_before=self._oom_kills,
            log_truncated=self._log.truncated,
            disk_full=self._log.disk_full,
            start=self._how,
            gpu=self._gpus.end() if self._gpus else None,
        )
        self._status.result(ending)
        return ending.exit_code


def _now() -> float:
    # The system's own monotonic clock: comparable between processes, untouched when the date is set.
    return time.clock_gettime(time.CLOCK_MONOTONIC)


def _utc() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
