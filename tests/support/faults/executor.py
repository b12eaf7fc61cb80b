"""An executor whose jobs are forks of the present process: all that a loop needs, without an interpreter's start."""

import contextlib
import os
import runpy
import sys
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path

from progressive_training.loop.errors import RunError
from progressive_training.loop.jobs.job import Job, Outcome
from progressive_training.loop.jobs.local import LocalExecutor
from progressive_training.loop.jobs.runner import attempt_files as files


class ForkingExecutor(LocalExecutor):
    """Runs the script of a Python command line in a fork that holds run.lock; the folder's files are the real ones.

    `wait`: submit() returns when the job has ended. Without it, jobs begin at `begin()`, or when this process ends, so
    that whoever looks before sees them run. Of the job's limits, its sandbox and its capped log there is
    nothing. For single-threaded test programs only.
    """

    name = "forking"

    def __init__(self, *, wait: bool = True) -> None:
        super().__init__()
        self._wait = wait
        self._gates: list[int] = []

    def submit(self, attempt: Path, job: Job) -> None:
        lock = files.hold(attempt)
        if (attempt / files.JOB).exists():
            raise RunError("this attempt has had its job", where=str(attempt))
        files.write_text(attempt / files.JOB, job.to_json())
        gate, opener = os.pipe()
        child = os.fork()
        if child == 0:
            for descriptor in (opener, *self._gates):
                os.close(descriptor)
            os.read(gate, 1)  # until nobody holds the other end
            _become(attempt, job)
        os.close(lock)
        os.close(gate)
        self._gates.append(opener)
        if self._wait:
            self.begin()
            os.waitpid(child, 0)

    def begin(self) -> None:
        """Lets every submitted job begin."""
        while self._gates:
            os.close(self._gates.pop())


def _become(attempt: Path, job: Job) -> None:
    began, at = time.monotonic(), _utc()
    os.setsid()
    child = os.fork()
    if child == 0:
        _run_script(attempt, job)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == -9:
        os._exit(0)  # killed together with its runner: no result
    outcome = Outcome(
        rc=code if code >= 0 else None,
        signal=-code if code < 0 else None,
        signal_name=None,
        reason="exited",
        wall_seconds=time.monotonic() - began,
        cpu_seconds=None,
        peak_memory_bytes=None,
        killed=(),
        started_at=at,
        finished_at=_utc(),
        log_truncated=False,
    )
    files.write_text(attempt / files.RESULT, outcome.to_json(), durable=False)
    os._exit(0)


def _run_script(attempt: Path, job: Job) -> None:
    log = os.open(attempt / files.LOG, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(job.cwd)
    os.environ.clear()
    os.environ.update(job.env)
    arguments = [word for word in job.argv[1:] if word not in ("-I", "-B")]
    isolated = "-I" in job.argv
    script = str(Path(job.cwd) / arguments[0])
    sys.argv = arguments
    sys.dont_write_bytecode = True
    if not isolated:
        sys.path.insert(0, str(Path(script).parent))
    code = 1
    with contextlib.suppress(BaseException):
        code = _code_of(script)
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _code_of(script: str) -> int:
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException as error:
        traceback.print_exception(error)
        raise
    return 0


def _utc() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
