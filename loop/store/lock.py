"""The project's one lock, held for each mutation and never while a job runs."""

import fcntl
import os
import time
from collections.abc import Generator
from contextlib import contextmanager

from ..errors import Busy, LoopError, ProjectError
from .journal import now
from .paths import PREPDATA, STATE, Workspace

WAIT_SECONDS = 30.0
_LOCK_POLL_SECONDS = 0.01
_IGNORED = f"{STATE}/.gitignore"


@contextmanager
def locked(workspace: Workspace, *, wait_seconds: float = WAIT_SECONDS) -> Generator[None]:
    """Holds the project's one lock for a mutation; never while a job runs.

    Meanwhile a file beside it names the owner, for people. Finding one there means that its writer was killed; the
    half-written files of that process are deleted first.
    Raises `Busy` if another process keeps it for `wait_seconds`, `ProjectError` if the project can't be written.
    """
    try:
        workspace.tree.make_folder(STATE)
        # Permanent: unlinking a lock lets two processes each hold "the" lock.
        with workspace.tree.lock_file(workspace.lock) as handle:
            _acquire(handle, workspace, wait_seconds)
            _take_over(workspace)
            try:
                yield
            except LoopError:
                workspace.tree.remove(workspace.lock_owner, durable=False)
                raise
            # Not after any other error: a write that the disk refused may have left something.
            workspace.tree.remove(workspace.lock_owner, durable=False)
    except PermissionError as error:
        raise ProjectError(
            f"can't be written ({error.strerror})", where=str(workspace.root), hint="make the folder writable"
        ) from error


def _acquire(handle: int, workspace: Workspace, wait_seconds: float) -> None:
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                owner = _owner(workspace)
                raise Busy(f"another process works on this project ({owner})", hint="call again later") from error
            time.sleep(_LOCK_POLL_SECONDS)


def _take_over(workspace: Workspace) -> None:
    if workspace.tree.kind(workspace.lock_owner) is not None:
        workspace.tree.drop_staging(own=STATE, without=PREPDATA.split("/")[0])
        workspace.tree.remove(workspace.lock_owner)
    # Not staged: until it is there, nothing would tell that something was left. Nor synced: nothing is committed by it,
    # and what a power cut leaves behind without it is a hidden file.
    workspace.tree.append(workspace.lock_owner, f"pid {os.getpid()} since {now()}\n".encode(), durable=False)
    if not workspace.tree.is_file(_IGNORED):
        workspace.tree.write(_IGNORED, b"*\n")


def _owner(workspace: Workspace) -> str:
    try:
        return workspace.tree.read(workspace.lock_owner).decode(errors="replace").strip()
    except FileNotFoundError:  # it has just let go
        return "unknown"
