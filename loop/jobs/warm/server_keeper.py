"""In the server: keeps spares, interpreters that wait with the next job's imports done; hands jobs over to them.

There is at most one spare for trainings and one for evaluations. A spare hangs on a socket of this process and ends
with it. Its runner does for a job all that any runner does. What it was made with (interpreter, variables, sandbox,
imports) must be what the job asks for, or the job starts cold: a warm start must never change what a run computes.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import RunError
from ..job import LATE_VARIABLES, Job
from ..runner import attempt_files as files
from ..runner import processes
from ..runner.job_order import recorded
from ..sandbox import Shell
from ..starting import START_SECONDS, runner_command
from .late_mounts import DOORS, STAGE
from .messages import Handover, SpareOrder, send_handover, send_order
from .spare_folders import SPARES, free_bytes, remove_dead

IDLE_SECONDS = 30 * 60.0
_RUNNER = Path(__file__).with_name("__main__.py")
_LEAST_FREE_BYTES = 2 << 30
_IMPORT_SECONDS = 5.0  # what a large framework takes
_OPTIONS = frozenset({"-B", "-E", "-I", "-O", "-P", "-S", "-s", "-u"})


@dataclass(frozen=True)
class _Making:
    """What a spare is made with and can't change any more."""

    interpreter: tuple[str, ...]
    env: Mapping[str, str]
    shell: Shell
    wrapped: bool
    max_file_bytes: int | None

    @classmethod
    def of(cls, job: Job) -> "_Making | None":
        """None for a job that isn't a Python script."""
        options = 1
        while options < len(job.argv) and job.argv[options] in _OPTIONS:
            options += 1
        program = job.argv[options : options + 2]
        if not program or not (program[0].endswith(".py") or (program[0] == "-c" and len(program) == 2)):
            return None
        env = {name: value for name, value in job.env.items() if name not in LATE_VARIABLES}
        return cls(job.argv[:options], env, Shell.of(job.wrapper)[0], bool(job.wrapper), job.max_file_bytes)

    def difference(self, job: "_Making") -> str | None:
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
    """One that was started; `line` is the socket to its runner (messages.py says what comes over it)."""

    making: _Making
    imports: tuple[str, ...]
    line: socket.socket
    received: bytes = b""
    runner: tuple[int, str] | None = None

    def message(self, seconds: float) -> dict[str, Any] | None:
        """The runner's next message; None when it has died. Raises: TimeoutError."""
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
    """Starts spares when jobs are expected, and hands jobs over. Safe to use from several threads.

    A spare ends after `idle_seconds` without a job. One that doesn't answer within `start_seconds` is killed, and its
    job starts cold. None is made while the machine has less than `least_free_bytes` of memory to give.
    """

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
        self._busy = False  # the newest job started cold: it may be importing now

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
        """Sees to it that there is a spare for each job that can have one; `python` is the runners' interpreter.

        Returns at once, and gives no promise: a spare that can't be made or fails is found out by the job.
        """
        with self._lock:
            delay = 0.0
            for job in jobs:
                making = _Making.of(job)
                if making is None or job.imports is None or job.imports in self._useless:
                    continue
                if not self._is_wanted(job.kind, making, job.imports):
                    continue
                with contextlib.suppress(OSError):  # without a spare the job starts cold, and says what is wrong
                    self._spares[job.kind] = _begin(making, job, state, python, self._idle, delay)
                    # One after another while a job that started cold still imports: on few cores each import more
                    # makes the job that somebody waits for slower.
                    delay += _IMPORT_SECONDS if self._busy else 0.0

    def _is_wanted(self, kind: str, making: _Making, imports: tuple[str, ...]) -> bool:
        """Whether a spare is lacking and there is memory for one; drops one that no longer fits."""
        spare = self._spares.get(kind)
        if spare is not None and _problem(spare, making, imports) is None and self._lives(spare):
            return False
        self._drop(kind)
        return free_bytes() >= self._least_free

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
        """Whether its runner waits, by all that it has said so far; remembers why an interpreter was of no use."""
        try:
            while (message := spare.message(0)) is not None:
                # Imports that failed would fail again, for as long as the server lives. One that died later, while it
                # waited, may be tried again.
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
    """Why a job that asks for this making and these imports can't have the spare, or None."""
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
    order = SpareOrder(
        folder=str(folder),
        argv=making.interpreter,
        cwd=job.cwd,
        env=dict(making.env),
        wrapper=making.shell.with_scratch(folder / files.SCRATCH, folder / STAGE / DOORS) if making.wrapped else (),
        doors=making.shell.doors,
        max_file_bytes=making.max_file_bytes,
        imports=job.imports or (),
        root=str(state.parent),
        idle_seconds=idle,
        delay_seconds=delay,
    )
    line = _start_runner(python, making.env)
    send_order(line, order)
    return _Spare(making, order.imports, line)


def _start_runner(python: str, env: Mapping[str, str]) -> socket.socket:
    """The server's end of the socket to a runner that waits for its order. Raises: OSError."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            runner_command(python, str(theirs.fileno()), program=_RUNNER),
            cwd="/",
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=(theirs.fileno(),),
        )
    # It leaves its runner to the system at once; somebody has to wait for it, and nobody shall be kept waiting.
    threading.Thread(target=process.wait, daemon=True).start()
    return ours


def _hand_over(spare: _Spare, attempt: Path, job: Job, lock: int, seconds: float) -> str | None:
    """None once the spare has the job, else why it hasn't; nothing runs then. Raises: RunError."""
    try:
        spare.line.settimeout(seconds)
        send_handover(spare.line, Handover(attempt, lock, _as_handed_over(spare.making, job)))
        while (found := spare.message(seconds)) is not None:
            if "error" in found:
                raise RunError(f"the job can't be started: {found['error']}", where=str(attempt))
            if "pid" in found and "stamp" not in found:
                return None
    except TimeoutError:
        # Nobody knows what it is doing. KILLed, it has either become the job, which is lost then, or never will.
        if spare.runner is not None:
            processes.send_signal(*spare.runner, signal.SIGKILL)
        spare.message(START_SECONDS)  # returns at its end
    except OSError:  # it has died
        pass
    # A runner writes down who it is before its script can begin. Whoever did so had the job, and lost it: to start that
    # cold as well would run it twice.
    return None if (attempt / files.RUNNER).exists() else "its spare died when it was given the job"


def _as_handed_over(making: _Making, job: Job) -> dict[str, Any]:
    """What of the job is not in the making of its spare, as user_interpreter.py reads it."""
    env = {name: value for name, value in job.env.items() if name in LATE_VARIABLES}
    if job.recording is not None:  # for its children: it itself is past the moment when an interpreter looks
        env |= recorded(vars(job.recording), making.env)
    if job.wrapper:
        env["PWD"] = os.path.realpath(job.cwd)  # as bubblewrap sets it
    own = Shell.of(job.wrapper)[1]
    return {
        "interpreter": making.interpreter,
        "argv": job.argv[len(making.interpreter) :],
        "cwd": job.cwd,
        "env": env,
        "own": [(folder.path, folder.writable) for folder in own],
        "writable": [folder.path for folder in own if folder.writable],
        "recorder": job.recording.source if job.recording is not None else None,
    }
