"""A job of one second, to see whether the executor of the rules works before a loop depends on it."""

import secrets
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...loop.jobs.job import Job, JobStatus
from ...loop.jobs.logs import tail
from ...loop.jobs.placing import placed
from ...loop.jobs.records import read_identity
from ...loop.jobs.runner.attempt_files import LOG
from ...loop.project.project import Project
from ...loop.store.paths import STATE

_PATIENCE_SECONDS = 60.0
_POLL_SECONDS = 0.05
_AGAIN = "mend what it names, then run doctor again"
_NAMES = {"local": "this machine", "slurm": "Slurm", "ray": "Ray"}


@dataclass(frozen=True)
class Probe:
    """`waits`: it was taken, but had not begun in time, and was cancelled."""

    state: Literal["ended", "waits", "failed"]
    detail: str
    hint: str = ""


def probe(project: Project, *, patience_seconds: float = _PATIENCE_SECONDS) -> Probe:
    """Runs a job as an evaluation is placed, and leaves nothing behind. Raises `LoopError` if none can be started."""
    rules = project.rules()
    config, state = rules.file.execution_config, project.workspace.root / STATE
    where = _NAMES[config.executor]
    made = not state.exists()
    folder = state / f"probe-{secrets.token_hex(4)}"
    seconds = 0 if config.executor == "local" else 1  # long enough for a scheduler to be seen at work
    argv = (project.interpreter(rules), "-c", f"import time; time.sleep({seconds})")
    job = Job("eval", "probe", 1, argv, str(project.workspace.root), project.environment(rules), timeout_seconds=60.0)
    began = time.monotonic()
    try:
        project.executor.submit(folder, placed(job, config))
        status = _until(project, folder, began + patience_seconds)
        if status.state == "running":
            project.executor.cancel(folder)
        return _told(status, where, time.monotonic() - began, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if made:
            with suppress(OSError):  # a loop began meanwhile
                state.rmdir()


def _until(project: Project, folder: Path, deadline: float) -> JobStatus:
    while (status := project.executor.poll(folder)).state == "running" and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    return status


def _told(status: JobStatus, where: str, seconds: float, folder: Path) -> Probe:
    if status.state == "running":
        told = status.waiting or f"a job on {where} has not ended"
        return Probe(
            "waits", f"{told}, after {seconds:.0f} s", "trainings will wait as long; ask for less if that is too long"
        )
    if status.outcome is None or status.state == "lost":
        return Probe("failed", f"a job on {where} was lost: {status.detail}", _AGAIN)
    if status.outcome.rc != 0:
        said = tail(folder / LOG, 500).strip() or status.outcome.detail or "it said nothing"
        return Probe("failed", f"a job on {where} failed: {said}", _AGAIN)
    runner = read_identity(folder)
    node = f" on {runner.host}" if runner and where != _NAMES["local"] else ""
    return Probe("ended", f"{where} ran a job in {seconds:.1f} s{node}")
