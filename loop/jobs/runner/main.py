"""Runs one attempt to its end, whether who started it lives or not: `<folder> [lock fd] [why]`, by way of __main__.py.

Standard library only: a bare interpreter starts in milliseconds. With the descriptor of a held lock it
detaches and reports on stdout (one JSON line) that the script started, or why not; `why` is why no spare was used.
Without a lock it takes that itself and stays in the foreground, as a batch system wants it. `--spare <socket fd>` waits
for the attempt (warm/runner_spare.py). SIGTERM cancels. attempt_files.py describes the folder's files.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from . import attempt_files, processes
from .signals import Signals
from .supervisor import Supervisor

if TYPE_CHECKING:
    from ..warm.runner_spare import Spare


def main(arguments: list[str]) -> int:
    """Runs the attempt in the folder `arguments[0]`; see the module's docstring."""
    if arguments[0] == "--spare":
        return serve(socket.socket(fileno=int(arguments[1])))
    folder = Path(arguments[0]).absolute()
    detached = len(arguments) > 1
    if detached:
        lock = int(arguments[1])
        os.set_inheritable(lock, False)
        _detach()
    else:
        lock = attempt_files.hold(folder)

    def report(value: dict[str, object]) -> None:
        _report(value, detached)

    why = arguments[2] if len(arguments) > 2 else ""
    return _run(folder, lock, report, Signals(), why)


def serve(line: socket.socket) -> int:
    """Waits as a spare for one attempt, and runs that; ends when nobody gives it one."""
    from ..warm.runner_spare import Spare, receive_order  # a cold start has no use for it

    line.set_inheritable(False)
    _detach()
    order = receive_order(line)
    if order is None:
        return 0
    processes.become_subreaper()
    signals = Signals()
    # A job that comes meanwhile, or the server's end, is seen at once.
    select.select([line, signals], [], [], order.delay_seconds)
    try:
        spare = Spare(line, order, signals)
    except OSError as error:
        shutil.rmtree(order.folder, ignore_errors=True)
        _tell(line, {"ended": str(error), "ready": False})
        return 1
    sys.excepthook = _record_crash(Path(order.folder))
    found = spare.wait()
    if found is None:
        spare.discard()
        return 0
    return _run(found.attempt, found.lock, lambda value: _tell(line, value), signals, spare=spare, job=found.job)


def _detach() -> None:
    if os.fork():
        os._exit(0)  # who started this one waits for it, and never owns the runner


def _run(
    folder: Path,
    lock: int,
    report: Callable[[dict[str, object]], None],
    signals: Signals,
    why: str = "",
    spare: Spare | None = None,
    job: dict[str, object] | None = None,
) -> int:
    """Starts the attempt, reports, and sees it through."""
    sys.excepthook = _record_crash(folder)
    try:
        supervisor = Supervisor(folder, signals, why)
        supervisor.start(spare, job)
    except (OSError, ValueError, KeyError, TypeError) as error:
        os.close(lock)  # before the report: whoever reads that may try again at once
        report({"error": str(error) or type(error).__name__})
        return 1
    report({"pid": os.getpid()})
    return supervisor.finish()


def _tell(line: socket.socket, value: dict[str, object]) -> None:
    with contextlib.suppress(OSError):  # the server has died; the run goes on
        line.sendall((json.dumps(value) + "\n").encode())
    line.close()


def _report(value: dict[str, object], detached: bool) -> None:
    line = (json.dumps(value) + "\n").encode()
    if not detached:
        if "error" in value:
            os.write(2, line)
        return
    with contextlib.suppress(BrokenPipeError):  # the submitter has died; the run goes on
        os.write(1, line)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)


def _record_crash(
    folder: Path,
) -> Callable[[type[BaseException], BaseException, TracebackType | None], None]:
    def hook(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
        import traceback  # where it is needed: a runner's start counts in milliseconds

        attempt_files.write_text(folder / attempt_files.CRASH, "".join(traceback.format_exception(kind, error, where)))

    return hook
