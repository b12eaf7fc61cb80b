"""Hashes of files that may be many and large: read in parts, over several calls if need be, and once for each state."""

import hashlib
import json
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from pydantic import TypeAdapter, ValidationError

from ..errors import ProjectError, StillReading, UnsafePath
from .paths import STATE
from .tree import Tree

BLOCK_BYTES = 64 << 20
TURN_SECONDS = 2.0
_GB = 1e9
_MOST_CACHE_BYTES = 1 << 30


class Entry(NamedTuple):
    """A file as of a size, times and inode; `blocks` are the SHA-256 of its 64 MiB blocks so far.

    The change time is there because whoever edits a file can set its modification time back, and not that one.
    """

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    blocks: tuple[str, ...] = ()
    done: bool = False

    @property
    def sha256(self) -> str:
        """The file's own hash where it is one block; else the hash over its blocks' hashes."""
        return self.blocks[0] if len(self.blocks) == 1 else hashlib.sha256("".join(self.blocks).encode()).hexdigest()

    @property
    def unread(self) -> int:
        return 0 if self.done else max(0, self.size - len(self.blocks) * BLOCK_BYTES)


class _Kept(dict[str, Entry]):
    """What `Tree.known` keeps of a cache file."""


_ENTRIES = TypeAdapter(dict[str, Entry])


def hashes(
    tree: Tree,
    cache: str,
    files: Iterable[tuple[str, Path]],
    *,
    what: str,
    seconds: float = TURN_SECONDS,
    others: bool = False,
) -> dict[str, str]:
    """Name -> hash of every file. `cache` is a path in `tree`; only files whose status changed are read again.

    What it holds of `others` stays there.

    Reads for `seconds` at most, and at least one block. Raises `StillReading`, which says how far it is, when the time
    is over before everything is read: the next call, from any process, goes on there. Raises `OSError`.
    """
    paths = dict(files)
    known = _load(tree, cache)
    current = {name: _present(path, known.get(_as_text(name))) for name, path in paths.items()}
    deadline = time.monotonic() + seconds
    for name, entry in current.items():
        if not entry.done:
            current[name] = _read(paths[name], entry, deadline)
            if time.monotonic() >= deadline:
                break
    kept = {**(known if others else {}), **{_as_text(name): entry for name, entry in current.items()}}
    if kept != known:
        tree.write(cache, json.dumps(kept).encode())
    if not all(entry.done for entry in current.values()):
        raise StillReading(_progress(what, current), hint="make the same call again: it goes on where it is")
    return {name: entry.sha256 for name, entry in current.items()}


def plain_hashes(tree: Tree, cache: str, names: Iterable[str], *, what: str) -> dict[str, str]:
    """The same of plain files of the project, by their paths in it; `cache` is a path in the state's cache folder.

    Raises `FileNotFoundError`, and `UnsafePath` for a link and the like.
    """
    listed = tuple(names)
    for name in listed:
        with tree.opened(name):
            continue  # it is a plain file, by plain folders
    place = f"{STATE}/cache/{cache}.json"
    return hashes(tree, place, ((name, tree.path(name)) for name in listed), what=what, others=True)


def _as_text(name: str) -> str:
    """A file's name as JSON can hold it, also where its bytes are no UTF-8."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _progress(what: str, current: Mapping[str, Entry]) -> str:
    total = sum(entry.size for entry in current.values())
    read = total - sum(entry.unread for entry in current.values())
    return f"{what} is read for its fingerprint, once: {read / _GB:.1f} of {total / _GB:.1f} GB so far"


def _present(path: Path, known: Entry | None) -> Entry:
    status = path.stat()
    stamp = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
    return known if known is not None and known[:4] == stamp else Entry(*stamp)


def _read(path: Path, entry: Entry, deadline: float) -> Entry:
    """The entry with more blocks, one at least. What changes while it is read has another status the next time."""
    blocks = list(entry.blocks)
    with path.open("rb", buffering=0) as file:
        file.seek(len(blocks) * BLOCK_BYTES)
        while True:
            digest, count = _block(file.fileno())
            if count or not blocks:
                blocks.append(digest)
            done = count < BLOCK_BYTES or len(blocks) * BLOCK_BYTES >= entry.size
            if done or time.monotonic() >= deadline:
                return entry._replace(blocks=tuple(blocks), done=done)


def _block(file: int) -> tuple[str, int]:
    """The hash of the next block, and its size."""
    digest, count = hashlib.sha256(), 0
    while count < BLOCK_BYTES and (data := os.read(file, min(1 << 20, BLOCK_BYTES - count))):
        digest.update(data)
        count += len(data)
    return digest.hexdigest(), count


def _load(tree: Tree, cache: str) -> Mapping[str, Entry]:
    stamp = tree.known.stamp(cache)
    if (kept := tree.known.recall(cache, _Kept, stamp)) is not None:
        return kept
    try:
        found = _Kept(_ENTRIES.validate_json(tree.read(cache, limit=_MOST_CACHE_BYTES)))
    except (FileNotFoundError, UnsafePath, ProjectError, ValidationError):
        # A cache that is absent or damaged is made anew; it holds nothing that the files don't say.
        return {}
    tree.known.keep(cache, found, stamp)
    return found
