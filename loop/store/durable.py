"""Syncs what a job left to the disk, so that a power cut takes nothing of what is recorded as done."""

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

from ..errors import UnsafePath
from .tree import Tree, kind_of, split

_MOST_SYNCED = 1000  # one by one; beyond that the whole machine's disks are synced once
_SYNCED_AT_ONCE = 8


def make_durable(tree: Tree, folder: str) -> None:
    """Syncs the files that a script wrote there, so that they survive a power cut. Skips links and the like."""
    found = [(name, kind) for name, status in tree.walk(folder) if (kind := kind_of(status)) in ("file", "folder")]
    if len(found) > _MOST_SYNCED:
        os.sync()
        return
    with ThreadPoolExecutor(_SYNCED_AT_ONCE) as threads:  # a disk takes several at once
        for _ in threads.map(partial(_sync, tree), found):
            continue


def _sync(tree: Tree, found: tuple[str, str]) -> None:
    name, kind = found
    # What can't be opened for reading holds nothing that a receipt rests on.
    opened = tree.folder(split(name)) if kind == "folder" else tree.opened(name)
    with suppress(UnsafePath, PermissionError), opened as handle:
        os.fsync(handle)
