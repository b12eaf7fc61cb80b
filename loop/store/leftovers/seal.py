"""Takes a process every way to the rest of the machine that it doesn't need; standard library only.

Landlock holds for good, on the process and all that it starts. Where the kernel has none, what remains is that the
process is another one than the server.
"""

import ctypes
import os
import resource
import signal
import sys
from types import FrameType

# The kernel's own numbers (linux/landlock.h); the system calls have the same ones on every architecture.
_CREATE, _RESTRICT = 444, 446
_NO_NEW_PRIVILEGES, _SET_DUMPABLE = 38, 4
_FILES, _REFER, _TRUNCATE, _DEVICES = (1 << 13) - 1, 1 << 13, 1 << 14, 1 << 15
_TCP, _SCOPED = 0b11, 0b11  # bind and connect; abstract sockets and signals


def seal() -> bool:
    """From here on this process opens no path, no TCP connection, and signals nobody else; False without Landlock."""
    if sys.platform != "linux":
        return False
    library = ctypes.CDLL(None, use_errno=True)
    library.prctl(_SET_DUMPABLE, 0, 0, 0, 0)
    version = library.syscall(_CREATE, None, 0, 1)
    if version < 1:
        return False
    files = _FILES
    for since, right in ((2, _REFER), (3, _TRUNCATE), (5, _DEVICES)):
        files |= right if version >= since else 0
    attributes = (ctypes.c_uint64 * 3)(files, _TCP if version >= 4 else 0, _SCOPED if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    rules = library.syscall(_CREATE, ctypes.byref(attributes), size, 0)
    if rules < 0:
        return False
    try:
        return not library.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) and not library.syscall(_RESTRICT, rules, 0)
    finally:
        os.close(rules)


def limit(seconds: int, memory: int) -> None:
    """This process may use so many seconds of processor time and bytes of memory, and write no file.

    Raises `TimeoutError` in what goes on when the time is over; a second later the process is killed.
    """
    signal.signal(signal.SIGXCPU, _over)
    for which, most in (
        (resource.RLIMIT_CPU, (seconds, seconds + 1)),
        (resource.RLIMIT_AS, (memory, memory)),
        (resource.RLIMIT_FSIZE, (0, 0)),
        (resource.RLIMIT_CORE, (0, 0)),
    ):
        hard = resource.getrlimit(which)[1]
        within = most if hard == resource.RLIM_INFINITY else (min(most[0], hard), min(most[1], hard))
        resource.setrlimit(which, within)


def _over(_number: int, _frame: FrameType | None) -> None:
    raise TimeoutError
