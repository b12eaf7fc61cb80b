"""What a runner writes of its attempt, for whoever polls it: who it is, how far it is, how it ended.

Standard library only: the runner's interpreter knows no package. The server reads runner.json and heartbeat.json by the
same definitions (../records.py), and result.json as ..job.Outcome.
"""

import contextlib
import os
import resource
import signal
import sys
from pathlib import Path
from typing import NamedTuple

from . import attempt_files, limits
from .gpu import Use

MOST_NAMED = 50


class RunnerIdentity(NamedTuple):
    """runner.json: who runs an attempt. `stamp` and `boot_id` tell it from a later process with its pid.

    `script_pid` is None until the script has started. `start` says whether that was warm, or why it was cold.
    """

    pid: int
    stamp: str
    boot_id: str
    host: str
    python: str
    marker: str
    script_pid: int | None
    scratch: str
    started_at: str
    started_monotonic: float
    start: str = ""


class Heartbeat(NamedTuple):
    """heartbeat.json, at a time of the machine's own monotonic clock. The rest is there while a training stalls."""

    monotonic: float
    elapsed_seconds: float
    output_bytes: int
    quiet_seconds: float | None = None
    usual_seconds: float | None = None
    stalled_in: str | None = None


class StatusFiles:
    """Writes an attempt's status. `reserve()` comes first, so that there is room for the result on a full disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def reserve(self) -> None:
        """Takes room for the result, should the script fill the disk."""
        with contextlib.suppress(OSError):
            (self._folder / attempt_files.RESERVE).write_bytes(os.urandom(limits.RESERVE_BYTES))

    def identity(self, identity: RunnerIdentity) -> None:
        """Raises: OSError."""
        # Not durable: it only says who lives since the machine was started.
        attempt_files.write_json(self._folder / attempt_files.RUNNER, identity._asdict(), durable=False)

    def heartbeat(self, heartbeat: Heartbeat) -> None:
        # On a full disk the run goes on without a heartbeat.
        with contextlib.suppress(OSError):
            attempt_files.write_json(self._folder / attempt_files.HEARTBEAT, heartbeat._asdict(), durable=False)

    def result(self, ending: "Ending") -> None:
        """Gives the reserve up, and writes the result in its place. Raises: OSError."""
        full = limits.is_full(self._folder)  # while the reserve is still there
        with contextlib.suppress(FileNotFoundError):
            (self._folder / attempt_files.RESERVE).unlink()
        ending = ending._replace(disk_full=ending.disk_full or full)
        attempt_files.write_json(self._folder / attempt_files.RESULT, ending.result())

    def withdraw(self) -> None:
        """Removes what a start that failed has written: the attempt may be submitted again."""
        for name in (attempt_files.RUNNER, attempt_files.LOG, attempt_files.RESERVE):
            with contextlib.suppress(FileNotFoundError):
                (self._folder / name).unlink()


class Ending(NamedTuple):
    """How an attempt ended. `status` is the script's, as waitpid gives it; None if it could not be ended."""

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
