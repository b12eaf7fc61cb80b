"""The best version's bundle: copied by turns and without the lock, and then held against what its receipt recorded."""

import os
import time

from ..errors import GuardError, StillReading
from ..project.receipts import TrainReceipt
from ..project.version import Version
from ..store.durable import make_durable
from ..store.manifest import TURN_SECONDS, plain_hashes
from ..store.paths import STATE
from ..store.tree import Tree, kind_of
from ..train.artifacts import ASSETS, is_as_before

BUNDLED = ("best.ckpt", "spec.json")
_CACHE = "bundle"
GATHERED = f"{STATE}/cache/{_CACHE}"
"""Written without the lock, so that a kill may leave anything here; it goes as a whole when a report is published."""
_CHUNK_BYTES = 64 << 20
_GB = 1e9


def gather(version: Version) -> str:
    """Copies best.ckpt, spec.json and additional_assets to a folder that publish() moves; that folder, in the project.

    Links are left out and never followed, and so is what the receipt doesn't name. Works for two seconds and at least
    one piece: raises `StillReading` until all is copied and read again; the next call goes on. Raises `GuardError` for
    what isn't what was trained; nothing of it stays then.
    """
    tree, folder = version.project.workspace.tree, f"{GATHERED}/{version.id}"
    trained = version.receipt(TrainReceipt)
    names = _names(version, trained)
    for stale in tree.names(GATHERED):
        if stale not in (version.id, f"{version.id}.json"):
            tree.remove(f"{GATHERED}/{stale}")
    tree.make_folder(f"{folder}/{ASSETS}")
    _copy(tree, version, names, folder)
    found = plain_hashes(
        tree, f"{_CACHE}/{version.id}", (f"{folder}/{name}" for name in names), what=f"the bundle of {version.id}"
    )
    if trained is not None:
        recorded = {**trained.artifacts, **(trained.assets or {})}
        for name in names:
            if recorded.get(name) not in (None, found[f"{folder}/{name}"]) and not (
                name in trained.artifacts and is_as_before(version, trained, name)
            ):
                tree.remove(folder)
                hint = "put the trained file back: what the report bundles must be what was scored"
                raise GuardError("was changed after training", where=f"{version.artifacts}/{name}", hint=hint)
    make_durable(tree, folder)
    return folder


def _names(version: Version, trained: TrainReceipt | None) -> list[str]:
    """Relative to the artifacts. A version from before the loop may lack one; what the loop trained was checked."""
    tree, artifacts = version.project.workspace.tree, version.artifacts
    plain = [name for name in BUNDLED if trained is not None or tree.is_file(f"{artifacts}/{name}")]
    if trained is not None and trained.assets is not None:
        return [*plain, *trained.assets]
    walked = tree.walk(f"{artifacts}/{ASSETS}")
    return [*plain, *(name.removeprefix(f"{artifacts}/") for name, status in walked if kind_of(status) == "file")]


def _copy(tree: Tree, version: Version, names: list[str], folder: str) -> None:
    deadline = time.monotonic() + TURN_SECONDS
    for name in names:
        where, copy = f"{version.artifacts}/{name}", f"{folder}/{name}"
        try:
            with tree.opened(where) as source:
                size, there = os.fstat(source).st_size, _size(tree, copy)
                if there > size or (there == 0 and not tree.is_file(copy)):
                    tree.remove(copy)
                    tree.append(copy, b"", durable=False)
                    there = 0
                while there < size:
                    if time.monotonic() > deadline:
                        raise StillReading(
                            f"the bundle of {version.id} is copied: {name}, {there / _GB:.1f} of {size / _GB:.1f} GB",
                            hint="make the same call again: it goes on where it is",
                        )
                    data = os.pread(source, _CHUNK_BYTES, there)
                    tree.append(copy, data, durable=False)
                    there += len(data)
        except FileNotFoundError as error:
            hint = "put the trained file back; a copy may be in an earlier report or a backup"
            raise GuardError("is missing, though training left it", where=where, hint=hint) from error


def _size(tree: Tree, relative: str) -> int:
    if not tree.is_file(relative):
        return 0
    with tree.opened(relative) as file:
        return os.fstat(file).st_size
