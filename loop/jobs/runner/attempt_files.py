"""The files of one attempt folder: names, whole-file writes, bounded reads, and the lock that means "alive".

Standard library only: the runner's interpreter knows no package.
"""

import fcntl
import json
import os
import stat
from pathlib import Path

JOB = "job.json"  # what is to run; made once, its presence means "submitted"
BATCH = "batch.json"  # who was asked to run it; made before that, its presence means "not on this machine"
LOG = "log.txt"  # stdout and stderr of the script, merged
LOCK = "run.lock"  # held by the runner for its life; never unlinked, since a lock belongs to the inode
RUNNER = "runner.json"  # who the runner is
HEARTBEAT = "heartbeat.json"  # how far it is; rewritten every few seconds
RESULT = "result.json"  # how it ended; the last file to be written
CRASH = "runner_error.txt"  # the runner's own traceback, were it to have a bug
RESERVE = "reserve"  # room on the disk, given up for the result
SCRATCH = "tmp"  # the script's TMPDIR; removed at the end

MAX_JSON_BYTES = 1 << 20


def write_text(path: Path, text: str, *, durable: bool = True) -> None:
    """Replaces `path` as a whole: no reader ever sees a part of it.

    `durable` also survives a power cut. Raises: OSError, and leaves nothing beside then.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    # An argument or a variable may be private: readable by its owner only.
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode())
            if durable:
                file.flush()
                os.fsync(file.fileno())
        beside.replace(path)
    except OSError:
        beside.unlink()
        raise
    if durable:
        sync_folder(path.parent)


def write_json(path: Path, value: object, *, durable: bool = True) -> None:
    """Replaces `path` by `value` as JSON text; see write_text."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n", durable=durable)


def sync_folder(folder: Path) -> None:
    """Makes a rename or a link in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_regular(path: Path) -> int:
    """A read-only descriptor of a plain file; the script may have put anything in its place.

    Raises: OSError, also for a symlink, a FIFO, a device or a folder. Never blocks.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path.name} is not a plain file")
    return descriptor


def read_text(path: Path) -> str:
    """The text of a small plain file. Raises: OSError (also above 1 MiB), UnicodeDecodeError."""
    with os.fdopen(open_regular(path), "rb") as file:
        data = file.read(MAX_JSON_BYTES + 1)
    if len(data) > MAX_JSON_BYTES:
        raise OSError(f"{path.name} is larger than {MAX_JSON_BYTES} bytes")
    return data.decode()


def hold(folder: Path) -> int:
    """Takes the attempt's lock and returns its descriptor; the lock lives as long as any copy of that is open.

    Raises: BlockingIOError when somebody holds it, OSError.
    """
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def is_held(folder: Path) -> bool:
    """Whether a runner (or a submission in progress) lives. Asks with a shared lock: askers don't see each other."""
    try:
        descriptor = open_regular(folder / LOCK)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
