"""An executor for tests that are about what trainings did: real ones, each in a fork of one process.

That process has imported torch and Lightning once, which takes longer than all else that a small training does.
"""

import atexit
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from progressive_training.loop.jobs.job import Job, JobStatus, Outcome
from progressive_training.loop.jobs.local import LocalExecutor

_PARENT = """
import atexit, json, os, runpy, sys
import lightning, torch, torchmetrics
from lightning.pytorch import callbacks, loggers

def train(job):
    log = os.open(job["log"], os.O_WRONLY | os.O_CREAT)
    for number in (1, 2):
        os.dup2(log, number)
    os.environ.clear()
    os.environ.update(job["env"])
    os.chdir(job["cwd"])
    sys.path[0], sys.argv = job["cwd"], [job["script"]]
    exec(job["recorder"], {})
    code = 1
    try:
        runpy.run_path(job["script"], run_name="__main__")
        code = 0
    except SystemExit as error:
        code = error.code or 0
    except BaseException as error:  # as an interpreter does it
        sys.last_type, sys.last_value, sys.last_traceback = type(error), error, error.__traceback__
        sys.excepthook(type(error), error, error.__traceback__)
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(code)

torch.set_num_threads(1)
for line in sys.stdin:
    child = os.fork()
    if not child:
        train(json.loads(line))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
_parents: list[subprocess.Popen[str]] = []


def run(script: str, cwd: str, env: Mapping[str, str], log: Path, recorder: str) -> int:
    """Runs a script in a fork, after the source `recorder`; its exit code. What it prints goes to `log`."""
    parent = _parent()
    assert parent.stdin is not None and parent.stdout is not None
    asked = {"cwd": cwd, "script": script, "env": dict(env), "log": str(log), "recorder": recorder}
    parent.stdin.write(json.dumps(asked) + "\n")
    parent.stdin.flush()
    return int(parent.stdout.readline())


class Forked:
    """Trains at once, without a sandbox, and recorded as everywhere. Evaluations are jobs like any other."""

    name = "forked"

    def __init__(self) -> None:
        self._others = LocalExecutor()
        self._codes: dict[Path, int] = {}

    def submit(self, attempt: Path, job: Job) -> None:
        if job.kind != "train":
            return self._others.submit(attempt, job)
        attempt.mkdir(parents=True, exist_ok=True)
        (attempt / "job.json").write_text(job.to_json())
        assert job.recording is not None
        env = {**job.env, **job.recording.variables, "PYTHONPATH": job.recording.python_path}
        self._codes[attempt] = run(job.argv[-1], job.cwd, env, attempt / "log.txt", job.recording.source)
        return None

    def expect(self, jobs: Callable[[], Sequence[Job]], state: Path) -> None:
        """It needs no preparation."""

    def poll(self, attempt: Path) -> JobStatus:
        if attempt not in self._codes:
            return self._others.poll(attempt)
        outcome = Outcome(self._codes[attempt], None, None, "exited", 0.1, 0.1, 1, (), None, None, log_truncated=False)
        return JobStatus("finished", outcome, 0.1)

    def cancel(self, attempt: Path) -> JobStatus:
        return self.poll(attempt) if attempt in self._codes else self._others.cancel(attempt)


def _parent() -> subprocess.Popen[str]:
    if not _parents:
        env = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", _PARENT]
        _parents.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, text=True))
        atexit.register(_end, _parents[0])
    return _parents[0]


def _end(parent: subprocess.Popen[str]) -> None:
    with contextlib.suppress(OSError):
        parent.communicate(timeout=10)
