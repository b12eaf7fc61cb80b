"""What a process that runs the script's code may still do, beside what it may see (landlock)."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeArgument=false, reportUnknownLambdaType=false
# pyright: reportPrivateUsage=false
# What the script and torch hand over has no type here.

_SET_DUMPABLE = 4
SHARED_MEMORY = Path("/dev/shm")
# What a model that infers has no use for, by the names of Python's audit events.
_REFUSED = (
    *("socket.connect", "socket.bind", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork"),
    *("gc.get_objects", "gc.get_referrers", "gc.get_referents", "ctypes.dlopen", "os.kill", "os.killpg"),
)
# Where Python finds packages, as it was before any script ran: a .pth file may name folders outside of the prefix.
_PACKAGES = tuple(Path(one).resolve() for one in sys.path if one)


def keep_to_itself() -> None:
    """No other process of this user may look into this one from now on (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_DUMPABLE, 0, 0, 0, 0)


def refuse_programs() -> None:
    """From here on this process starts no program, opens no connection, and searches nobody's objects."""

    def hook(event: str, _arguments: tuple[Any, ...]) -> None:
        if event in _REFUSED:
            raise PermissionError(f"{event} isn't allowed while a model answers")

    sys.addaudithook(hook)


def close_others(kept: Iterable[int]) -> None:
    """Closes what a fork has inherited besides its own: the standard streams stay open, and `kept`."""
    first = 3
    for handle in sorted(kept):
        os.closerange(first, handle)
        first = handle + 1
    os.closerange(first, os.sysconf("SC_OPEN_MAX") if sys.platform != "linux" else _last_handle() + 1)


def _last_handle() -> int:
    return max((int(entry.name) for entry in Path("/proc/self/fd").iterdir()), default=2)
