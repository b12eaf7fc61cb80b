"""Starts the loop: freezes the data set, pins the user's files, and makes v001 (C6, I1-I5)."""

import hashlib
from dataclasses import dataclass

from ..errors import OutOfOrder
from ..project.dataset import DatasetChoice, DatasetStats, choose_dataset, read_stats
from ..project.project import Project
from ..project.receipts import LoopFile, StartReceipt
from ..project.turn import Turn, turn
from ..project.version import Version
from ..store import journal, transaction
from ..text import words
from .baseline import PATCH_REPORT, Prepared, prepare
from .handover import handed_over


@dataclass(frozen=True)
class Started:
    """The loop as it is now. `cur` is its current version; `already_done`: it was started before this call."""

    loop: LoopFile
    stats: DatasetStats
    cur: int
    findings: tuple[str, ...]
    already_done: bool


def start_loop(
    project: Project, dataset_id: str | None = None, patch: str | None = None, *, from_baseline: bool = False
) -> Started:
    """Decides the data set, audits the baseline, makes v001; with version scripts already there, adopts them (I2).

    `from_baseline`: build-baseline hands over, so its outputs must be there and name the data set.

    Raises `ProjectError`, `OutOfOrder` (another data set, or a patch after the start), `ScriptError` for an adopted
    script or module that can't be read, and what `prepare` raises. Nothing is written then.
    """
    if from_baseline:
        dataset_id = handed_over(project.workspace, dataset_id, started=project.loop() is not None)
    with turn(project, "start_loop") as t:
        if t.state.loop is not None:
            return _started_before(t, t.state.loop, dataset_id, patch)
        choice = choose_dataset(
            project.workspace,
            dataset_id,
            t.rules.file.dataset_config.dataset_id,
            None,
            given_by="build-baseline" if from_baseline else "argument",
        )
        stats = read_stats(project.workspace, choice.dataset_id)
        loop = _loop_file(t, choice, stats)
        findings = _adopt(t, loop, patch) if t.state.cur else _make_first(t, loop, patch)
        return Started(loop, stats, t.version.number, findings, already_done=False)


def _started_before(t: Turn, loop: LoopFile, dataset_id: str | None, patch: str | None) -> Started:
    project = t.version.project
    workspace = project.workspace
    if dataset_id is not None:
        choose_dataset(workspace, dataset_id, None, loop.dataset_id)
    stats = read_stats(workspace, loop.dataset_id)
    if patch:
        raise OutOfOrder("the baseline was patched when the loop started", hint="go on with next_step")
    made = Version(project, 1).receipt(StartReceipt)
    return Started(loop, stats, t.state.cur, made.findings if made else (), already_done=True)


def _loop_file(t: Turn, choice: DatasetChoice, stats: DatasetStats) -> LoopFile:
    return LoopFile(
        dataset_id=choice.dataset_id,
        dataset_source=choice.source,
        task_type=stats.task_type,
        val_samples=stats.val_samples,
        started_at=journal.now(),
        first_version=t.version.number,
        rules_sha256=t.rules.rules_sha256,
        instruction_sha256=t.rules.instruction_sha256,
    )


def _adopt(t: Turn, loop: LoopFile, patch: str | None) -> tuple[str, ...]:
    """Goes on from the highest version that is there. Nothing is audited, so there are no findings."""
    workspace = t.version.project.workspace
    if patch:
        raise OutOfOrder(
            f"{t.version.id} exists, so the baseline is no longer used", hint="call start_loop without patch"
        )
    # A script or module that the loop can neither read nor edit is refused before an hour of training, not after.
    t.version.script()
    t.version.code_files()
    transaction.commit(workspace, new={}, changed={}, records={workspace.loop_file: loop})
    t.version.record("loop_adopted", dataset_id=loop.dataset_id)
    return ()


def _make_first(t: Turn, loop: LoopFile, patch: str | None) -> tuple[str, ...]:
    """Makes v001 of the baseline; the audit's findings."""
    prepared = prepare(t.version.project, t.rules, loop.dataset_id, patch)
    findings = tuple(str(finding) for finding in prepared.findings)
    receipt = StartReceipt(
        script_sha256=hashlib.sha256(prepared.v001.encode()).hexdigest(),
        applied=prepared.applied,
        findings=findings,
        asked=prepared.asked,
        at=journal.now(),
    )
    _commit_first(t, prepared, receipt, loop)
    t.version.record("loop_started", dataset_id=loop.dataset_id)
    return findings


def _commit_first(t: Turn, prepared: Prepared, receipt: StartReceipt, loop: LoopFile) -> None:
    workspace, script = t.version.project.workspace, t.version.script_name
    transaction.commit(
        workspace,
        new={script: prepared.v001, **prepared.configs},
        changed={
            **prepared.baseline,
            PATCH_REPORT: prepared.report(words(t.rules.file.report_language)),
            f"{workspace.authored}/{script}": prepared.v001,
        },
        records={t.version.receipt_file(StartReceipt): receipt, workspace.loop_file: loop},
    )
