"""Starts the loop: freezes the data set, pins the user's files, and makes v001 (C6, I1-I5)."""

import hashlib
from dataclasses import dataclass

from ..errors import OutOfOrder, ProjectError
from ..project.dataset import DatasetChoice, DatasetStats, choose_dataset, read_stats
from ..project.integrity import put_back
from ..project.project import Project
from ..project.receipts import LoopFile, StartReceipt, TrainReceipt
from ..project.turn import Turn, turn
from ..project.version import Version
from ..rules.checks import check_script
from ..rules.reading import Rules
from ..store import journal, transaction
from ..text import words
from .baseline import PATCH_REPORT, Prepared, prepare
from .finding import adopted
from .guard import check_dataset
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
        findings = _adopt(t, loop, patch) if _is_there(t) else _make_first(t, loop, patch)
        return Started(loop, stats, t.version.number, findings, already_done=False)


def _is_there(t: Turn) -> bool:
    """Whether there is a version to go on with: not so where all that is left of it are receipts."""
    tree = t.version.project.workspace.tree
    return t.state.cur > 0 and (tree.kind(t.version.script_name) is not None or t.version.kept() is not None)


def _started_before(t: Turn, loop: LoopFile, dataset_id: str | None, patch: str | None) -> Started:
    project = t.version.project
    workspace = project.workspace
    if dataset_id is not None:
        choose_dataset(workspace, dataset_id, None, loop.dataset_id)
    stats = read_stats(workspace, loop.dataset_id)
    if patch:
        raise OutOfOrder("the baseline was patched when the loop started", hint="go on with next_step")
    put_back(project, loop)
    first = Version(project, loop.first_version)
    made = first.receipt(StartReceipt)
    findings = made.findings if made else ()
    if edited := t.state.cur == first.number and t.state.phase == "train" and first.is_edited:
        project.require_unchanged_rules(t.rules, loop)
        findings = (*_taken(first, t.rules, loop, asked=made.asked if made else ()), *findings)
        first.record("loop_adopted", edited=True)
    return Started(loop, stats, t.state.cur, findings, already_done=not edited)


def _loop_file(t: Turn, choice: DatasetChoice, stats: DatasetStats) -> LoopFile:
    return LoopFile(
        dataset_id=choice.dataset_id,
        dataset_source=choice.source,
        task_type=stats.task_type,
        val_samples=stats.val_samples,
        started_at=journal.now(),
        first_version=t.version.project.first_version() or t.version.number,
        rules_sha256=t.rules.rules_sha256,
        instruction_sha256=t.rules.instruction_sha256,
    )


def _adopt(t: Turn, loop: LoopFile, patch: str | None) -> tuple[str, ...]:
    """Goes on from the highest version that is there, or where the receipts of a loop say; what was checked of it."""
    project, version, most = t.version.project, t.version, t.rules.file.loop_config.max_versions
    if patch:
        raise OutOfOrder(
            f"{version.id} exists, so the baseline is no longer used", hint="call start_loop without patch"
        )
    if version.number > most:
        raise ProjectError(
            f"is there, and loop_config.max_versions = {most}: it would never be trained",
            where=version.script_name,
            hint="ask the user to raise loop_config.max_versions, or to move that script away",
        )
    findings: tuple[str, ...] = ()
    if version.number == loop.first_version and version.receipt(TrainReceipt) is None:
        findings = _taken(version, t.rules, loop)
    transaction.commit(project.workspace, new={}, changed={}, records={project.workspace.loop_file: loop})
    version.record("loop_adopted", dataset_id=loop.dataset_id)
    put_back(project, loop)
    return findings


def _taken(version: Version, rules: Rules, loop: LoopFile, asked: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Takes a script that somebody wrote as the first version: checks it, pins it, and says what was checked.

    Raises `ScriptError` for a script or module that can't be read, `RuleViolation`, `GuardError` (other data).
    """
    workspace, name = version.project.workspace, version.script_name
    # What the loop can neither read nor edit is refused before an hour of training, not after.
    script = version.script(authored=False)
    modules = version.code_files()[1:]
    check_script(script, rules, script)
    check_dataset(script, script, loop.dataset_id)
    data = workspace.tree.read(name)
    workspace.tree.write(f"{workspace.authored}/{name}", data)
    others = [number for number in workspace.numbered_scripts() if number < version.number]
    findings = tuple(map(str, adopted(name, modules, [one.rule for one in rules.fixed], others)))
    sha256 = hashlib.sha256(data).hexdigest()
    version.save(StartReceipt(script_sha256=sha256, applied=(), findings=findings, asked=asked, at=journal.now()))
    return findings


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
