"""What the tests of executors share: a small job, scripts that stay, and waiting without sleeping blindly."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from progressive_training.loop.jobs.executor import Executor
from progressive_training.loop.jobs.job import Job, Outcome

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

# Says its pid in a file that appears as a whole, and stays until it is ended.
STAY = """
import os, pathlib, signal, time
def stay(name):
    here = pathlib.Path(name)
    here.with_suffix(".part").write_text(str(os.getpid()))
    here.with_suffix(".part").rename(here)
    while True:
        time.sleep(1)
"""
# A child, a grandchild, and a grandchild that left for a session of its own.
FAMILY = (
    STAY
    + """
if os.fork() == 0:
    if os.fork() == 0:
        stay("grandchild")
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            stay("daemon")
        os._exit(0)
    stay("child")
"""
)


def job(
    work: Path,
    script: str,
    *arguments: str,
    timeout: float | None = 60.0,
    grace: float = 10.0,
    log: int = 1 << 20,
    env: dict[str, str] | None = None,
) -> Job:
    return Job(
        kind="train",
        version_id="v001",
        attempt=1,
        argv=(sys.executable, "-c", script, *arguments),
        cwd=str(work),
        env=env if env is not None else {"PATH": os.defpath},
        timeout_seconds=timeout,
        log_limit_bytes=log,
        grace_seconds=grace,
    )


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.01)


def finish(executor: Executor, attempt: Path, seconds: float = 60.0) -> Outcome:
    wait_for(lambda: executor.poll(attempt).state != "running", "the end of the job", seconds)
    status = executor.poll(attempt)
    assert status.state == "finished", status
    assert status.outcome is not None
    return status.outcome


def run(executor: Executor, attempt: Path, job: Job) -> Outcome:
    executor.submit(attempt, job)
    return finish(executor, attempt)


def submit_and_die(attempt: Path, job: Job) -> None:
    """By another process, whose whole group is killed as soon as it has submitted the job."""
    order = attempt.parent.parent / "job.json"
    order.parent.mkdir(parents=True, exist_ok=True)
    order.write_text(job.to_json())
    text = (
        "import os, signal, sys; from pathlib import Path\n"
        "from progressive_training.loop.jobs.backends import Backends\n"
        "from progressive_training.loop.jobs.job import Job\n"
        "Backends().submit(Path(sys.argv[2]), Job.from_json(Path(sys.argv[1]).read_text()))\n"
        "os.killpg(0, signal.SIGKILL)\n"
    )
    command = [sys.executable, "-c", text, str(order), str(attempt)]
    # Its output ends with it: a job that kept it open would keep a server's client waiting.
    done = subprocess.run(command, input=b"", stdout=subprocess.PIPE, start_new_session=True, check=False)
    assert done.returncode == -signal.SIGKILL


def pid_in(path: Path) -> int:
    wait_for(path.exists, str(path))
    return int(path.read_text())


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z")
