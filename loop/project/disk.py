"""The disk under a project: local or not, room enough, a reserve for when there is none, a bounded trash."""

import os
import re
import shutil
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ..errors import LoopError, ProjectError, RunError
from ..jobs.runner.limits import used_space
from ..rules.execution import ExecutionConfig
from ..store.paths import PREPDATA, RULES_FILE, STATE, Workspace

_GIB = 1 << 30
_MOUNTS = Path("/proc/self/mountinfo")
# Locks and renames there are not what they are on a local disk, or only as its server and mount options have it.
_NETWORK = re.compile(
    r"nfs\d?|cifs|smb\w*|afs|auristorfs|lustre|gpfs|beegfs|ceph|orangefs|pvfs2|glusterfs|panfs|wekafs|quobyte"
    r"|fuse\.(?:sshfs|s3fs|gcsfuse|goofys|mount-s3|rclone|glusterfs|ceph(?:-fuse)?|juicefs|davfs2?|curlftpfs|blobfuse2?)"
)
_RESERVE = f"{STATE}/reserve"
_RESERVE_BYTES = 4 * 1024 * 1024
_FULL_BYTES = 1024 * 1024
_ASIDE = re.compile(r"v(\d+)-(train|eval)-(\d+)")


@dataclass(frozen=True)
class Mount:
    point: str
    kind: str
    source: str


def mount_of(folder: Path, mountinfo: str) -> Mount | None:
    """The mount that holds `folder` (resolved), by the text of /proc/self/mountinfo; None if none does."""
    found: Mount | None = None
    for mount in _mounts(mountinfo):
        inside = mount.point == "/" or str(folder) == mount.point or str(folder).startswith(f"{mount.point}/")
        # Of two on the same point the later one lies on top.
        if inside and (found is None or len(mount.point) >= len(found.point)):
            found = mount
    return found


def _mounts(mountinfo: str) -> Iterator[Mount]:
    for line in mountinfo.splitlines():
        before, separator, after = line.partition(" - ")
        fields, kinds = before.split(" "), after.split(" ")
        if separator and len(fields) >= 5 and len(kinds) >= 2:
            yield Mount(_unescaped(fields[4]), kinds[0], _unescaped(kinds[1]))


def _unescaped(text: str) -> str:
    """The kernel writes blank, tab, newline and backslash as octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def mounts(workspace: Workspace) -> dict[str, Mount]:
    """The mounts that hold the project, Models/, the loop's state and the data sets, as far as they are there."""
    if not _MOUNTS.is_file():
        return {}
    mountinfo = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
    places = {name: workspace.root / name for name in (".", "Models", STATE, PREPDATA)}
    found = {name: mount_of(place.resolve(), mountinfo) for name, place in places.items() if place.exists()}
    return {name: mount for name, mount in found.items() if mount is not None}


def require_local(folder: Path, config: ExecutionConfig, *, mountinfo: str | None = None) -> None:
    """Raises `ProjectError` if `folder` lies on a network file system and the rules don't allow that.

    Not known on systems without /proc: nothing is raised there.
    """
    if config.allow_network_filesystem:
        return
    if mountinfo is None:
        if not _MOUNTS.is_file():
            return
        mountinfo = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
    mount = mount_of(folder, mountinfo)
    if mount is not None and _NETWORK.fullmatch(mount.kind):
        raise ProjectError(
            f"lies on a network file system ({mount.kind}, mounted at {mount.point}), where locks and renames"
            " may not keep two servers apart",
            where=str(folder),
            hint="move the project to a local disk, or let the user set execution_config.allow_network_filesystem"
            f" to true in {RULES_FILE} if its locks work across machines",
        )


def require_room(workspace: Workspace, config: ExecutionConfig) -> None:
    """Raises `RunError` if the project's disk has less room than `min_free_gb`. Nothing was changed by then."""
    free = shutil.disk_usage(workspace.root).free
    if free < config.min_free_gb * _GIB:
        raise RunError(
            f"only {free / _GIB:.2f} GiB are free, and execution_config.min_free_gb is {config.min_free_gb:g};"
            " nothing was started and nothing wiped",
            where=str(workspace.root),
            hint=f"free disk space (what {workspace.trash} holds may be deleted), then call again; no code is at fault",
        )


@contextmanager
def reserved(workspace: Workspace) -> Generator[None]:
    """Sets some disk room aside, once, before a job starts that may fill the disk. Start the job inside the block.

    If that raises, room that was newly set aside is freed again. Hold the project's lock.
    """
    there = workspace.tree.is_file(_RESERVE)
    if not there:
        with suppress(OSError):  # no room: then there is none to set aside
            # Random, so that no file system stores it as less. Its room counts as taken before it is on the disk.
            data = os.urandom(_RESERVE_BYTES // 4) * 4
            workspace.tree.write(_RESERVE, data, durable=False)
    try:
        yield
    except (LoopError, OSError):
        if not there:
            workspace.tree.remove(_RESERVE)
        raise


def give_up_reserve(workspace: Workspace) -> bool:
    """Frees the reserve if the disk is full, so that what happened can still be recorded; True if it did."""
    found = os.statvfs(workspace.root)
    if found.f_bavail * found.f_frsize >= _FULL_BYTES or not workspace.tree.is_file(_RESERVE):
        return False
    workspace.tree.remove(_RESERVE)
    return True


def prune_trash(workspace: Workspace, config: ExecutionConfig) -> tuple[str, ...]:
    """Deletes the oldest trash until the rest fits `trash_gb`; returns the names. Hold the project's lock."""
    names = sorted(workspace.tree.names(workspace.trash), key=_age)
    sizes = [_size(workspace, name) for name in names]
    excess = sum(sizes) - config.trash_gb * _GIB
    gone: list[str] = []
    for name, size in zip(names, sizes, strict=True):
        if excess <= 0:
            break
        workspace.tree.remove(f"{workspace.trash}/{name}")
        gone.append(name)
        excess -= size
    return tuple(gone)


def _size(workspace: Workspace, name: str) -> int:
    """At least the folder's own block, so that `trash_gb` 0 keeps nothing."""
    return used_space(workspace.tree.path(f"{workspace.trash}/{name}"))[0] + 4096


def _age(name: str) -> tuple[int, int, int, str]:
    """Oldest first by version and attempt: times can be set, numbers only grow. What isn't ours goes first."""
    match = _ASIDE.fullmatch(name)
    if match is None:
        return 0, 0, 0, name
    return int(match[1]), int(match[2] == "eval"), int(match[3]), name
