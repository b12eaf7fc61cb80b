"""What a process that runs the script's code may still see: less and less, and never more again.

Landlock holds on the process itself and on all that it starts, for good; where the kernel has none, what is not hidden
is said. Landlock also keeps such a process from looking into those that aren't as confined as it is.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeArgument=false, reportUnknownLambdaType=false
# pyright: reportPrivateUsage=false
# What the script and torch hand over has no type here.

# The kernel's own numbers (linux/landlock.h); the system calls have the same ones on every architecture.
_CREATE, _ADD, _RESTRICT = 444, 445, 446
_NO_NEW_PRIVILEGES, _SET_DUMPABLE = 38, 4
_EXECUTE, _WRITE, _READ, _LIST, _TRUNCATE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14
# Abstract UNIX sockets and signals, as far as other processes aren't as confined.
_SCOPED = 1 << 0 | 1 << 1
SHARED_MEMORY = Path("/dev/shm")
_ON_FILES = _EXECUTE | _WRITE | _READ | _TRUNCATE
_LOOK = _EXECUTE | _READ | _LIST
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


def confine(hidden: Iterable[Path], kept: Iterable[Path] = (), writable: Iterable[Path] = ()) -> str | None:
    """Lets this process see nothing of `hidden` but `kept`, and write in `writable` and to devices only.

    Returns why not, if it can't. Where the kernel knows how, it also signals nobody outside, and no abstract socket of
    others can be spoken to.
    """
    if sys.platform != "linux":
        return "Landlock needs Linux"
    library = ctypes.CDLL(None, use_errno=True)
    version = library.syscall(_CREATE, None, 0, 1)
    if version < 1:
        return "this kernel has no Landlock"
    handled = (1 << 13) - 1 | (1 << 13 if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    attributes = (ctypes.c_uint64 * 3)(handled, 0, _SCOPED if version >= 6 else 0)
    rules = library.syscall(_CREATE, ctypes.byref(attributes), 24 if version >= 6 else 8, 0)
    if rules < 0:
        return "no Landlock rules can be made: " + os.strerror(ctypes.get_errno())
    closed = frozenset(path.resolve() for path in hidden)
    packages = [one for one in _PACKAGES if not any(one == path or one in path.parents for path in closed)]
    packages = [one for one in packages if not any(path in one.parents for path in closed)]
    # Nothing around what is hidden is seen the second time, since the first time has hidden that it is there.
    for path in [*_around(Path("/"), closed), *kept, *packages, Path(sys.prefix), Path(sys.base_prefix)]:
        _allow(library, rules, path, _LOOK)
    # CUDA names its threads in /proc/self/task, and doesn't begin where it may not. Memory of others isn't to be had
    # there: a process that is confined may not trace one that is less so.
    for path in (*writable, *_around(Path("/dev"), closed), Path("/proc/self")):
        _allow(library, rules, path, handled)
    if library.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) or library.syscall(_RESTRICT, rules, 0):
        return "Landlock can't be used here: " + os.strerror(ctypes.get_errno())
    os.close(rules)
    return None


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


def _around(place: Path, hidden: frozenset[Path]) -> Iterator[Path]:
    """Everything below `place` that is neither hidden nor on the way to it. Links are left out: their targets count."""
    above = {parent for path in hidden for parent in path.parents}
    places = [place]
    for one in places:
        try:
            with os.scandir(one) as found:
                entries = [one / entry.name for entry in found if not entry.is_symlink()]
        except OSError:
            continue
        places += [entry for entry in entries if entry in above and entry not in hidden]
        yield from (entry for entry in entries if entry not in above and entry not in hidden)


def _allow(library: ctypes.CDLL, rules: int, path: Path, rights: int) -> None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what can't be opened can't be read either
    try:
        if not stat.S_ISDIR(os.fstat(handle).st_mode):
            rights &= _ON_FILES
        library.syscall(_ADD, rules, 1, struct.pack("<Qi", rights, handle), 0)
    finally:
        os.close(handle)
