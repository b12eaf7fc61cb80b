"""Jobs on this machine: each under its own detached runner."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import RunError
from .job import LOST, Job, JobStatus, Outcome
from .records import (
    RunnerIdentity,
    check_startable,
    create_job,
    read_heartbeat,
    read_identity,
    read_job,
    read_stall,
    submitted_before,
)
from .runner import attempt_files as files
from .runner import processes
from .runner.scratch import Scratch
from .starting import START_SECONDS, runner_command

if TYPE_CHECKING:
    from .warm.server_keeper import Keeper

_POLL_SECONDS = 0.02


class LocalExecutor:
    """Starts a runner per job, in the interpreter `python` (default: this one).

    `margin_seconds` is what cancel() gives a runner beyond the job's grace before it KILLs the runner itself. With a
    `keeper` jobs that were expected may start warm: for processes that live long enough to gain by it.
    """

    name = "local"

    def __init__(
        self, python: str | None = None, *, margin_seconds: float = 5.0, keeper: "Callable[[], Keeper] | None" = None
    ) -> None:
        self._python = os.path.normpath(python or sys.executable)
        self._margin = margin_seconds
        self._make_keeper = keeper
        self._keeper: Keeper | None = None

    def submit(self, attempt: Path, job: Job) -> None:
        """Returns when the runner holds run.lock and the script has been started; see Executor.submit."""
        attempt = attempt.absolute()
        check_startable(job)
        try:
            attempt.mkdir(parents=True, exist_ok=True)
            lock = files.hold(attempt)
        except BlockingIOError as error:
            raise submitted_before(attempt) from error
        except OSError as error:
            raise RunError(f"the attempt can't be written: {error.strerror}", where=str(attempt)) from error
        # The runner inherits the lock, so that no other process ever sees the attempt without its holder.
        try:
            create_job(attempt, job)
            try:
                keeper = self._kept()
                why = keeper.start(attempt, job, lock) if keeper else ""
                if why is not None:
                    self._start_runner(attempt, job, lock, why)
            except RunError:
                (attempt / files.JOB).unlink()
                raise
        finally:
            os.close(lock)

    def expect(self, jobs: Callable[[], Sequence[Job]], state: Path) -> None:
        """Keeps a spare for each kind among `jobs`, if this executor keeps any; see Executor.expect."""
        keeper = self._kept()
        if keeper is not None:
            keeper.expect(jobs(), state, self._python)

    def _kept(self) -> "Keeper | None":
        if self._keeper is None and self._make_keeper is not None:
            self._keeper = self._make_keeper()
        return self._keeper

    def close(self) -> None:
        """Ends what waits for jobs, not the jobs; that also happens when this process ends."""
        if self._keeper is not None:
            self._keeper.close()

    def poll(self, attempt: Path) -> JobStatus:
        """Running = the lock is held; finished = it isn't, and there is a sound result.json; else lost.

        The lock is asked first, since the script could write a result.json of its own while it runs.
        """
        if not (attempt / files.JOB).exists():
            raise RunError("no job was submitted here", where=str(attempt), hint="submit one")
        held = files.is_held(attempt)
        identity = read_identity(attempt)
        if held:
            return _running(attempt, identity)
        try:
            outcome = Outcome.from_json(files.read_text(attempt / files.RESULT))
        except FileNotFoundError:
            return _lost(attempt, identity, _why_without_result(attempt, identity))
        except (OSError, UnicodeDecodeError, RunError) as error:
            return _lost(attempt, identity, f"{files.RESULT} can't be used: {error}")
        return JobStatus("finished", outcome, outcome.wall_seconds)

    def cancel(self, attempt: Path) -> JobStatus:
        """TERM to the runner, which ends its tree; a runner that doesn't answer is KILLed and its tree swept here."""
        status = self.poll(attempt)
        if status.state == "running":
            status = self._end_runner(attempt)
        if status.state != "lost" or status.outcome is None:
            return status
        return replace(status, outcome=replace(status.outcome, killed=self.sweep(attempt)))

    def sweep(self, attempt: Path) -> tuple[str, ...]:
        """KILLs what a dead runner left behind, and says what that was. Nothing to do is no error.

        On Linux it finds every process that carries the attempt's marker in its environment, elsewhere the script's
        process group. Raises: RunError while the runner lives: cancel() is the way then.
        """
        if files.is_held(attempt):
            raise RunError("the attempt is running", where=str(attempt), hint="cancel it")
        identity = read_identity(attempt)
        if identity is None or identity.boot_id != processes.boot_id():
            return ()
        killed = processes.Tree(identity.marker, session=identity.script_pid).kill(time.sleep)
        Scratch(attempt / files.SCRATCH, Path(identity.scratch)).remove()
        return tuple(killed.values())

    def _start_runner(self, attempt: Path, job: Job, lock: int, why: str) -> None:
        command = runner_command(self._python, str(attempt), str(lock), why)
        try:
            starter = subprocess.Popen(
                command,
                cwd="/",
                # The script could read its parent's environment, so that must hold no more than its own.
                env=dict(job.env),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                pass_fds=(lock,),
            )
        except OSError as error:
            raise RunError(
                f"the runner's interpreter can't be started: {error.strerror}",
                where=self._python,
                hint="name a Python 3.11 or later",
            ) from error
        try:
            report, complaint = starter.communicate(timeout=START_SECONDS)
        except subprocess.TimeoutExpired as error:
            os.killpg(starter.pid, signal.SIGKILL)
            starter.communicate()
            raise RunError(f"the runner did not start within {START_SECONDS:.0f} s", where=str(attempt)) from error
        if b'"pid"' in report:
            return
        text = (report or complaint).decode(errors="replace").strip()[-2000:]
        raise RunError(f"the job can't be started: {text or f'exit code {starter.returncode}'}", where=str(attempt))

    def _end_runner(self, attempt: Path) -> JobStatus:
        deadline = time.monotonic() + (read_job(attempt) or Job).grace_seconds + self._margin
        # A submission in progress has no identity yet.
        while (identity := read_identity(attempt)) is None and time.monotonic() < deadline:
            if not files.is_held(attempt):
                return self.poll(attempt)
            time.sleep(_POLL_SECONDS)
        if identity is None or identity.boot_id != processes.boot_id():
            raise RunError(
                f"the job runs on {identity.host if identity else 'an unknown machine'}, or in another container",
                where=str(attempt),
                hint="cancel it there",
            )
        known = processes.send_signal(identity.pid, identity.stamp, signal.SIGTERM)
        if known and not self._ends_by(attempt, deadline):
            processes.send_signal(identity.pid, identity.stamp, signal.SIGKILL)
        if not self._ends_by(attempt, time.monotonic() + self._margin):
            raise RunError(
                f"process {identity.pid} is not the attempt's runner, and yet its lock is held",
                where=str(attempt),
                hint="cancel it in the container or on the machine where it runs",
            )
        return self.poll(attempt)

    def _ends_by(self, attempt: Path, deadline: float) -> bool:
        while files.is_held(attempt):
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_SECONDS)
        return True


def _running(attempt: Path, identity: RunnerIdentity | None) -> JobStatus:
    if identity is None or identity.boot_id != processes.boot_id():
        return JobStatus("running", None, None)
    now = time.clock_gettime(time.CLOCK_MONOTONIC)
    return JobStatus("running", None, now - identity.started_monotonic, stalled=read_stall(attempt))


def _lost(attempt: Path, identity: RunnerIdentity | None, detail: str) -> JobStatus:
    beat = read_heartbeat(attempt)
    elapsed = beat.elapsed_seconds if beat else None
    outcome = replace(LOST, wall_seconds=elapsed, started_at=identity.started_at if identity else None)
    return JobStatus("lost", outcome, elapsed, detail=detail)


def _why_without_result(attempt: Path, identity: RunnerIdentity | None) -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return f"the runner failed: {files.read_text(attempt / files.CRASH).strip()[-2000:]}"
    if identity is None:
        return "the runner ended before it had started the script"
    if identity.boot_id != processes.boot_id():
        return f"the machine was restarted during the run, or the run was on another one ({identity.host})"
    return "the runner ended without a result: it was killed (out of memory?), or the disk is full"
