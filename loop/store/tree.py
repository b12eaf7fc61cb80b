"""The one way to open, write and move what lies in a project: confined to its folder, and all or nothing.

Every path is relative to the tree's root and walked one folder at a time by directory handle, without following
symlinks, so that nothing swapped in between check and use leads outside. A write is a temporary file beside the
target, fsync, rename, fsync of the folder: a reader or a crash sees the old bytes or the new ones, never a part.
"""

import errno
import os
import stat
import uuid
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from ..errors import ProjectError, UnsafePath
from .cache import Known
from .moving import CANT_LINK, CANT_RENAME, DEEPEST, STAGING, away, copy_file, move_across

MAX_TEXT_BYTES = 16 * 1024 * 1024
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def split(relative: str) -> tuple[str, ...]:
    """The path's components. Raises `UnsafePath` for an absolute path, `..`, an empty part or a NUL."""
    parts = tuple(relative.split("/"))
    if any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise UnsafePath(f"{relative!r} is not a plain path inside the project", hint="use a path like Models/x.json")
    return parts


class Tree:
    """A folder on disk. Not guaranteed: protection from a process that renames the root folder itself."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.known = Known(root)

    def path(self, relative: str) -> Path:
        """The absolute path, for messages and for programs that we start; never for our own opening."""
        return self.root.joinpath(*split(relative))

    @contextmanager
    def folder(self, parts: tuple[str, ...], *, create: bool = False) -> Generator[int]:
        """A handle on the folder that `parts` name. Raises `FileNotFoundError`, `UnsafePath`."""
        handle = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for depth, part in enumerate(parts):
                if create:
                    try:
                        os.mkdir(part, dir_fd=handle)
                        os.fsync(handle)
                    except FileExistsError:
                        pass  # the open below says whether it is a folder
                try:
                    inner = os.open(part, _FOLDER_FLAGS, dir_fd=handle)
                except OSError as error:
                    if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                        raise
                    raise UnsafePath(
                        "must be a plain folder, not a link or a file",
                        where="/".join(parts[: depth + 1]),
                        hint="move it away, or put a real folder there",
                    ) from error
                os.close(handle)
                handle = inner
            yield handle
        finally:
            os.close(handle)

    def kind(self, relative: str) -> str | None:
        """ "file", "folder", "link", "other", or None where there is nothing."""
        *folder, name = split(relative)
        try:
            with self.folder(tuple(folder)) as handle:
                return _kind_in(handle, name)
        except FileNotFoundError:
            return None

    def walk(self, relative: str) -> Generator[tuple[str, os.stat_result]]:
        """The status of a file, or of a folder and everything in it; follows no links; empty where nothing is.

        Raises `UnsafePath` for more than DEEPEST folders within one another.
        """
        *folder, name = split(relative)
        try:
            with self.folder(tuple(folder)) as handle:
                status = os.stat(name, dir_fd=handle, follow_symlinks=False)
                yield relative, status
                if not stat.S_ISDIR(status.st_mode):
                    return
                for here, inner, names, within in os.fwalk(name, dir_fd=handle, follow_symlinks=False):
                    if here.count("/") > DEEPEST:
                        raise UnsafePath(
                            f"folders are nested deeper than {DEEPEST} levels", where=relative, hint="delete them"
                        )
                    for each in sorted((*inner, *names)):
                        if not each.startswith(STAGING):
                            place = "/".join((*folder, here, each))
                            yield place, os.stat(each, dir_fd=within, follow_symlinks=False)
        except FileNotFoundError:
            return

    def is_file(self, relative: str) -> bool:
        return self.kind(relative) == "file"

    def is_folder(self, relative: str) -> bool:
        return self.kind(relative) == "folder"

    def names(self, relative: str) -> list[str]:
        """Sorted names in a folder; empty where there is no folder. Staging files are left out."""
        try:
            with self.folder(split(relative)) as handle:
                listed = os.listdir(handle)  # noqa: PTH208 - a handle, not a path
                return sorted(name for name in listed if not name.startswith(STAGING))
        except FileNotFoundError:
            return []

    def names_following(self, relative: str) -> list[str]:
        """Sorted names of the folders in a folder of the user's own, through links: a data set may live elsewhere."""
        folder = self.path(relative)
        return sorted(entry.name for entry in folder.iterdir() if entry.is_dir()) if folder.is_dir() else []

    def read_following(self, relative: str) -> bytes:
        """The bytes of a file of the user's own, through links. Raises like `read`; never waits for a FIFO."""
        handle = os.open(self.path(relative), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise UnsafePath("is not a regular file", where=relative, hint="put a real file there")
            return file.read(MAX_TEXT_BYTES)

    @contextmanager
    def opened(self, relative: str) -> Generator[int]:
        """A read handle on a regular file. Raises `FileNotFoundError`, `UnsafePath` (a link, FIFO, device …)."""
        *folder, name = split(relative)
        with self.folder(tuple(folder)) as handle:
            try:
                # O_NONBLOCK: a FIFO in the file's place must not block the server.
                inner = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=handle)
            except FileNotFoundError:
                raise
            except OSError as error:
                raise UnsafePath(
                    f"can't be opened as a plain file ({error.strerror})", where=relative, hint="put a real file there"
                ) from error
        try:
            if not stat.S_ISREG(os.fstat(inner).st_mode):
                raise UnsafePath("is not a regular file", where=relative, hint="put a real file there")
            yield inner
        finally:
            os.close(inner)

    def read(self, relative: str, *, limit: int = MAX_TEXT_BYTES) -> bytes:
        """The file's bytes. Raises `FileNotFoundError`, `UnsafePath`, `ProjectError` (larger than `limit`)."""
        with self.opened(relative) as handle, os.fdopen(os.dup(handle), "rb") as file:
            # Python makes room at once for as many bytes as it is asked for: no more than the file has.
            size = min(os.fstat(handle).st_size, limit)
            data = file.read(size + 1)
            if len(data) > size:  # it has grown meanwhile, or is too large
                data += file.read(limit + 1 - len(data))
        if len(data) > limit:
            raise ProjectError(f"is larger than {limit} bytes", where=relative, hint="shorten or split the file")
        return data

    def write(self, relative: str, data: bytes, *, durable: bool = True) -> None:
        """Puts `data` there, replacing what was; all or nothing, durable on return if asked to be."""
        *folder, name = split(relative)
        with self.folder(tuple(folder), create=True) as handle:
            staged = _stage(handle, data, durable=durable)
            try:
                if _kind_in(handle, name) == "folder":
                    raise UnsafePath("is a folder where a file belongs", where=relative, hint="move it away")
                os.rename(staged, name, src_dir_fd=handle, dst_dir_fd=handle)
            except BaseException:
                os.unlink(staged, dir_fd=handle)
                raise
            if durable:
                os.fsync(handle)

    def create(self, relative: str, data: bytes) -> bool:
        """Puts `data` there if nothing is there; False if something is. Decided by the file system, not by a look."""
        *folder, name = split(relative)
        with self.folder(tuple(folder), create=True) as handle:
            staged = _stage(handle, data, durable=True)
            try:
                os.link(staged, name, src_dir_fd=handle, dst_dir_fd=handle, follow_symlinks=False)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in CANT_LINK:
                    raise
                if _kind_in(handle, name) is not None:  # a file system without links decides nothing; the lock does
                    return False
                os.rename(staged, name, src_dir_fd=handle, dst_dir_fd=handle)
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(staged, dir_fd=handle)
            os.fsync(handle)
            return True

    def append(self, relative: str, data: bytes, *, durable: bool = True) -> None:
        """Adds `data` at the file's end, durable on return if asked to be. A crash may leave a torn tail."""
        *folder, name = split(relative)
        with self.folder(tuple(folder), create=True) as handle:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            file = os.open(name, flags, 0o644, dir_fd=handle)
            try:
                _write_all(file, data)
                if durable:
                    os.fsync(file)
            finally:
                os.close(file)

    @contextmanager
    def lock_file(self, relative: str) -> Generator[int]:
        """A handle on an empty file to lock, which is made if need be. Raises `UnsafePath` for anything but a file."""
        *folder, name = split(relative)
        with self.folder(tuple(folder)) as handle:
            if _kind_in(handle, name) is None:
                flags = os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
                os.close(os.open(name, flags, 0o644, dir_fd=handle))
        with self.opened(relative) as lock:
            yield lock

    def drop_staging(self, *, own: str, without: str) -> None:
        """Deletes the temporary files of writes and moves that were cut off. Call it only while nobody writes.

        It skips the top-level folder `without`, and hidden folders other than `own`.
        """
        for folder, inner, names, handle in os.fwalk(self.root, follow_symlinks=False):
            left_out = without if Path(folder) == self.root else None
            inner[:] = [name for name in inner if name == own or not (name.startswith(".") or name == left_out)]
            for name in [name for name in inner if name.startswith(STAGING)]:
                inner.remove(name)
                away(handle, name)
            for name in names:
                if name.startswith(STAGING):
                    os.unlink(name, dir_fd=handle)

    def make_folder(self, relative: str) -> None:
        with self.folder(split(relative), create=True):
            return

    def move(self, source: str, target: str) -> bool:
        """Renames a file or folder inside the tree, replacing a file; False if there is no source.

        To another file system it is copied, with what `move_across` says.
        """
        *source_folder, source_name = split(source)
        *target_folder, target_name = split(target)
        try:
            with (
                self.folder(tuple(source_folder)) as origin,
                self.folder(tuple(target_folder), create=True) as goal,
            ):
                try:
                    os.rename(source_name, target_name, src_dir_fd=origin, dst_dir_fd=goal)
                    os.fsync(goal)
                    os.fsync(origin)
                except OSError as error:
                    if error.errno not in CANT_RENAME:
                        raise
                    move_across(origin, source_name, goal, target_name)
        except FileNotFoundError:
            return False
        return True

    def copy(self, source: str, target: str) -> None:
        """Links a file, or every file of a folder, to a second place; refuses a folder that holds anything but files.

        Both places share the files' content, unless they lie on two file systems. Links are not synced, unlike the rest
        here: dozens of small files would cost more than what they show, and a power cut may take the copy along.
        """
        if self.kind(source) == "folder":
            *folder, name = split(target)
            with self.folder(tuple(folder), create=True) as handle:
                os.mkdir(name, dir_fd=handle)
            for name in self.names(source):
                self.copy(f"{source}/{name}", f"{target}/{name}")
            return
        *origin, source_name = split(source)
        *goal, target_name = split(target)
        with self.opened(source), self.folder(tuple(origin)) as here, self.folder(tuple(goal)) as there:
            try:
                os.link(source_name, target_name, src_dir_fd=here, dst_dir_fd=there, follow_symlinks=False)
            except OSError as error:
                if error.errno not in CANT_LINK:
                    raise
                copy_file(here, source_name, there, target_name)

    def remove(self, relative: str, *, durable: bool = True) -> None:
        """Deletes a file or a whole folder; a link is deleted, not followed; a mount point is emptied and stays."""
        *folder, name = split(relative)
        try:
            with self.folder(tuple(folder)) as handle:
                if _kind_in(handle, name) == "folder":
                    away(handle, name)
                else:
                    os.unlink(name, dir_fd=handle)
                if durable:
                    os.fsync(handle)
        except FileNotFoundError:
            return


def kind_of(status: os.stat_result) -> Literal["file", "folder", "link", "other"]:
    """What a path without following it is."""
    if stat.S_ISREG(status.st_mode):
        return "file"
    if stat.S_ISDIR(status.st_mode):
        return "folder"
    return "link" if stat.S_ISLNK(status.st_mode) else "other"


def _stage(folder: int, data: bytes, *, durable: bool) -> str:
    name = STAGING + uuid.uuid4().hex
    file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=folder)
    try:
        try:
            _write_all(file, data)
            if durable:
                os.fsync(file)
        finally:
            os.close(file)
    except BaseException:
        os.unlink(name, dir_fd=folder)
        raise
    return name


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _kind_in(folder: int, name: str) -> Literal["file", "folder", "link", "other"] | None:
    try:
        return kind_of(os.stat(name, dir_fd=folder, follow_symlinks=False))
    except FileNotFoundError:
        return None
