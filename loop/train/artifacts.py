"""The files after a training: what it must leave (T2), must not touch (T3), and states that it used (T1)."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, cast

from pydantic import JsonValue

from ..errors import UnsafePath
from ..project.receipts import EvalReceipt, TrainReceipt
from ..project.version import Version
from ..store.digest import sha256
from ..store.leftovers.reading import as_object, read
from ..store.manifest import BLOCK_BYTES, plain_hashes
from ..store.paths import ARTIFACTS, PREPDATA
from ..store.tree import Tree, kind_of
from .curves import epochs_trained, log_folder

CHECKPOINTS = ("best.ckpt", "last.ckpt")
ASSETS = "additional_assets"


_IN_PARTS = " as one file (a folder lies there: a strategy's state_dict_type='full' saves all its parts in one)"


def missing(version: Version) -> tuple[str, ...]:
    """What a finished training lacks, named as T2 names it; empty for a complete one. Raises `Unreadable`."""
    tree, artifacts = version.project.workspace.tree, version.artifacts
    lacking = [
        f"{name}{_IN_PARTS if tree.kind(f'{artifacts}/{name}') == 'folder' else ''}"
        for name in (*CHECKPOINTS, "spec.json")
        if not has_content(tree, f"{artifacts}/{name}")
    ]
    if "spec.json" not in lacking and as_object(read(tree, "json", f"{artifacts}/spec.json")) is None:
        lacking.append("spec.json as a JSON object")
    folder = log_folder(tree, artifacts)
    if folder is None or not tree.is_file(f"{folder}/metrics.csv"):
        lacking.append("logs/version_#/metrics.csv")
    return tuple(lacking)


def has_content(tree: Tree, relative: str) -> bool:
    try:
        with tree.opened(relative) as handle:
            return os.fstat(handle).st_size > 0
    except (FileNotFoundError, UnsafePath):
        return False


def are_large(version: Version) -> bool:
    """Whether their hashes take so long that they are better begun before the lock is taken.

    What is noted without the lock may leave a temporary file behind where the process is killed.
    """
    tree = version.project.workspace.tree
    return sum(status.st_size for _, status in tree.walk(version.artifacts)) >= BLOCK_BYTES


def hashes(version: Version) -> dict[str, str]:
    """Those of its artifacts that a receipt names and of every file in additional_assets that are there, by path.

    They may be large: read in turns of two seconds. Raises `StillReading` until all are read, and `UnsafePath`.
    """
    tree, artifacts = version.project.workspace.tree, version.artifacts
    names = [f"{artifacts}/{name}" for name in (*CHECKPOINTS, "spec.json")]
    names = [name for name in names if tree.kind(name) is not None]
    names += [name for name, status in tree.walk(f"{artifacts}/{ASSETS}") if kind_of(status) == "file"]
    found = plain_hashes(tree, f"files-{version.id}", names, what=f"what {version.id} left")
    return {name.removeprefix(f"{artifacts}/"): digest for name, digest in found.items()}


def checkpoint_hash(version: Version, name: str) -> str:
    """The checkpoint's hash, read by turns. Raises `FileNotFoundError`, `UnsafePath`, `StillReading`."""
    where = f"{version.artifacts}/{name}"
    tree, cache = version.project.workspace.tree, f"files-{version.id}"
    return plain_hashes(tree, cache, [where], what=f"{name} of {version.id}")[where]


def is_as_before(version: Version, trained: TrainReceipt, name: str) -> bool:
    """Whether it is what an older receipt names by the hash of all its bytes; that is read in one go."""
    tree, where = version.project.workspace.tree, f"{version.artifacts}/{name}"
    return trained.assets is None and sha256(tree, where) == trained.artifacts[name]


def links(version: Version) -> list[str]:
    """The links in additional_assets."""
    found = version.project.workspace.tree.walk(f"{version.artifacts}/{ASSETS}")
    return [name for name, status in found if kind_of(status) == "link"]


def _evaluation_outputs(tree: Tree, versions: Sequence[str]) -> dict[str, str]:
    """Every eval_score.json and infer_samples file of these versions -> its size and change time."""
    return {
        relative: stamp
        for version in versions
        for name in ("eval_score.json", "infer_samples")
        for relative, stamp in _stamps(tree, f"{ARTIFACTS}/{version}/{name}")
    }


def untouchable(version: Version, dataset_id: str, *, confined: bool) -> dict[str, str]:
    """The files that the version's training must leave alone, each with a stamp of its content.

    These are scores, other versions' weights and receipts, and the data set. Of a `confined` training only the scores
    in its own folder are looked at: the sandbox lets it write nowhere else.
    """
    workspace = version.project.workspace
    tree = workspace.tree
    names = [version.id] if confined else tree.names(ARTIFACTS)
    # A training that is collected again, since its receipt was deleted, finds the score that it earned.
    scored = version.receipt(EvalReceipt) is not None
    found = _evaluation_outputs(tree, [name for name in names if not (scored and name == version.id)])
    if confined:
        return found
    for other in version.project.versions():
        if other != version.number:
            for name in CHECKPOINTS:
                found.update(_stamps(tree, f"{workspace.artifacts(other)}/{name}"))
            found.update(_stamps(tree, workspace.receipts(other)))
    data = workspace.root / workspace.dataset(dataset_id)
    found.update((f"{PREPDATA}/{dataset_id}/{name}", stamp) for name, stamp in _data_stamps(data))
    return found


def _data_stamps(folder: Path) -> Iterator[tuple[str, str]]:
    for path in folder.rglob("*"):
        if path.is_file():
            yield path.relative_to(folder).as_posix(), _stamp(path.stat())


def _stamp(status: os.stat_result) -> str:
    # The change time can't be set by whoever sets the modification time back.
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"


def _stamps(tree: Tree, relative: str) -> Iterator[tuple[str, str]]:
    for name, status in tree.walk(relative):
        kind = kind_of(status)
        yield name, _stamp(status) if kind == "file" else kind


def touched(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[str, ...]:
    """The files that were created, changed or removed between two looks (T3).

    A new file beside the data is no harm: data sets write caches there.
    """
    names = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    return tuple(sorted(name for name in names if name in before or not name.startswith(f"{PREPDATA}/")))


def is_copied(before: Mapping[str, str], after: Mapping[str, str]) -> bool:
    """Whether all files are others than before: a copy of the project, where nobody can tell what a training did."""
    return bool(before) and not {_inode(stamp) for stamp in before.values()} & {_inode(s) for s in after.values()}


def _inode(stamp: str) -> str:
    return stamp.rpartition(" ")[2]


def records(version: Version) -> dict[str, Mapping[str, object]]:
    """What the script's own files state of its values, flattened, by the file's name.

    Raises `UnsafePath`, `Unreadable`.
    """
    tree, artifacts = version.project.workspace.tree, version.artifacts
    folder = log_folder(tree, artifacts)
    epochs = epochs_trained(tree, artifacts)
    return {
        "hparams.yaml": {} if folder is None else _stated(tree, "yaml", f"{folder}/hparams.yaml"),
        "spec.json": _stated(tree, "json", f"{artifacts}/spec.json"),
        "metrics.csv": {} if epochs is None else {"epochs": epochs},
    }


def _stated(tree: Tree, form: Literal["json", "yaml"], relative: str) -> dict[str, object]:
    try:
        return _flatten(as_object(read(tree, form, relative)) or {})
    except FileNotFoundError:
        return {}


def _flatten(content: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Nested keys as dotted ones."""
    flat: dict[str, object] = {}
    for key, value in content.items():
        inner = as_object(cast("JsonValue", value))
        if inner is None:
            flat[f"{prefix}{key}"] = value
        else:
            flat |= _flatten(inner, f"{prefix}{key}.")
    return flat
