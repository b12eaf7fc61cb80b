"""job.json as the runner reads it.

Standard library only: the runner's interpreter knows no package.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

from . import attempt_files, limits
from .gpu import Use
from .limits import Limits

MOST_NAMED = 50


# Names of the variables that a batch script's setup made, with spaces between.
SETUP_VARIABLE = "PROGRESSIVE_TRAINING_SETUP"


class Order(NamedTuple):
    """What job.json asks for."""

    argv: list[str]
    cwd: str
    env: dict[str, str]
    timeout_seconds: float | None
    log_limit_bytes: int
    grace_seconds: float
    wrapper: list[str]
    max_processes: int | None
    max_threads: int | None
    max_file_bytes: int | None
    watched: list[str]
    max_watched_bytes: int | None
    inherits: list[str]
    recording: dict[str, Any] | None

    @classmethod
    def read(cls, folder: Path) -> Order:
        """Raises: OSError, ValueError, KeyError."""
        value = cast("dict[str, Any]", json.loads(attempt_files.read_text(folder / attempt_files.JOB)))
        return cls(**{name: value[name] for name in cls._fields})

    def limits(self, scratch: Path) -> Limits:
        """What the job may use; its temporary files count with what is watched."""
        folders = (*self.watched, str(scratch))
        return Limits(self.max_processes, self.max_threads, self.max_file_bytes, self.max_watched_bytes, folders)

    def environment(self, here: Mapping[str, str]) -> dict[str, str]:
        """The job's variables, where `here` are those of the place that it runs in."""
        return {**(env := self._own(here)), **recorded(self.recording, env)}

    def _own(self, here: Mapping[str, str]) -> dict[str, str]:
        if not self.inherits:
            return self.env
        # The second are what execution_config.setup made on a cluster's node (batch/submission.py).
        names = {*self.inherits, *here.get(SETUP_VARIABLE, "").split()}
        beginnings = tuple(name[:-1] for name in self.inherits if name.endswith("*"))
        return {**self.env, **{name: here[name] for name in here if name in names or name.startswith(beginnings)}}


def recorded(recording: Mapping[str, Any] | None, env: Mapping[str, str]) -> dict[str, str]:
    """What to add to a job's variables `env` so that what it does is recorded."""
    if recording is None:
        return {}
    path = filter(None, (recording["python_path"], env.get("PYTHONPATH")))
    return {**recording["variables"], "PYTHONPATH": os.pathsep.join(path)}


class Ending(NamedTuple):
    """`status` is the script's, as waitpid gives it; None if it could not be ended."""

    status: int | None
    reason: str
    detail: str | None
    wall_seconds: float
    started_at: str
    finished_at: str
    killed: list[str]
    oom_kills_before: int | None
    log_truncated: bool
    disk_full: bool
    start: str
    gpu: Use | None

    @property
    def exit_code(self) -> int:
        """In the shell's convention."""
        return self._code if self._code is not None else 128 + (self._signal or 0)

    @property
    def _signal(self) -> int | None:
        return os.WTERMSIG(self.status) if self.status is not None and os.WIFSIGNALED(self.status) else None

    @property
    def _code(self) -> int | None:
        return os.WEXITSTATUS(self.status) if self.status is not None and os.WIFEXITED(self.status) else None

    def result(self) -> dict[str, object]:
        """The fields of job.Outcome."""
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        oom_kills = limits.oom_kills()
        return {
            "rc": self._code,
            "signal": self._signal,
            "signal_name": _signal_name(self._signal),
            "reason": self.reason,
            "wall_seconds": self.wall_seconds,
            "cpu_seconds": used.ru_utime + used.ru_stime,
            "peak_memory_bytes": used.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
            "killed": _bounded(self.killed),
            "started_at": self.started_at,
            "finished_at": self.finished_at,
            "log_truncated": self.log_truncated,
            "detail": self.detail,
            "oom_kills": None if oom_kills is None else oom_kills - (self.oom_kills_before or 0),
            "disk_full": self.disk_full,
            "start": self.start,
            "gpu_peak_memory_bytes": None if self.gpu is None else self.gpu.peak_memory_bytes,
            "gpu_utilisation": None if self.gpu is None else self.gpu.utilisation,
        }


def _bounded(killed: list[str]) -> list[str]:
    """A fork bomb must not make the result too large to be read."""
    return killed if len(killed) <= MOST_NAMED else [*killed[:MOST_NAMED], f"and {len(killed) - MOST_NAMED} more"]


def _signal_name(number: int | None) -> str | None:
    if number is None:
        return None
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"
