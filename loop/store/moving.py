"""Between folders by handle: to another file system, or away, whatever a script has put there.

A rename or a hard link can't cross from one mount to another, be it a bind mount of the same disk, and on an overlay
not even a folder of its lower layer can be renamed. Then the content is copied, synced and renamed into place.
"""

import errno
import os
import shutil
import stat
import uuid
from collections.abc import Generator
from contextlib import contextmanager

STAGING = ".staging-"
_AWAY = ".away-"  # in a folder that goes as a whole: no write that was cut off
DEEPEST = 100
"""Folders within folders, from a version's own one; a script has no use for more."""
CANT_RENAME = frozenset({errno.EXDEV, errno.EBUSY})
CANT_LINK = frozenset({errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK})
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK_BYTES = 16 << 20


def move_across(source: int, name: str, target: int, new: str) -> None:
    """Copies a file or folder to another file system, puts it in place at once, and then takes the first one away.

    A crash in between leaves the source, and the move is made again; it replaces what it had put there. Left behind
    are FIFOs and the like, and what lies deeper than DEEPEST folders. A mount point itself stays, empty.
    """
    staged = STAGING + uuid.uuid4().hex
    _copy(source, name, target, staged, 0)
    if is_folder(target, new):
        away(target, new)
    os.rename(staged, new, src_dir_fd=target, dst_dir_fd=target)
    os.fsync(target)
    if is_folder(source, name):
        away(source, name)
    else:
        os.unlink(name, dir_fd=source)
    os.fsync(source)


def copy_file(source: int, name: str, target: int, new: str) -> None:
    """Copies a plain file to where no link to it can be, all or nothing. Raises `FileExistsError`."""
    if exists(target, new):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), new)
    staged = STAGING + uuid.uuid4().hex
    _copy(source, name, target, staged, 0)
    os.rename(staged, new, src_dir_fd=target, dst_dir_fd=target)
    os.fsync(target)


def _copy(source: int, name: str, target: int, new: str, depth: int) -> None:
    status = os.stat(name, dir_fd=source, follow_symlinks=False)
    if stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(name, dir_fd=source), new, dir_fd=target)
    elif stat.S_ISREG(status.st_mode):
        _copy_content(source, name, target, new)
    elif stat.S_ISDIR(status.st_mode) and depth <= DEEPEST:
        os.mkdir(new, dir_fd=target)
        with _entered(source, name) as inner, _entered(target, new) as beside:
            for each in os.listdir(inner):  # noqa: PTH208 - a handle, not a path
                _copy(inner, each, beside, each, depth + 1)
            os.fsync(beside)


def _copy_content(source: int, name: str, target: int, new: str) -> None:
    inner = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=source)
    with os.fdopen(inner, "rb") as original:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        mode = os.fstat(inner).st_mode & 0o777
        with os.fdopen(os.open(new, flags, mode, dir_fd=target), "wb") as copy:
            shutil.copyfileobj(original, copy, _CHUNK_BYTES)
            copy.flush()
            os.fsync(copy.fileno())


def away(parent: int, name: str) -> None:
    """Deletes a folder with everything in it, however deep; a mount point stays, empty."""
    with _entered(parent, name) as folder:
        # What lies deeper is brought up, a level at a time: no depth needs more than two handles, or a recursion.
        stays = set[str]()
        while names := set(os.listdir(folder)) - stays:  # noqa: PTH208 - a handle, not a path
            for each in names:
                if not is_folder(folder, each):
                    os.unlink(each, dir_fd=folder)
                elif not _raise(folder, each):
                    stays.add(each)
    _drop(parent, name)


def _raise(folder: int, name: str) -> bool:
    """Brings what is in an inner folder up beside it, and removes that; False for a mount point, which stays."""
    with _entered(folder, name) as inner:
        for each in os.listdir(inner):  # noqa: PTH208 - a handle, not a path
            if not is_folder(inner, each):
                os.unlink(each, dir_fd=inner)
                continue
            os.chmod(each, 0o700, dir_fd=inner)  # its owner may have closed it to himself
            try:
                os.rename(each, _AWAY + uuid.uuid4().hex, src_dir_fd=inner, dst_dir_fd=folder)
            except OSError as error:
                if error.errno not in CANT_RENAME:
                    raise
                away(inner, each)  # in a mount: there are few of these within one another
    return _drop(folder, name)


def _drop(parent: int, name: str) -> bool:
    try:
        os.rmdir(name, dir_fd=parent)
    except OSError as error:
        if error.errno not in (errno.EBUSY, errno.ENOTEMPTY):  # a mount point, or one is left in it
            raise
        return False
    return True


@contextmanager
def _entered(parent: int, name: str) -> Generator[int]:
    try:
        handle = os.open(name, _FOLDER, dir_fd=parent)
    except PermissionError:
        os.chmod(name, 0o700, dir_fd=parent)
        handle = os.open(name, _FOLDER, dir_fd=parent)
    try:
        yield handle
    finally:
        os.close(handle)


def exists(folder: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def is_folder(folder: int, name: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False
