"""A run that goes on after a crash of its own: it is a child, and started anew where it was killed or broke."""

import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from types import FrameType, TracebackType

RUN = "PROGRESSIVE_TRAINING_RUN"
"""Names the run in its child's environment; the same for one that is started anew."""
BROKE = 70
"""The exit code of a child that an exception of our own ended."""
MOST_IN_VAIN = 3
"""How often it is started anew without having got on."""
_ASKED_TO_END = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_WAIT_SECONDS = 2.0


def is_child() -> bool:
    return RUN in os.environ


def break_loudly() -> None:
    """From here an exception that nobody expects ends this process with `BROKE`, after its traceback."""

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        traceback.print_exception(kind, error, trace)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(BROKE)

    sys.excepthook = hook


def supervised(command: Sequence[str], stands: Callable[[], object], tell: Callable[[str], None]) -> int:
    """Runs the command to its end, started anew after each crash, and returns its exit code (128 + n for a signal).

    `stands` is what differs once it has got on. A child that was asked to end is not started anew; Ctrl-C reaches it by
    itself, and a SIGTERM is handed on.
    """
    name, in_vain = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{os.getpid()}", 0
    while True:
        before = stands()
        code = _ended(command, name)
        if code >= 0 and code != BROKE:
            return code
        if -code in _ASKED_TO_END:
            return 128 - code
        in_vain = in_vain + 1 if stands() == before else 1
        cause = "broke" if code == BROKE else f"was ended by {signal.Signals(-code).name}"
        if in_vain > MOST_IN_VAIN:
            tell(f"The run {cause} {in_vain} times without getting on, and is given up.")
            return 1 if code == BROKE else 128 - code
        tell(f"The run {cause}, and goes on where the loop stands.")
        time.sleep(_WAIT_SECONDS * (in_vain - 1))


def _ended(command: Sequence[str], name: str) -> int:
    child = subprocess.Popen(command, env={**os.environ, RUN: name})

    def hand_on(number: int, frame: FrameType | None) -> None:
        child.terminate()

    before = signal.signal(signal.SIGINT, signal.SIG_IGN), signal.signal(signal.SIGTERM, hand_on)
    try:
        return child.wait()
    finally:
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
            signal.signal(number, handler)
