"""Slurm through its own commands: sbatch, squeue, scontrol, scancel, and sacct where there is one."""

from __future__ import annotations

import contextlib
import math
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from ...errors import RunError
from ..job import Placement
from . import slurm_answers as words
from .scheduler import Seen

# All that Slurm's commands need of the server's environment. SBATCH_* would outrank what submit.sh says, and SLURM_*
# would reach the job.
_NEEDED = ("PATH", "LD_LIBRARY_PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "SLURM_CONF")
_ANSWER_SECONDS = 60.0
# How old an answer may grow, at first and at most: while nothing changes, and where news are expected.
_PATIENT, _EXPECTANT, _GROWTH = (1.0, 15.0), (0.25, 3.0), 1.5
_PLACES_SECONDS = 30.0  # places in the queue need a look at everyone's jobs
_FIELDS = ("JobID", "Name", "State", "exit_code", "StartTime", "EndTime", "Partition", "Reason")
_NOT_AHEAD = ("Dependency", "JobHeld", "BeginTime", "PartitionConfig", "BadConstraints", "Invalid")


class Slurm:
    """The cluster that this machine belongs to. One object asks for all of its jobs at once, whoever looks at one."""

    name = "Slurm"

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._jobs: dict[str, Seen] = {}
        self._names: dict[str, str] = {}
        self._alone: dict[str, Seen | None] = {}  # what squeue doesn't list, as it was asked for since the last squeue
        self._unlisted: set[str] = set()
        self._places: dict[str, tuple[int, int]] = {}
        self._placed_at = -math.inf
        self._asked_at = -math.inf
        self._failure: RunError | None = None
        self._patience, self._expectance = _PATIENT[0], _EXPECTANT[0]

    def header(self, name: str, output: Path, placement: Placement) -> str:
        """`--export=NONE` makes the node's login environment the job's, and nothing of the server's."""
        asked = placement
        lines = [
            f"--job-name={name}",
            f"--output={_output(output)}",
            "--chdir=/",
            "--export=NONE",
            "--no-requeue",
            f"--nodes={asked.nodes}",
        ]
        # Without need it isn't said: Lightning takes a number of tasks to mean that srun starts its processes.
        if asked.nodes > 1 or asked.tasks > 1:
            lines.append(f"--ntasks-per-node={asked.tasks}")
        if asked.cpus is not None:
            lines.append(f"--cpus-per-task={max(1, asked.cpus // asked.tasks)}")
        if asked.gpus:
            lines.append(f"--gpus-per-node={asked.gpus}")
        if asked.memory_gb is not None:
            lines.append(f"--mem={math.ceil(asked.memory_gb * 1024)}M")
        if asked.minutes is not None:
            lines.append(f"--time={math.ceil(asked.minutes)}")
        for option in ("partition", "account", "qos"):
            if value := getattr(asked, option):
                lines.append(f"--{option}={value}")
        return "".join(f"#SBATCH {_quoted(line)}\n" for line in (*lines, *asked.extra))

    def submit(self, name: str, script: Path, placement: Placement) -> str:
        """See Scheduler.submit. A request whose answer got lost is looked for by its name."""
        try:
            said = self._call("sbatch", "--parsable", str(script))
        except _Unanswered as error:
            found = self.find(name)
            if found is None:
                raise RunError(error.what, where=error.where, hint=error.hint) from error
            return found
        job = said.strip().rpartition("\n")[2].partition(";")[0]
        if not job.isdigit():
            raise RunError(f"Slurm: sbatch named no job: {said.strip()[:200]!r}", hint="see whether squeue lists it")
        with self._lock:
            self._jobs[job] = words.seen("PENDING", "None")
            self._expect_news()
        return job

    def find(self, name: str) -> str | None:
        """See Scheduler.find; asks sacct as well for one that has left the queue.

        An older answer doesn't do: the job may have come since, and would be taken for lost.
        """
        with self._lock:
            if name not in self._names:
                self._ask()
            if name in self._names:
                return self._names[name]
        rows = self._accounting("--name", name)
        return rows[-1][0] if rows else None

    def look(self, job: str, *, fresh: bool = False) -> Seen | None:
        """See Scheduler.look. One that squeue has dropped is asked for alone, and then in the accounting."""
        with self._lock:
            seen = self._jobs.get(job)
            if seen is not None and seen.state == "ended":
                return seen
            age = self._clock() - self._asked_at
            if self._failure is not None and age < self._patience:
                raise self._failure
            unheard = seen is None and job not in self._unlisted
            if unheard or age >= (self._expectance if fresh else self._patience):
                self._ask()
                seen = self._jobs.get(job)
            if seen is not None:
                return seen
            self._unlisted.add(job)
            if job not in self._alone:
                self._alone[job] = self._look_alone(job)
            return self._alone[job]

    def cancel(self, job: str) -> None:
        """See Scheduler.cancel. Slurm sends TERM to all of it, and KILL after its KillWait (30 s by default)."""
        with self._lock:
            self._expect_news()
        self._call("scancel", job)

    def _expect_news(self) -> None:
        self._patience, self._expectance = _PATIENT[0], _EXPECTANT[0]

    def _ask(self) -> None:
        """One squeue for all jobs of this user."""
        try:
            text = self._call("squeue", "--me", "--states=all", "--noheader", f"--Format={_format(_FIELDS)}")
        except RunError as error:
            self._failure = error
            self._wait_longer()
            raise
        finally:
            self._asked_at = self._clock()  # after it: one that doesn't answer takes its time to say so
        self._failure = None
        rows = [fields for line in text.splitlines() if len(fields := _split(line)) == len(_FIELDS)]
        jobs: dict[str, Seen] = {}
        for job, name, state, status, starts, ends, _, reason in rows:
            now = words.seen(state, reason, exit_status=status, starts=starts, ends=ends)
            # Clocks differ: it ended no later than it is seen to have.
            jobs[job] = now if now.ended_at is None else replace(now, ended_at=min(now.ended_at, time.time()))
            self._names[name] = job
        waiting = {row[6] for row in rows if jobs[row[0]].state == "queued"}
        self._find_places(waiting)
        for job, place in self._places.items():
            if job in jobs and jobs[job].state == "queued":
                jobs[job] = replace(jobs[job], position=place[0], waiting=place[1])
        ended = {job: seen for job, seen in self._jobs.items() if seen.state == "ended" and job not in jobs}
        changed = {job: _news(seen) for job, seen in self._jobs.items() if job not in ended} != {
            job: _news(seen) for job, seen in jobs.items()
        }
        self._jobs = {**ended, **jobs}
        self._alone = {job: seen for job, seen in self._alone.items() if seen is not None and seen.state == "ended"}
        if changed:
            self._expect_news()
        else:
            self._wait_longer()

    def _wait_longer(self) -> None:
        self._patience = min(self._patience * _GROWTH, _PATIENT[1])
        self._expectance = min(self._expectance * _GROWTH, _EXPECTANT[1])

    def _find_places(self, partitions: Iterable[str]) -> None:
        """Places among all who wait for the same partitions, as far as this user may see them."""
        wanted = ",".join(sorted(partitions))
        if not wanted:
            self._places = {}
            return
        if self._clock() - self._placed_at < _PLACES_SECONDS:
            return
        self._placed_at = self._clock()
        self._places = {}
        with contextlib.suppress(RunError):  # a place is nice to know, no more
            options = ("--states=PENDING", "--sort=-p,i", "--noheader", f"--partition={wanted}")
            text = self._call("squeue", *options, f"--Format={_format(('JobID', 'Partition', 'Reason'))}")
            rows = [fields for line in text.splitlines() if len(fields := _split(line)) == 3]
            lines: dict[str, list[str]] = {}
            for job, partition, reason in rows:
                if not reason.startswith(_NOT_AHEAD):
                    lines.setdefault(partition, []).append(job)
            for line in lines.values():
                self._places |= {job: (number, len(line)) for number, job in enumerate(line, 1)}

    def _look_alone(self, job: str) -> Seen | None:
        """A job that squeue --me doesn't list: another user's, or one that only the accounting remembers."""
        try:
            text = self._call("scontrol", "--oneliner", "show", "job", job)
        except RunError as error:
            if error.code != "run_unknown":
                raise
            rows = self._accounting("--jobs", job)
            return words.seen(rows[-1][1], "", exit_status=rows[-1][2], ends=rows[-1][3]) if rows else None
        fields: dict[str, str] = {}
        for key, _, value in (part.partition("=") for part in text.split()):
            fields.setdefault(key, value)  # folders and comments come last, and may hold anything
        return words.seen(
            fields.get("JobState", "UNKNOWN"),
            fields.get("Reason", ""),
            exit_status=fields.get("ExitCode", ""),
            starts=fields.get("StartTime", ""),
            ends=fields.get("EndTime", ""),
        )

    def _accounting(self, *which: str) -> list[list[str]]:
        """Rows of sacct, oldest first: id, state, exit code, end. Without accounting there are none."""
        options = ("--allocations", "--noheader", "--parsable2", "--format=JobID,State,ExitCode,End")
        with contextlib.suppress(RunError):
            lines = self._call("sacct", *which, *options, "--starttime=now-30days").splitlines()
            return [row for line in lines if len(row := line.split("|")) == 4 and row[0].isdigit()]
        return []

    def _call(self, program: str, *arguments: str) -> str:
        """What the program prints. Raises: RunError, and _Unanswered if the request may have arrived all the same."""
        environment = {name: os.environ[name] for name in _NEEDED if name in os.environ}
        path = shutil.which(program, path=environment.get("PATH"))
        if path is None:
            raise RunError(
                f"this machine has no {program}",
                hint="run the server where Slurm's commands are on its PATH, as on a login node",
            )
        try:
            ended = subprocess.run(
                [path, *arguments],
                cwd="/",
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_ANSWER_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise _Unanswered(
                f"Slurm: {program} has not answered for {_ANSWER_SECONDS:.0f} s",
                hint="jobs that it has taken go on; call again when it answers",
            ) from error
        except OSError as error:
            raise RunError(f"{program} can't be started: {error.strerror}", where=path) from error
        if ended.returncode == 0:
            return ended.stdout
        refused = words.refusal(program, ended.stderr, self._partitions() if program == "sbatch" else "")
        if words.unreachable(ended.stderr):
            raise _Unanswered(refused.what, where=refused.where, hint=refused.hint)
        raise refused

    def _partitions(self) -> str:
        with contextlib.suppress(RunError):
            return ", ".join(dict.fromkeys(self._call("sinfo", "--noheader", "--format=%R").split()))
        return ""


class _Unanswered(RunError):
    """Slurm may have done what it was asked."""

    default_code = "run_unanswered"


def _quoted(option: str) -> str:
    """As sbatch reads a line of #SBATCH: in double quotes, in which a backslash escapes."""
    name, equals, value = option.partition("=")
    if re.fullmatch(r"[\w./,:@+%=-]*", value, re.ASCII):
        return option
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'{name}{equals}"{escaped}"'


def _output(path: Path) -> str:
    """`%` begins a symbol in it, and a backslash can't be in it: then what Slurm itself says is lost."""
    text = str(path)
    return "/dev/null" if "\\" in text or not text.isprintable() else text.replace("%", "%%")


def _format(fields: Iterable[str]) -> str:
    return ",".join(f"{field}:|" for field in fields)


def _split(line: str) -> list[str]:
    return [field.strip() for field in line.rstrip().removesuffix("|").split("|")]


def _news(seen: Seen) -> tuple[str, str]:
    return seen.state, seen.word
