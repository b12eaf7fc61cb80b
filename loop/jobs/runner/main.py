"""Runs one attempt to its end, whether who started it lives or not: `<folder> [lock fd] [why]`, by way of __main__.py.

Standard library only: a bare interpreter starts in milliseconds. With the descriptor of a held lock it detaches and
reports on stdout (one JSON line) that the script started, or why not; `why` is why no spare was used. Without a lock it
takes that itself and stays in the foreground, as a batch system wants it. SIGTERM cancels. attempt_files.py describes
the folder's files.
"""

import contextlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from . import attempt_files
from .processes import Signals
from .supervisor import Spare, Supervisor


def main(arguments: list[str]) -> int:
    """Runs the attempt in the folder `arguments[0]`; see the module's docstring."""
    folder = Path(arguments[0]).absolute()
    detached = len(arguments) > 1
    if detached:
        lock = int(arguments[1])
        os.set_inheritable(lock, False)
        detach()
    else:
        lock = attempt_files.hold(folder)

    def report(value: dict[str, object]) -> None:
        _report(value, detached)

    why = arguments[2] if len(arguments) > 2 else ""
    return run_attempt(folder, lock, report, Signals(), why)


def detach() -> None:
    """Goes on as a process that nobody waits for."""
    if os.fork():
        os._exit(0)  # who started this one waits for it, and never owns the runner


def run_attempt(
    folder: Path,
    lock: int,
    report: Callable[[dict[str, object]], None],
    signals: Signals,
    why: str = "",
    spare: Spare | None = None,
    job: dict[str, object] | None = None,
) -> int:
    """Starts the attempt, reports, and sees it through."""
    sys.excepthook = record_crash(folder)
    try:
        supervisor = Supervisor(folder, signals, why)
        supervisor.start(spare, job)
    except (OSError, ValueError, KeyError, TypeError) as error:
        os.close(lock)  # before the report: whoever reads that may try again at once
        report({"error": str(error) or type(error).__name__})
        return 1
    report({"pid": os.getpid()})
    return supervisor.finish()


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


def record_crash(
    folder: Path,
) -> Callable[[type[BaseException], BaseException, TracebackType | None], None]:
    def hook(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
        import traceback  # where it is needed: a runner's start counts in milliseconds

        attempt_files.write_text(folder / attempt_files.CRASH, "".join(traceback.format_exception(kind, error, where)))

    return hook
