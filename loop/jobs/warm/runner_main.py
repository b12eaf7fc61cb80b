"""A runner that waits with a spare for one attempt, and then runs that: `<socket fd>`, by way of __main__.py.

Standard library only: the runner's interpreter knows no package.
"""

import contextlib
import json
import select
import shutil
import socket
import sys
from pathlib import Path

from ..runner import processes
from ..runner.main import detach, record_crash, run_attempt
from ..runner.processes import Signals
from .messages import receive_order
from .runner_spare import Spare


def main(arguments: list[str]) -> int:
    """Serves the server at the other end of the socket `arguments[0]`; ends when nobody gives it an attempt."""
    line = socket.socket(fileno=int(arguments[0]))
    line.set_inheritable(False)
    detach()
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
    sys.excepthook = record_crash(Path(order.folder))
    found = spare.wait()
    if found is None:
        spare.discard()
        return 0
    return run_attempt(found.attempt, found.lock, lambda value: _tell(line, value), signals, spare=spare, job=found.job)


def _tell(line: socket.socket, value: dict[str, object]) -> None:
    with contextlib.suppress(OSError):  # the server has died; the run goes on
        line.sendall((json.dumps(value) + "\n").encode())
    line.close()
