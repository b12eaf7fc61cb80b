"""What an interrupted training leaves to go on from: its last checkpoint, kept through the wipe."""

import os
import zipfile
from dataclasses import replace

from ..errors import OutOfOrder, UnsafePath
from ..jobs.job import RESUME_VARIABLE
from ..project.attempts import Attempt
from ..project.failures import Failure
from ..project.notices import Notice
from ..project.project import Project
from ..project.receipts import RESUMABLE, KeptCheckpoint
from ..project.version import Version
from ..store.digest import sha256
from ..store.journal import now
from ..store.paths import version_id
from ..store.records import load, save
from .artifacts import CHECKPOINTS
from .curves import read_curves

VARIABLE = RESUME_VARIABLE  # what the script finds the checkpoint's path in (docs/contract.md)
_KEPT = (*CHECKPOINTS, "logs")
_RECORD = "resume.json"
_WORD = "or go on from its last checkpoint: run_train with resume=true (the script must support it)"


def folder(project: Project, cur: int) -> str:
    return f"{project.workspace.resume}/{version_id(cur)}"


def checkpoint(project: Project, cur: int) -> str:
    """Where the script finds the kept checkpoint."""
    return str(project.workspace.tree.path(f"{folder(project, cur)}/last.ckpt"))


def keep(attempt: Attempt, failure: Failure) -> Failure:
    """Sets last.ckpt, best.ckpt and the logs of an interrupted run aside, before the wipe; the advice then says so.

    Nothing is kept of a run that failed by itself, or whose last.ckpt is torn. Done again after a crash, it goes on
    where it was; what an earlier interruption left stays if this one left no checkpoint.
    """
    plan, project, cur = attempt.plan, attempt.project, attempt.version.number
    if failure.kind not in RESUMABLE or plan is None:
        return failure
    tree, artifacts, where = project.workspace.tree, project.workspace.artifacts(cur), folder(project, cur)
    if _is_whole(project, f"{artifacts}/last.ckpt"):
        curves = read_curves(tree, artifacts)
        epochs = None if curves is None or curves.last_epoch is None else curves.last_epoch + 1
        # Without its record nothing counts, so that old and new are never taken for one.
        tree.remove(f"{where}/{_RECORD}")
        for name in ("best.ckpt", "logs", "last.ckpt"):
            if tree.kind(f"{artifacts}/{name}") is not None:
                tree.remove(f"{where}/{name}")
                tree.move(f"{artifacts}/{name}", f"{where}/{name}")
        _record(attempt, plan.snapshot, epochs)
    elif tree.is_file(f"{where}/last.ckpt") and not tree.is_file(f"{where}/{_RECORD}"):
        _record(attempt, plan.snapshot, None)
    return replace(failure, hint=f"{failure.advice}; {_WORD}") if kept(project, cur) else failure


def kept(project: Project, cur: int) -> KeptCheckpoint | None:
    """What the version's present script could go on from; None after a change to it, since another script made that."""
    tree, where = project.workspace.tree, folder(project, cur)
    record = load(tree, f"{where}/{_RECORD}", KeptCheckpoint)
    if record is None or not tree.is_file(f"{where}/last.ckpt"):
        return None
    unchanged = all(tree.is_file(name) and sha256(tree, name) == was for name, was in record.snapshot.items())
    return record if unchanged else None


def require_kept(project: Project, cur: int, way_on: str) -> KeptCheckpoint:
    """Raises `OutOfOrder` if the last attempt was not interrupted, or left nothing to go on from."""
    tried = Version(project, cur).attempts("train")
    verdict = tried[-1].verdict if tried else None
    if verdict is None or verdict.kind not in RESUMABLE:
        ended = f"ended by: {verdict.kind or 'success'}" if verdict else "has not been made yet"
        raise OutOfOrder(f"only an interrupted training can be resumed; the last attempt {ended}", hint=way_on)
    record = kept(project, cur)
    if record is None or sha256(project.workspace.tree, f"{folder(project, cur)}/last.ckpt") != record.last_sha256:
        raise OutOfOrder(
            "there is no whole last.ckpt of the present script to go on from",
            where=folder(project, cur),
            hint=f"{way_on}, without resume",
        )
    return record


def put_back(attempt: Attempt) -> tuple[Notice, ...]:
    """Gives a resumed run the files that only its interrupted part wrote; says which, as warnings.

    Lightning writes best.ckpt again only for a better score, and nothing at all when no epoch was left to train.
    """
    plan, project, cur = attempt.plan, attempt.project, attempt.version.number
    tree, artifacts, where = project.workspace.tree, project.workspace.artifacts(cur), folder(project, cur)
    record = load(tree, f"{where}/{_RECORD}", KeptCheckpoint)
    if plan is None or plan.resumed_from is None or record is None:
        return ()
    warnings: list[Notice] = []
    for name in record.names:
        if not _left(project, artifacts, name):
            tree.remove(f"{artifacts}/{name}")
            tree.move(f"{where}/{name}", f"{artifacts}/{name}")
        if tree.kind(f"{where}/{name}") is None:  # moved just now, or before a crash
            warnings.append(Notice.of("put_back", name=name, attempt=record.attempt))
    curves = read_curves(tree, artifacts)
    if curves is not None and curves.epochs and curves.epochs[0] > 0:
        warnings.append(Notice.of("begins_late", epoch=curves.epochs[0]))
    return tuple(warnings)


def _left(project: Project, artifacts: str, name: str) -> bool:
    """Whether a run left this itself; Lightning makes a log folder also for a run without an epoch."""
    if name == "logs":
        return read_curves(project.workspace.tree, artifacts) is not None
    return project.workspace.tree.kind(f"{artifacts}/{name}") is not None


def discard(project: Project, cur: int) -> None:
    """The version is trained: nothing is left to go on from."""
    project.workspace.tree.remove(folder(project, cur))


def _record(attempt: Attempt, snapshot: dict[str, str], epochs: int | None) -> None:
    tree, where = attempt.project.workspace.tree, folder(attempt.project, attempt.version.number)
    record = KeptCheckpoint(
        attempt=attempt.number,
        snapshot=snapshot,
        last_sha256=sha256(tree, f"{where}/last.ckpt"),
        names=tuple(name for name in _KEPT if tree.kind(f"{where}/{name}") is not None),
        epochs=epochs,
        at=now(),
    )
    save(tree, f"{where}/{_RECORD}", record)


def _is_whole(project: Project, relative: str) -> bool:
    """Not empty and, being one of torch's zip files, with its end: a run may be killed while it saves."""
    try:
        with project.workspace.tree.opened(relative) as handle, os.fdopen(os.dup(handle), "rb") as file:
            start = file.read(2)
            return zipfile.is_zipfile(file) if start == b"PK" else bool(start)
    except (FileNotFoundError, UnsafePath):
        return False
