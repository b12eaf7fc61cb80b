"""In a runner that waits: gives folders to a sandbox that runs already.

Standard library only: the runner's interpreter knows no package. A spare's sandbox is made before anybody knows which
folders are its job's, and nobody inside may get a capability to mount them. But bubblewrap's mounts receive what is
mounted in the namespace that it was started from. So a process of ours owns a namespace in between: it starts out like
the machine's own, the sandbox is started from it, and a folder that is later bound in it appears in the sandbox over
the one that was there. Where a sandbox has a folder that holds nothing but its job's own, that is an empty one of
ours, and what is bound in ours appears. Linux only; for an ordinary user it lies in a user namespace.
"""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..runner import processes

if TYPE_CHECKING:
    import ctypes

ANSWER_SECONDS = 20.0
_CLONE_NEWNS, _CLONE_NEWUSER = 0x00020000, 0x10000000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_REMOUNT, _MS_BIND, _MS_REC = 1, 2, 4, 32, 4096, 16384
_MS_PRIVATE, _MS_SLAVE, _MS_SHARED = 1 << 18, 1 << 19, 1 << 20
_MNT_DETACH = 2
STAGE, DOORS = "stage", "doors"
"""The folder of a spare that is mounted on. Below the second, folder n appears in place of the nth that holds a job's
own."""

# statvfs says of a mount what remounting it has to say again: an ordinary user may not take any of it away.
_KEPT_FLAGS = {1: 1, 2: 2, 4: 4, 8: 8, 1024: 1024, 2048: 2048, 4096: 1 << 21}


class Doorway:
    """The namespace in between, and the process that holds it and mounts in it. It makes `stage`, an empty folder.

    `doors` are the folders of the sandbox that hold nothing but its job's own. Raises: OSError where this machine
    doesn't let us.
    """

    def __init__(self, stage: Path, doors: Sequence[str]) -> None:
        stage.mkdir()
        ours, theirs = socket.socketpair()
        self._namespaces: list[int] = []
        self.pid = os.fork()
        if self.pid == 0:
            _live(theirs, stage, doors)
        theirs.close()
        self._channel = ours
        self._channel.settimeout(ANSWER_SECONDS)
        if (fault := self._answer()) is not None:
            self.close()
            raise OSError(f"no mount namespace of our own: {fault}")
        names = ["mnt"] if os.geteuid() == 0 else ["user", "mnt"]
        self._namespaces = [os.open(f"/proc/{self.pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC) for name in names]

    def enter(self) -> None:
        """In a child that is about to become the sandbox. Raises: OSError."""
        for namespace in self._namespaces:
            _check(_libc().setns(namespace, 0), "setns")

    def open(self, folders: Iterable[tuple[str, bool]]) -> str | None:
        """Gives the folders to the sandbox, to be read or (True) also written; says what went wrong, or None."""
        self._channel.sendall(json.dumps(list(folders)).encode() + b"\n")
        return self._answer()

    def close(self) -> None:
        """Nobody can open anything after this."""
        self._channel.close()
        for namespace in self._namespaces:
            os.close(namespace)
        self._namespaces = []
        try:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        except (ProcessLookupError, ChildProcessError):  # it has ended and was waited for
            return

    def _answer(self) -> str | None:
        try:
            said = self._channel.recv(4096).decode(errors="replace")
        except OSError as error:
            return str(error)
        return None if said == "ok" else said or "its process died"


def _live(channel: socket.socket, stage: Path, doors: Sequence[str]) -> None:
    """The process in between: makes its namespace, waits for one list of folders, binds them, and ends."""
    try:
        parent = os.getppid()
        number = channel.fileno()
        os.closerange(3, number)
        os.closerange(number + 1, 1 << 16)
        _own_namespace(stage, len(doors))
        processes.die_with_parent()
        if os.getppid() != parent:
            os._exit(1)
        channel.sendall(b"ok")
        line = b""
        while not line.endswith(b"\n"):
            data = channel.recv(1 << 16)
            if not data:
                os._exit(0)
            line += data
        for number, (folder, writable) in enumerate(json.loads(line)):
            _open(folder, _place(folder, stage / DOORS, doors), stage / f"aside-{number}", writable=writable)
        channel.sendall(b"ok")
    except (OSError, ValueError, AttributeError, ImportError) as error:  # a Python that was built without libffi
        channel.sendall(str(error).encode()[:4000] or b"failed")
    finally:
        os._exit(0)


def _own_namespace(stage: Path, doors: int) -> None:
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0:
        _check(_libc().unshare(_CLONE_NEWNS), "unshare")
    else:
        _check(_libc().unshare(_CLONE_NEWNS | _CLONE_NEWUSER), "unshare")
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            Path("/proc/self", name).write_text(text)
    # What is mounted here from now on reaches the sandbox, which receives from it, and never the machine.
    _mount(None, "/", _MS_SLAVE | _MS_REC)
    _mount(None, "/", _MS_SHARED | _MS_REC)
    _mount("tmpfs", str(stage), 0, "tmpfs")
    _mount(None, str(stage), _MS_PRIVATE)
    for number in range(doors):
        (stage / DOORS / str(number)).mkdir(parents=True)
    if doors:
        _mount(str(stage / DOORS), str(stage / DOORS), _MS_BIND)
        _mount(None, str(stage / DOORS), _MS_SHARED)


def _place(folder: str, opened: Path, doors: Sequence[str]) -> Path:
    """Where to bind a folder so that the sandbox sees it in its place."""
    for number, door in enumerate(doors):
        if Path(folder).is_relative_to(door):
            return opened / str(number) / Path(folder).relative_to(door)
    return Path(folder)


def _open(folder: str, place: Path, aside: Path, *, writable: bool) -> None:
    """Binds `folder` at `place` with the flags that bubblewrap gives. They must be set before the sandbox sees it."""
    flags = sum(flag for seen, flag in _KEPT_FLAGS.items() if os.statvfs(folder).f_flag & seen)
    flags |= _MS_NOSUID | _MS_NODEV | (0 if writable else _MS_RDONLY)
    if os.path.isdir(folder):  # noqa: PTH112 - as the rest of what is mounted
        aside.mkdir()
        place.mkdir(parents=True, exist_ok=True)
    else:
        aside.touch()
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch(exist_ok=True)
    _mount(folder, str(aside), _MS_BIND | _MS_REC)
    _mount(None, str(aside), _MS_PRIVATE | _MS_REC)
    _mount(None, str(aside), _MS_BIND | _MS_REMOUNT | flags)
    _mount(str(aside), str(place), _MS_BIND | _MS_REC)
    _check(_libc().umount2(os.fsencode(aside), _MNT_DETACH), "umount")


def _mount(source: str | None, target: str, flags: int, kind: str | None = None) -> None:
    import ctypes

    words = [None if word is None else os.fsencode(word) for word in (source, target, kind)]
    _check(_libc().mount(words[0], words[1], words[2], ctypes.c_ulong(flags), None), f"mount on {target}")


def _check(result: int, what: str) -> None:
    import ctypes

    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _libc() -> ctypes.CDLL:
    import ctypes  # only where a sandbox is used: a runner's start counts in milliseconds

    return ctypes.CDLL(None, use_errno=True)
