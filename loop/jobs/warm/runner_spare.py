"""In a runner that waits: its spare, an interpreter in its sandbox that has imported what a script needs.

Standard library only: the runner's interpreter knows no package. The server holds the other end of `line` (messages.py
says what comes over it); when that closes, or nobody came in time, the spare and its folder are gone.
"""

import contextlib
import json
import os
import selectors
import shutil
import signal
import socket
import time
from pathlib import Path
from typing import Any

from ..runner import attempt_files, processes
from ..runner.launch import Launched, launch, variables
from ..runner.limits import Limits
from ..runner.processes import Signals
from ..runner.scratch import Scratch
from .late_mounts import STAGE, Doorway
from .messages import Handover, HandoverReader, SpareOrder

MAX_OUTPUT_BYTES = 1 << 20
READY_SECONDS = 25.0  # below what the server gives the whole of a start
# For the imports only; the job gets its own variables. The threads of an OpenBLAS spin for 2^28 cycles before they
# sleep, from its import on, and numpy and scipy bring one each: a tenth of a preload went into that. Spinning for 2^24,
# 6 ms, is still longer than the pause between two calls of a loop, so that no computation becomes slower.
_WHILE_IMPORTING = {"OPENBLAS_THREAD_TIMEOUT": "24"}
_BOOT = """
import sys
def boot():
    fresh = {name: value for name, value in globals().items() if name not in ("boot", "sys")}
    base, channel = set(sys.modules), int(sys.argv[1])
    import os
    length = int(os.read(channel, 8))
    text = b""
    while len(text) < length:
        text += os.read(channel, length - len(text)) or sys.exit(1)
    module = {"__name__": "progressive_training_warm", "__file__": "<warm start>"}
    exec(compile(text, "<warm start>", "exec", dont_inherit=True), module)
    module["wait"](channel, base, fresh)
boot()
"""


class Unfit(Exception):
    """The spare can't become this job; the job has not begun."""


class Spare:
    """An interpreter that waits; supervisor.py adopts it as an attempt's script. Raises: OSError.

    One object is good for one job: after become() it is the attempt's, after discard() nothing of it is left.
    """

    def __init__(self, line: socket.socket, order: SpareOrder, signals: Signals) -> None:
        self._line, self._order, self._signals = line, order, signals
        self.marker = os.urandom(16).hex()
        self.output = b""
        self._folder = Path(order.folder)
        self._folder.mkdir(parents=True)
        self._lock = _hold(self._folder)
        self._doorway = Doorway(self._folder / STAGE, order.doors) if order.wrapper else None
        self.scratch = Scratch.make(self._folder / attempt_files.SCRATCH, alias=not order.wrapper, movable=True)
        self._channel, theirs = socket.socketpair()
        self.pipe, write_end = os.pipe()
        os.set_blocking(self.pipe, False)
        try:
            self.script = self._launch(theirs, write_end)
        finally:
            theirs.close()
            os.close(write_end)
        self._said = b""
        self._fault: str | None = None
        self._ready = False
        self._hello()
        text = Path(__file__).with_name("user_interpreter.py").read_bytes()
        start = {"imports": order.imports, "root": order.root}
        self._channel.sendall(b"%8d" % len(text) + text + json.dumps(start).encode() + b"\n")

    def wait(self) -> Handover | None:
        """The job, when it comes; None when the spare is to end: nobody is there any more, or it is of no use."""
        deadline = time.monotonic() + self._order.idle_seconds
        handover = HandoverReader(self._line)
        with selectors.DefaultSelector() as selector:
            for source in (self._line, self._channel, self._signals, self.pipe):
                selector.register(source, selectors.EVENT_READ)
            while not self._signals.cancelled and self._fault is None:
                found = selector.select(max(0.0, deadline - time.monotonic()))
                if not found and time.monotonic() >= deadline:
                    return None
                for key, _ in found:
                    if key.fileobj is self._line:
                        if not handover.read():
                            return None
                    else:
                        self._take(key.fileobj)
                if (job := handover.whole()) is not None:
                    return job
        if self._fault is not None:
            with contextlib.suppress(OSError):
                self._line.sendall(json.dumps({"ended": self._fault, "ready": self._ready}).encode() + b"\n")
        return None

    def move(self, folder: Path) -> str | None:
        """Makes the temporary folder the attempt's, under the same name for the script; says why not, or None."""
        try:
            self.scratch = self.scratch.moved(folder / attempt_files.SCRATCH)
        except OSError as error:
            return f"its temporary folder can't be moved: {error.strerror}"
        return None

    def become(self, job: dict[str, Any]) -> str | None:
        """The script runs when this returns None. Else it never will, and this says why."""
        try:
            self._become(job)
        except Unfit as reason:
            return str(reason)
        self._channel.close()
        self._remove()
        return None

    def _become(self, job: dict[str, Any]) -> None:
        deadline = time.monotonic() + READY_SECONDS
        self._await("ready", deadline)
        if self._doorway is not None:
            fault = self._doorway.open(job["own"])
            self._doorway.close()
            if fault is not None:
                raise Unfit(fault)
        with contextlib.suppress(OSError):  # of one that has died, which is seen below
            added = [name for name in _WHILE_IMPORTING if name not in self._order.env]
            self._channel.sendall(json.dumps({**job, "without": added}).encode() + b"\n")
        self._said = b""
        self._await("started", deadline)

    def discard(self) -> None:
        """Ends the interpreter with all that it may have started; nothing of the spare is left."""
        self._channel.close()
        if self._doorway is not None:
            self._doorway.close()
        tree = processes.Tree(self.marker, session=self.script.pid)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.script.pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.script.pid, 0)
        tree.kill(time.sleep)
        self.script.reaped(0)
        os.close(self.pipe)
        self.scratch.remove()
        self._remove()

    def _launch(self, theirs: socket.socket, output: int) -> Launched:
        order, me = self._order, os.getpid()
        limits = Limits(None, None, order.max_file_bytes, None, None, ())

        def in_child() -> None:
            if self._doorway is not None:
                self._doorway.enter()
                os.chdir(order.cwd)
            processes.die_with_parent()
            if os.getppid() != me:
                os._exit(1)
            limits.apply()

        theirs.set_inheritable(True)
        script = launch(
            [*order.argv, "-c", _BOOT, str(theirs.fileno())],
            cwd=order.cwd,
            env={
                **_WHILE_IMPORTING,
                **order.env,
                **variables(self.marker, self.scratch.path, wrapped=bool(order.wrapper)),
            },
            wrapper=order.wrapper,
            output=output,
            in_child=in_child,
            keep=(theirs.fileno(),),
        )
        if script.wrapped and (fault := script.await_start()) is not None:
            raise OSError(fault)
        return script

    def _hello(self) -> None:
        me = self._record()
        with contextlib.suppress(OSError):  # the server has died, which is seen at once
            self._line.sendall(json.dumps(me).encode() + b"\n")

    def _record(self) -> dict[str, object]:
        """Who waits here: for people, and for the memory that `doctor` shows."""
        me: dict[str, object] = {"pid": os.getpid(), "stamp": processes.start_stamp(os.getpid())}
        record = {**me, "marker": self.marker, "ready": self._ready}
        with contextlib.suppress(OSError):  # a full disk
            attempt_files.write_json(self._folder / attempt_files.RUNNER, record, durable=False)
        return me

    def _take(self, source: object) -> None:
        """Takes in what is there to read: of the interpreter, of its output, or a signal."""
        if source is self._channel:
            self._listen()
        elif source == self.pipe:
            self._take_output()
        else:
            self._signals.drain()

    def _await(self, word: str, deadline: float) -> None:
        """Until the interpreter says `word`. Raises: Unfit."""
        while self._fault is None and not (word == "ready" and self._ready):
            with selectors.DefaultSelector() as selector:
                for source in (self._channel, self.pipe):
                    selector.register(source, selectors.EVENT_READ)
                for key, _ in selector.select(max(0.0, deadline - time.monotonic())):
                    if key.fileobj == self.pipe:
                        self._take_output()
                    elif self._listen() == word:
                        return
            if time.monotonic() >= deadline:
                raise Unfit(f"it was not {word} within {READY_SECONDS:.0f} s")
        if self._fault is not None:
            raise Unfit(self._fault)

    def _listen(self) -> str | None:
        """What the interpreter has said, as soon as that is a whole line."""
        try:
            data = self._channel.recv(1 << 16)
        except OSError:
            data = b""
        self._said += data
        if not data:
            self._take_output()
            said = self.output.decode(errors="replace").strip().rpartition("\n")[2]
            self._fault = f"its interpreter has died: {said[-500:]}" if said else "its interpreter has died"
            return None
        if not self._said.endswith(b"\n"):
            return None
        message: dict[str, Any] = json.loads(self._said)
        self._said = b""
        self._fault = message.get("unfit")
        word = next(iter(message))
        if word == "ready":
            self._ready = True
            self._record()
        return word

    def _take_output(self) -> None:
        """What imports print belongs in the log of the job."""
        with contextlib.suppress(BlockingIOError):
            self.output = (self.output + os.read(self.pipe, 1 << 16))[:MAX_OUTPUT_BYTES]

    def _remove(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        os.close(self._lock)


def _hold(folder: Path) -> int:
    """Whoever asks if a spare lives takes the lock for a moment. Raises: OSError."""
    for _ in range(100):
        with contextlib.suppress(BlockingIOError):
            return attempt_files.hold(folder)
        time.sleep(0.01)
    return attempt_files.hold(folder)
