"""The checkpoint of an interrupted training: kept when its artifacts are wiped, and given to the run that goes on.

A run that goes on finds the checkpoint's path in VARIABLE (docs/contract.md).
"""

import os
import zipfile
from dataclasses import replace

from ..errors import OutOfOrder, UnsafePath
from ..jobs.job import RESUME_VARIABLE
from ..project.attempts import Attempt
from ..project.failures import Failure
from ..project.notices import Notice
from ..project.receipts import RESUMABLE, KeptCheckpoint
from ..project.version import Version
from ..store.digest import sha256
from ..store.journal import now
from ..store.manifest import plain_hashes
from ..store.records import load, save
from ..store.tree import Tree
from .artifacts import CHECKPOINTS
from .curves import shown_curves

VARIABLE = RESUME_VARIABLE
_KEPT = (*CHECKPOINTS, "logs")
_RECORD = "resume.json"
_WORD = "or go on from its last checkpoint: run_train with resume=true (the script must support it)"


def checkpoint(version: Version) -> str:
    """The path that the script gets; keep() has put the checkpoint there."""
    return str(_tree(version).path(f"{_folder(version)}/last.ckpt"))


def keep(attempt: Attempt, failure: Failure) -> Failure:
    """Sets last.ckpt, best.ckpt and the logs of an interrupted run aside, before the wipe; the advice then says so.

    Keeps nothing of a run that failed by itself, or whose last.ckpt is torn: then what an earlier interruption left
    stays. Called again after a crash in between, it goes on where it was. Raises `StillReading` while it reads a large
    one, and has changed nothing then.
    """
    plan, version = attempt.plan, attempt.version
    if failure.kind not in RESUMABLE or plan is None:
        return failure
    tree, artifacts, where = _tree(version), version.artifacts, _folder(version)
    if _is_whole(tree, last := f"{artifacts}/last.ckpt"):
        digest = _digest(version, last)  # before anything is moved: it may take several calls
        curves = shown_curves(tree, artifacts)
        epochs = None if curves is None or curves.last_epoch is None else curves.last_epoch + 1
        # The record goes first and comes back last: without it nothing counts, so that a crash in between never makes
        # one checkpoint out of the files of two runs.
        tree.remove(f"{where}/{_RECORD}")
        for name in ("best.ckpt", "logs", "last.ckpt"):
            if tree.kind(f"{artifacts}/{name}") is not None:
                tree.remove(f"{where}/{name}")
                tree.move(f"{artifacts}/{name}", f"{where}/{name}")
        _record(attempt, plan.snapshot, epochs, digest)
    elif tree.is_file(f"{where}/last.ckpt") and not tree.is_file(f"{where}/{_RECORD}"):
        _record(attempt, plan.snapshot, None, _digest(version, f"{where}/last.ckpt"))
    return replace(failure, hint=f"{failure.advice}; {_WORD}") if kept(version) else failure


def kept(version: Version) -> KeptCheckpoint | None:
    """The checkpoint that the version's present script could go on from.

    None where there is none, and after a change to the script or its modules: another program made it then.
    """
    tree, where = _tree(version), _folder(version)
    record = load(tree, f"{where}/{_RECORD}", KeptCheckpoint)
    if record is None or not tree.is_file(f"{where}/last.ckpt"):
        return None
    unchanged = all(tree.is_file(name) and sha256(tree, name) == was for name, was in record.snapshot.items())
    return record if unchanged else None


def require_kept(version: Version, way_on: str) -> KeptCheckpoint:
    """The checkpoint to go on from, found to be as it was kept; `way_on` is the call that is possible without one.

    Raises `OutOfOrder` if the last attempt was not interrupted, or left nothing to go on from.
    """
    tried = version.attempts("train")
    verdict = tried[-1].verdict if tried else None
    if verdict is None or verdict.kind not in RESUMABLE:
        ended = f"ended by: {verdict.kind or 'success'}" if verdict else "has not been made yet"
        raise OutOfOrder(f"only an interrupted training can be resumed; the last attempt {ended}", hint=way_on)
    record = kept(version)
    if record is None or _digest(version, f"{_folder(version)}/last.ckpt") != record.last_sha256:
        raise OutOfOrder(
            "there is no whole last.ckpt of the present script to go on from",
            where=_folder(version),
            hint=f"{way_on}, without resume",
        )
    return record


def put_back(attempt: Attempt) -> tuple[Notice, ...]:
    """Gives a resumed run the files that only its interrupted part wrote; returns a warning for each.

    Lightning writes best.ckpt again only for a better score, and nothing at all when no epoch was left to train.
    """
    plan, version = attempt.plan, attempt.version
    tree, artifacts, where = _tree(version), version.artifacts, _folder(version)
    record = load(tree, f"{where}/{_RECORD}", KeptCheckpoint)
    if plan is None or plan.resumed_from is None or record is None:
        return ()
    warnings: list[Notice] = []
    for name in record.names:
        if not _left(tree, artifacts, name):
            tree.remove(f"{artifacts}/{name}")
            tree.move(f"{where}/{name}", f"{artifacts}/{name}")
        if tree.kind(f"{where}/{name}") is None:  # moved just now, or before a crash
            warnings.append(Notice.of("put_back", name=name, attempt=record.attempt))
    curves = shown_curves(tree, artifacts)
    if curves is not None and curves.epochs and curves.epochs[0] > 0:
        warnings.append(Notice.of("begins_late", epoch=curves.epochs[0]))
    return tuple(warnings)


def discard(version: Version) -> None:
    """Removes what was kept: the version is trained, and nothing is left to go on from."""
    _tree(version).remove(_folder(version))


def _tree(version: Version) -> Tree:
    return version.project.workspace.tree


def _folder(version: Version) -> str:
    return f"{version.project.workspace.resume}/{version.id}"


def _digest(version: Version, relative: str) -> str:
    """The checkpoint's hash, read by turns. Raises `StillReading`."""
    cache = f"files-{version.id}"
    return plain_hashes(_tree(version), cache, [relative], what=f"last.ckpt of {version.id}")[relative]


def _left(tree: Tree, artifacts: str, name: str) -> bool:
    """Whether a run left this itself; Lightning makes a log folder also for a run without an epoch."""
    if name == "logs":
        return shown_curves(tree, artifacts) is not None
    return tree.kind(f"{artifacts}/{name}") is not None


def _record(attempt: Attempt, snapshot: dict[str, str], epochs: int | None, digest: str) -> None:
    tree, where = _tree(attempt.version), _folder(attempt.version)
    record = KeptCheckpoint(
        attempt=attempt.number,
        snapshot=snapshot,
        last_sha256=digest,
        names=tuple(name for name in _KEPT if tree.kind(f"{where}/{name}") is not None),
        epochs=epochs,
        at=now(),
    )
    save(tree, f"{where}/{_RECORD}", record)


def _is_whole(tree: Tree, relative: str) -> bool:
    """Not empty and, being one of torch's zip files, with its end: a run may be killed while it saves."""
    try:
        with tree.opened(relative) as handle, os.fdopen(os.dup(handle), "rb") as file:
            start = file.read(2)
            return zipfile.is_zipfile(file) if start == b"PK" else bool(start)
    except (FileNotFoundError, UnsafePath):
        return False
