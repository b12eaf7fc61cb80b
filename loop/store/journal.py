"""The one lock, and the append-only journal of what happened."""

import fcntl
import json
import os
import time
import zlib
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import JsonValue

from ..errors import Busy, LoopError, ProjectError
from .paths import PREPDATA, STATE, Workspace

_LOCK_WAIT_SECONDS = 30.0
_LOCK_POLL_SECONDS = 0.01
_TAIL_BYTES = 1 << 16
_IGNORED = f"{STATE}/.gitignore"


@dataclass(frozen=True)
class Event:
    seq: int
    at: str
    event: str
    version: str | None
    detail: Mapping[str, JsonValue]


def now() -> str:
    """The wall clock as ISO-8601 in UTC; for people. Order comes from sequence numbers, never from it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@contextmanager
def locked(workspace: Workspace) -> Generator[None]:
    """Holds the project's one lock for a mutation; never while a job runs.

    The owner record lies beside it meanwhile, for people; one that is found there says that its writer was killed, and
    what that one's writes left is dropped.
    Raises `Busy` if another process keeps it for 30 s, `ProjectError` if the project can't be written.
    """
    try:
        workspace.tree.make_folder(STATE)
        # Permanent: unlinking a lock lets two processes each hold "the" lock.
        with workspace.tree.lock_file(workspace.lock) as handle:
            _acquire(handle, workspace)
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


def _acquire(handle: int, workspace: Workspace) -> None:
    deadline = time.monotonic() + _LOCK_WAIT_SECONDS
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


def record(workspace: Workspace, event: str, version: str | None = None, **detail: JsonValue) -> None:
    """Appends one event; call it with the lock held. The sequence number follows the last whole line's."""
    last, torn = _last(workspace)
    body: dict[str, JsonValue] = {"seq": last + 1, "at": now(), "event": event, "version": version, "detail": detail}
    text = json.dumps(body, ensure_ascii=False)
    # A line that a crash tore is closed first, so that this one stands alone.
    start = "\n" if torn else ""
    line = f'{start}{text[:-1]}, "crc": {zlib.crc32(text.encode())}}}\n'
    workspace.tree.append(workspace.journal, line.encode())


def events(workspace: Workspace, *, most: int = 1000) -> list[Event]:
    """The newest events in order; lines that are torn or don't match their checksum are left out."""
    tail, _ = _tail(workspace, max(_TAIL_BYTES, most * 400))
    return [event for line in tail if (event := _parse(line)) is not None][-most:]


def _last(workspace: Workspace) -> tuple[int, bool]:
    lines, torn = _tail(workspace, _TAIL_BYTES)
    return next((event.seq for line in reversed(lines) if (event := _parse(line))), 0), torn


def _tail(workspace: Workspace, most: int) -> tuple[list[bytes], bool]:
    try:
        with workspace.tree.opened(workspace.journal) as handle:
            size = os.fstat(handle).st_size
            data = os.pread(handle, most, max(0, size - most))
    except FileNotFoundError:
        return [], False
    return data.split(b"\n"), bool(data) and not data.endswith(b"\n")


def _parse(line: bytes) -> Event | None:
    body, separator, crc = line.rpartition(b', "crc": ')
    if not separator:
        return None
    text = body + b"}"
    if crc.rstrip(b"}") != str(zlib.crc32(text)).encode():
        return None
    content = json.loads(text)
    return Event(content["seq"], content["at"], content["event"], content["version"], content["detail"])
