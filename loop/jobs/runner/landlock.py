"""Landlock: what a process and all that it starts may still open, for good. And a network of its own, where it may.

Standard library only, Python 3.9: the runner has it from here, and an evaluator as one of the parts beside it (a
link here, a copy there). Where the kernel has none, what is not hidden is said. It also keeps such a process from
looking into those that aren't as confined as it is. As a program, `python -I -S landlock.py`, it says what this machine
can do.
"""

from __future__ import annotations

import json
import os
import stat
import struct
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ctypes

# The kernel's own numbers (linux/landlock.h); the system calls have the same ones on every architecture.
_CREATE, _ADD, _RESTRICT = 444, 445, 446
_NO_NEW_PRIVILEGES, _SET_SECCOMP, _FILTER = 38, 22, 2
_EXECUTE, _WRITE, _READ, _LIST, _TRUNCATE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14
_ON_FILES = _EXECUTE | _WRITE | _READ | _TRUNCATE
_BIND_TCP, _CONNECT_TCP = 1 << 0, 1 << 1
# Abstract UNIX sockets and signals, as far as other processes aren't as confined.
_SCOPED = 1 << 0 | 1 << 1
_NEW_USER, _NEW_IPC, _NEW_NET = 0x10000000, 0x08000000, 0x40000000
_SET_FLAGS, _UP = 0x8914, 1
_DROP_FROM_ALL, _OPEN_OTHERS, _CAPABILITIES = 24, 1, 0x20080522

# Where Python finds packages, as it was before any script ran: a .pth file may name folders outside of the prefix.
_PACKAGES = tuple(Path(one).resolve() for one in sys.path if one)

SEEN = "PROGRESSIVE_TRAINING_SEEN"
"""The variable that tells a job, as JSON, the paths that Landlock leaves it: what is around them it can't list."""
_SEEN = tuple(map(Path, json.loads(os.environ.get(SEEN, "[]"))))  # as it was before any script ran

LOOK = _EXECUTE | _READ | _LIST
LIST = _LIST
EVERYTHING = (1 << 13) - 1 | 1 << 13 | _TRUNCATE
"""All that a kernel knows how to forbid; an older one knows less."""


def version() -> int:
    """What this kernel knows of it; 0 for nothing."""
    if sys.platform != "linux":
        return 0
    return max(0, _library().syscall(_CREATE, None, 0, 1))


def _library() -> ctypes.CDLL:
    import ctypes  # only where it is used: a runner's start counts in milliseconds

    return ctypes.CDLL(None, use_errno=True)


def _errno() -> int:
    import ctypes

    return ctypes.get_errno()


def restrict(allowed: Iterable[tuple[Path, int]], *, tcp: bool = True) -> str | None:
    """Leaves this process the rights to these paths and what lies below them, and no others.

    Returns why not, if it can't. Where the kernel knows how, it also signals nobody outside, and no abstract socket of
    others can be spoken to; and without `tcp` nobody at all by TCP. Paths that aren't there are left out.
    """
    if sys.platform != "linux":
        return "Landlock needs Linux"
    library, known = _library(), version()
    if not known:
        return "this kernel has no Landlock"
    handled = (1 << 13) - 1 | (1 << 13 if known >= 2 else 0) | (_TRUNCATE if known >= 3 else 0)
    network = _BIND_TCP | _CONNECT_TCP if known >= 4 and not tcp else 0
    attributes = struct.pack("=QQQ", handled, network, _SCOPED if known >= 6 else 0)
    rules = library.syscall(_CREATE, attributes, 24 if known >= 6 else 16 if known >= 4 else 8, 0)
    if rules < 0:
        return "no Landlock rules can be made: " + os.strerror(_errno())
    for path, rights in allowed:
        _allow(library, rules, path, rights & handled)
    if library.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) or library.syscall(_RESTRICT, rules, 0):
        return "Landlock can't be used here: " + os.strerror(_errno())
    os.close(rules)
    return None


def confine(hidden: Iterable[Path], kept: Iterable[Path] = (), writable: Iterable[Path] = ()) -> str | None:
    """Lets this process see nothing of `hidden` but `kept`, and write in `writable` and to devices only.

    Returns why not, if it can't. Where the kernel knows how, it also signals nobody outside, and no abstract socket of
    others can be spoken to.
    """
    closed = frozenset(path.resolve() for path in hidden)
    packages = [one for one in _PACKAGES if not any(one == path or one in path.parents for path in closed)]
    packages = [one for one in packages if not any(path in one.parents for path in closed)]
    # Nothing around what is hidden is seen the second time, since the first time has hidden that it is there.
    looked_at = (*around(Path("/"), closed), *kept, *packages, Path(sys.prefix), Path(sys.base_prefix))
    # CUDA names its threads in /proc/self/task, and doesn't begin where it may not. Memory of others isn't to be had
    # there: a process that is confined may not trace one that is less so.
    used = (*writable, *around(Path("/dev"), closed), Path("/proc/self"))
    return restrict([*((path, LOOK) for path in looked_at), *((path, EVERYTHING) for path in used)])


def around(place: Path, hidden: Iterable[Path]) -> Iterator[Path]:
    """Everything below `place` that is neither hidden nor on the way to it. Links are left out: their targets count.

    Of a folder that this process may not list, it is what was left to it from the start.
    """
    closed = frozenset(hidden)
    above = {parent for path in closed for parent in path.parents}
    places = [place]
    for one in places:
        try:
            with os.scandir(one) as found:
                entries = [one / entry.name for entry in found if not entry.is_symlink()]
        except OSError:
            entries = [path for path in _SEEN if one in path.parents and closed.isdisjoint(path.parents)]
        places += [entry for entry in entries if entry in above and entry not in closed]
        yield from (entry for entry in entries if entry not in above and entry not in closed)


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


def filter_calls(rules: bytes) -> None:
    """Puts a filter before this process's system calls; restrict() comes before. Raises: OSError."""
    import ctypes

    library = _library()
    lines = ctypes.create_string_buffer(rules, len(rules))
    program = struct.pack("HxxxxxxP", len(rules) // 8, ctypes.addressof(lines))
    if library.prctl(_SET_SECCOMP, _FILTER, ctypes.c_char_p(program), 0, 0):
        raise OSError(_errno(), "the system calls can't be filtered")


def drop_capabilities() -> None:
    """Takes from root, and from what it starts, all that root may beyond an ordinary user but to open others' files.

    With more of them it reads the variables of any process, whatever Landlock says. Raises: OSError.
    """
    if os.geteuid():
        return
    library = _library()
    for capability in range(64):  # those that this kernel doesn't know are refused
        if capability != _OPEN_OTHERS:
            library.prctl(_DROP_FROM_ALL, capability, 0, 0, 0)
    kept = 1 << _OPEN_OTHERS
    if library.capset(struct.pack("Ii", _CAPABILITIES, 0), struct.pack("6I", kept, kept, 0, 0, 0, 0)):
        raise OSError(_errno(), "capabilities can't be dropped")


def leave_network() -> str | None:
    """Moves this process, of one thread, where there is no network but a loopback; why not, if it can't."""
    library, uid, gid = _library(), os.geteuid(), os.getegid()
    if uid or library.unshare(_NEW_NET | _NEW_IPC):
        if library.unshare(_NEW_USER | _NEW_NET | _NEW_IPC):
            return "no network namespace can be made: " + os.strerror(_errno())
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            Path("/proc/self", name).write_text(text)
    return _loopback_up()


def _loopback_up() -> str | None:
    import fcntl
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        try:
            fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sh14x", b"lo", _UP))
        except OSError as error:
            return "there is no loopback: " + str(error.strerror)
    return None


def main() -> None:
    """Prints what holds here, tried out on this very process."""
    try:
        network = leave_network()
    except OSError as error:
        network = str(error)
    found = {"version": version(), "network": network, "files": restrict([], tcp=False)}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
