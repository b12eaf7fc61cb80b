"""Keeps spares: interpreters that have imported what the next jobs need, at most one for trainings and one for scores.

A spare hangs on a socket of this process and ends with it. Its runner does for a job all that any runner does; what it
was made with (interpreter, variables, sandbox, imports) must be what the job asks for, or the job starts cold.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import RunError
from ..job import RESUME_VARIABLE, Job
from ..runner import attempt_files as files
from ..runner import processes
from ..runner.command import START_SECONDS, runner_command
from ..runner.job_files import recorded
from ..sandbox import Shell

IDLE_SECONDS = 30 * 60.0
_RUNNER = Path(__file__).with_name("__main__.py")
SPARES = "spares"
_LEAST_FREE_BYTES = 2 << 30
_IMPORT_SECONDS = 5.0  # what a large framework takes
_OPTIONS = frozenset({"-B", "-E", "-I", "-O", "-P", "-S", "-s", "-u"})


@dataclass(frozen=True)
class _Making:
    """What a spare is made with, once and for all."""

    interpreter: tuple[str, ...]
    env: Mapping[str, str]
    shell: Shell
    wrapped: bool
    max_file_bytes: int | None

    @classmethod
    def of(cls, job: Job) -> _Making | None:
        """None for a job that isn't a Python script."""
        options = 1
        while options < len(job.argv) and job.argv[options] in _OPTIONS:
            options += 1
        program = job.argv[options : options + 2]
        if not program or not (program[0].endswith(".py") or (program[0] == "-c" and len(program) == 2)):
            return None
        env = {name: value for name, value in job.env.items() if name != RESUME_VARIABLE}
        return cls(job.argv[:options], env, Shell.of(job.wrapper)[0], bool(job.wrapper), job.max_file_bytes)

    def difference(self, job: _Making) -> str | None:
        """In what the job differs, in words."""
        if self.interpreter != job.interpreter:
            return "another interpreter"
        if self.env != job.env:
            names = sorted(name for name in {*self.env, *job.env} if self.env.get(name) != job.env.get(name))
            return f"other variables ({', '.join(names[:3])})"
        if (self.wrapped, self.shell) != (job.wrapped, job.shell):
            return "another sandbox"
        return "other limits" if self.max_file_bytes != job.max_file_bytes else None


@dataclass
class _Spare:
    """One that was started; `line` is the socket to its runner, from which messages come as lines."""

    making: _Making
    imports: tuple[str, ...]
    line: socket.socket
    received: bytes = b""
    runner: tuple[int, str] | None = None

    def message(self, seconds: float) -> dict[str, Any] | None:
        """The next one. None when the runner has died. Raises: TimeoutError."""
        self.line.settimeout(seconds)
        while b"\n" not in self.received:
            try:
                data = self.line.recv(1 << 16)
            except (BlockingIOError, TimeoutError) as error:
                raise TimeoutError from error
            except OSError:
                data = b""
            if not data:
                return None
            self.received += data
        line, _, self.received = self.received.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        if "stamp" in found:
            self.runner = found["pid"], found["stamp"]
        return found


class Keeper:
    """Starts spares when jobs are expected, and hands jobs over. Safe to use from several threads."""

    def __init__(
        self,
        *,
        idle_seconds: float = IDLE_SECONDS,
        start_seconds: float = START_SECONDS,
        least_free_bytes: int = _LEAST_FREE_BYTES,
    ) -> None:
        self._idle = idle_seconds
        self._patience = start_seconds
        self._least_free = least_free_bytes
        self._spares: dict[str, _Spare] = {}
        self._useless: dict[tuple[str, ...], str] = {}
        self._lock = threading.Lock()
        self._busy = False  # with a job that started cold

    def start(self, attempt: Path, job: Job, lock: int) -> str | None:
        """Hands the job to a spare; None once that has it, else why nobody has, so that it is to be started cold.

        Raises: RunError when it can't be started at all.
        """
        with self._lock:
            spare, why = self._fit(job)
            self._busy = spare is None
        if spare is None:
            return why
        with contextlib.closing(spare.line):
            return _hand_over(spare, attempt, job, lock, self._patience)

    def expect(self, jobs: Sequence[Job], state: Path, python: str) -> None:
        """Sees to it that there is a spare for each job that can have one.

        While a job that started cold still imports what it needs, they are made one after another.
        """
        with self._lock:
            delay = 0.0
            for job in jobs:
                making = _Making.of(job)
                if making is None or job.imports is None or job.imports in self._useless:
                    continue
                spare = self._spares.get(job.kind)
                if spare is not None and _problem(spare, making, job.imports) is None and self._lives(spare):
                    continue
                self._drop(job.kind)
                if free_bytes() < self._least_free:
                    continue
                with contextlib.suppress(OSError):  # without a spare the job starts cold, and says what is wrong
                    self._spares[job.kind] = _begin(making, job, state, python, self._idle, delay)
                    delay += _IMPORT_SECONDS if self._busy else 0.0

    def close(self) -> None:
        """Ends the spares; they also end by themselves when this process does."""
        with self._lock:
            for kind in tuple(self._spares):
                self._drop(kind)

    def _fit(self, job: Job) -> tuple[_Spare | None, str]:
        """Takes the spare out if the job may run in it."""
        making = _Making.of(job)
        if making is None:
            return None, "it is no Python script"
        if job.imports is None:
            return None, ""
        if job.imports in self._useless:
            return None, self._useless[job.imports]
        spare = self._spares.get(job.kind)
        if spare is None:
            return None, "no spare was waiting"
        if (why := _problem(spare, making, job.imports)) is not None:
            return None, why
        del self._spares[job.kind]
        if not self._lives(spare):
            return None, self._useless.get(job.imports, "its spare had ended")
        return spare, ""

    def _lives(self, spare: _Spare) -> bool:
        """Whether its runner waits, as far as it has said; remembers why an interpreter was of no use."""
        try:
            while (message := spare.message(0)) is not None:
                # One that died while it waited may be tried again.
                if "ended" in message and not message["ready"]:
                    self._useless[spare.imports] = message["ended"]
        except TimeoutError:
            return True
        spare.line.close()
        return False

    def _drop(self, kind: str) -> None:
        spare = self._spares.pop(kind, None)
        if spare is not None:
            spare.line.close()


def _problem(spare: _Spare, making: _Making, imports: tuple[str, ...]) -> str | None:
    if (other := spare.making.difference(making)) is not None:
        return f"its spare was made with {other}"
    # In the same order, from the first on: what an import does may depend on the ones before.
    if imports[: len(spare.imports)] != spare.imports:
        return "its spare had imported what the script doesn't, or in another order"
    return None


def _begin(making: _Making, job: Job, state: Path, python: str, idle: float, delay: float) -> _Spare:
    """Starts a runner with a spare; whatever goes wrong there shows when the spare is wanted."""
    place = state / SPARES
    remove_dead(place)
    folder = place / f"{job.kind}-{uuid.uuid4().hex[:12]}"
    order = {
        "folder": str(folder),
        "argv": making.interpreter,
        "cwd": job.cwd,
        "env": dict(making.env),
        "wrapper": making.shell.with_scratch(folder / files.SCRATCH) if making.wrapped else (),
        "max_file_bytes": making.max_file_bytes,
        "imports": job.imports,
        "root": str(state.parent),
        "idle_seconds": idle,
        "delay_seconds": delay,
    }
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            runner_command(python, str(theirs.fileno()), program=_RUNNER),
            cwd="/",
            env=dict(making.env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=(theirs.fileno(),),
        )
    # It leaves its runner to the system at once; somebody has to wait for it, and nobody shall be kept waiting.
    threading.Thread(target=process.wait, daemon=True).start()
    text = json.dumps(order).encode()
    ours.sendall(b"%8d" % len(text) + text)
    return _Spare(making, job.imports or (), ours)


def _hand_over(spare: _Spare, attempt: Path, job: Job, lock: int, seconds: float) -> str | None:
    env = {name: value for name, value in job.env.items() if name == RESUME_VARIABLE}
    if job.recording is not None:  # for its children: it is itself too far for them
        env |= recorded(vars(job.recording), spare.making.env)
    if job.wrapper:
        env["PWD"] = os.path.realpath(job.cwd)  # as bubblewrap sets it
    told = {
        "interpreter": spare.making.interpreter,
        "argv": job.argv[len(spare.making.interpreter) :],
        "cwd": job.cwd,
        "env": env,
        "writable": Shell.of(job.wrapper)[1],
        "recorder": job.recording.source if job.recording is not None else None,
    }
    message = json.dumps({"attempt": str(attempt), "job": told}).encode() + b"\n"
    try:
        spare.line.settimeout(seconds)
        sent = socket.send_fds(spare.line, [message], [lock])
        spare.line.sendall(message[sent:])
        while (found := spare.message(seconds)) is not None:
            if "error" in found:
                raise RunError(f"the job can't be started: {found['error']}", where=str(attempt))
            if "pid" in found and "stamp" not in found:
                return None
    except TimeoutError:
        if spare.runner is not None:
            processes.send_signal(*spare.runner, signal.SIGKILL)
        spare.message(START_SECONDS)  # its end
    except OSError:  # it has died
        pass
    # A runner writes down who it is before its script can begin. Whoever did so had the job, and lost it.
    return None if (attempt / files.RUNNER).exists() else "its spare died when it was given the job"


def remove_dead(place: Path) -> None:
    """Removes the folders of spares that were killed together with their runners."""
    for folder in place.iterdir() if place.is_dir() else ():
        if not files.is_held(folder):
            shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class Resting:
    """A spare that lives now, whoever keeps it, and its share of memory in bytes (None = not told here).

    `ready`: it has imported all.
    """

    kind: str
    memory_bytes: int | None
    ready: bool


def resting(state: Path) -> Iterator[Resting]:
    """The spares of a project, whose folder for what is ours is `state`."""
    place = state / SPARES
    for folder in sorted(place.iterdir()) if place.is_dir() else ():
        if not files.is_held(folder):
            continue
        with contextlib.suppress(OSError, ValueError, KeyError):
            told = json.loads(files.read_text(folder / files.RUNNER))
            members = [process.pid for process in processes.Tree(told["marker"]).members()]
            yield Resting(folder.name.partition("-")[0], _share_of_memory([told["pid"], *members]), told["ready"])


def _share_of_memory(pids: Sequence[int]) -> int | None:
    total = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:  # gone, or not Linux
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) << 10
    return total or None


def free_bytes() -> int:
    """Memory that programs can have without anybody being pushed out; a lot where that isn't told."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
