"""Starting the loop: the data set is frozen, the user's files are pinned, v001 is there (C6, I1-I5)."""

import hashlib
from dataclasses import dataclass

from ..errors import OutOfOrder
from ..project.dataset import DatasetStats, choose_dataset, read_stats
from ..project.project import Project
from ..project.receipts import LoopFile, StartReceipt
from ..project.state import derive
from ..project.version import Version
from ..script import code_files
from ..store import journal, transaction
from ..store.json_object import read_object
from ..store.paths import version_id
from ..store.records import load
from ..text import words
from .baseline import BASELINE_FOLDER, PATCH_REPORT, prepare
from .handover import handed_over


@dataclass(frozen=True)
class Started:
    loop: LoopFile
    stats: DatasetStats
    cur: int
    findings: tuple[str, ...]
    already_done: bool
    baseline_spec: bool


def start_loop(
    project: Project, dataset_id: str | None = None, patch: str | None = None, *, from_baseline: bool = False
) -> Started:
    """Decides the data set, audits the baseline, makes v001; with version scripts already there, adopts them (I2).

    `from_baseline`: build-baseline hands over, so its outputs must be there and name the data set.

    Raises `ProjectError`, `OutOfOrder` (another data set, or a patch after the start), and what `prepare` raises.
    """
    rules = project.rules()
    workspace = project.workspace
    with project.mutation():
        if from_baseline:
            dataset_id = handed_over(workspace, dataset_id, started=project.loop() is not None)
        state = derive(project, rules)
        frozen = state.loop.dataset_id if state.loop else None
        if state.loop is not None and dataset_id is None:
            choice_id, source = state.loop.dataset_id, state.loop.dataset_source
        else:
            in_rules = rules.file.dataset_config.dataset_id
            given_by = "build-baseline" if from_baseline else "argument"
            choice = choose_dataset(workspace, dataset_id, in_rules, frozen, given_by=given_by)
            choice_id, source = choice.dataset_id, choice.source
        stats = read_stats(workspace, choice_id)
        has_spec = read_object(workspace.tree, f"{BASELINE_FOLDER}/spec.json") is not None
        if state.loop is not None:
            if patch:
                raise OutOfOrder("the baseline was patched when the loop started", hint="go on with next_step")
            made = load(workspace.tree, workspace.receipt(1, "start"), StartReceipt)
            return Started(state.loop, stats, state.cur, made.findings if made else (), True, has_spec)
        if state.cur and patch:
            raise OutOfOrder(
                f"{version_id(state.cur)} exists, so the baseline is no longer used",
                hint="call start_loop without patch",
            )
        loop = LoopFile(
            dataset_id=choice_id,
            dataset_source=source,
            task_type=stats.task_type,
            val_samples=stats.val_samples,
            started_at=journal.now(),
            first_version=state.cur or 1,
            rules_sha256=rules.rules_sha256,
            instruction_sha256=rules.instruction_sha256,
        )
        if state.cur:
            _require_readable(Version(project, state.cur))
            transaction.commit(workspace, new={}, changed={}, records={workspace.loop_file: loop})
            journal.record(workspace, "loop_adopted", version_id(state.cur), dataset_id=choice_id)
            return Started(loop, stats, state.cur, (), False, has_spec)
        prepared = prepare(project, rules, choice_id, patch)
        script = workspace.script(1)
        findings = tuple(str(finding) for finding in prepared.findings)
        receipt = StartReceipt(
            script_sha256=hashlib.sha256(prepared.v001.encode()).hexdigest(),
            applied=prepared.applied,
            findings=findings,
            at=journal.now(),
        )
        transaction.commit(
            workspace,
            new={script: prepared.v001},
            changed={
                **prepared.baseline,
                PATCH_REPORT: prepared.report(words(rules.file.report_language)),
                f"{workspace.authored}/{script}": prepared.v001,
            },
            records={workspace.receipt(1, "start"): receipt, workspace.loop_file: loop},
        )
        journal.record(workspace, "loop_started", version_id(1), dataset_id=choice_id)
        return Started(loop, stats, 1, findings, False, has_spec)


def _require_readable(version: Version) -> None:
    """Raises `ScriptError` for an adopted script or local module that the loop could neither read nor edit."""
    version.script()
    code_files(version.script_name, version.project.workspace.root)
