"""Is everything still as the loop left it, modules too? Every Step that changes something asks first."""

import hashlib
import json
from collections.abc import Iterator

from ..errors import GuardError, OutOfOrder
from ..rules.reading import Rules
from ..store import journal, transaction
from ..store.digest import sha256
from ..store.paths import ACTION_FILE, ANALYSIS_FILE, REPORT_SCRIPT, STATE
from ..store.records import load
from .dataset import read_stats
from .evaluation_protocol import FROZEN, present_protocol, protocol_decision, require_protocol
from .evaluation_protocol import RECEIPT as ACCEPTANCE
from .project import Project
from .receipts import ActionReceipt, AnalysisReceipt, EvalReceipt, LoopFile, ReportReceipt, Score, TrainReceipt
from .version import Version

_START = "run: progressive-training start"


def require_intact(project: Project, rules: Rules, loop: LoopFile) -> None:
    """Makes again what is gone, and restores published scores that were edited by hand. Hold the project's lock.

    Raises `UserDecision` if the user's files, the evaluator or the data set changed.
    """
    project.require_unchanged_rules(rules, loop)
    require_protocol(project, loop)
    put_back(project, loop)


def put_back(project: Project, loop: LoopFile) -> None:
    """Makes again what is gone and is kept: scripts, documents, scores. What lies there is left alone, but for scores.

    The journal names what was made again. Hold the project's lock.
    """
    versions = [Version(project, number) for number in project.versions()]
    made = [name for version in versions for name in _put_back(version)]
    current = versions[-1]
    made += [name for one in (current.parent, current) if one is not None for name in _put_back_code(one)]
    if load(project.workspace.tree, f"{STATE}/receipts/report.json", ReportReceipt) is not None:
        made += _copied(project, f"{project.workspace.authored}/{REPORT_SCRIPT}", REPORT_SCRIPT)
    if made:
        journal.record(project.workspace, "made_again", files=", ".join(made))
    restore_scores(project, loop)


def _put_back(version: Version) -> Iterator[str]:
    """The script or, where that is there, the copy that is kept of it; and the documents."""
    project, script, tree = version.project, version.script_name, version.project.workspace.tree
    kept = f"{project.workspace.authored}/{script}"
    if tree.known.stamp(script) is None:
        if (data := version.kept()) is not None:
            tree.create(script, data)
            yield script
    elif tree.known.stamp(kept) is None and not version.is_edited and version.authored_sha256() is not None:
        tree.write(kept, tree.read(script))
    for name, kind in ((ANALYSIS_FILE, AnalysisReceipt), (ACTION_FILE, ActionReceipt)):
        where = f"{version.artifacts}/{name}"
        receipt = version.receipt(kind) if tree.known.stamp(where) is None else None
        if receipt is not None:
            yield from _copied(project, f"{project.workspace.authored}/{where}", where, receipt.document_sha256)


def _put_back_code(version: Version) -> Iterator[str]:
    """The other code that it was trained with, from its snapshot; and that snapshot, from what lies there."""
    trained = version.receipt(TrainReceipt)
    for name, digest in trained.snapshot.items() if trained is not None else ():
        if name != version.script_name:
            yield from _copied(version.project, f"{version.snapshot}/{name}", name, digest)
        origin = f"{version.project.workspace.authored}/{name}" if name == version.script_name else name
        yield from _copied(version.project, origin, f"{version.snapshot}/{name}", digest)


def _copied(project: Project, source: str, target: str, digest: str | None = None) -> Iterator[str]:
    """Where nothing lies at `target`, and at `source` what has that hash."""
    tree = project.workspace.tree
    if tree.known.stamp(target) is None and tree.is_file(source) and digest in (None, sha256(tree, source)):
        tree.create(target, tree.read(source))
        yield target


def restore_scores(project: Project, loop: LoopFile) -> tuple[str, ...]:
    """Writes every eval_score.json again that differs from its receipt; returns the versions that needed it."""
    restored: list[str] = []
    tree = project.workspace.tree
    for version in (Version(project, number) for number in project.versions()):
        receipt = version.receipt(EvalReceipt)
        where = f"{version.artifacts}/eval_score.json"
        if receipt is None:
            if version.number >= loop.first_version:
                _discard_unearned(version, where)
            continue
        stamp = tree.known.stamp(where)
        if tree.known.recall(where, EvalReceipt, stamp) is receipt:
            continue  # seen to agree, and neither has changed since
        expected = score_bytes(receipt, loop.dataset_id)
        present = tree.read(where) if tree.is_file(where) else b""
        if present == expected:
            tree.known.keep(where, receipt, stamp)
            continue
        if tree.kind(where) not in ("file", None):
            tree.remove(where)
        tree.write(where, expected)
        version.record("score_restored", found=hashlib.sha256(present).hexdigest())
        restored.append(version.id)
    return tuple(restored)


def _discard_unearned(version: Version, where: str) -> None:
    """Moves a score that no evaluation of this loop made to the trash."""
    workspace = version.project.workspace
    aside = f"{workspace.trash}/{version.id}-unearned-eval_score.json"
    if workspace.tree.kind(where) is not None and workspace.tree.move(where, aside):
        version.record("score_discarded")


def score_bytes(receipt: EvalReceipt, dataset_id: str) -> bytes:
    """eval_score.json as it is published for this receipt (E3)."""
    score = Score(
        dataset_id=dataset_id,
        created_at=receipt.created_at,
        num_samples=receipt.num_samples,
        metrics=list(receipt.metrics),
        latency_ms=receipt.latency_ms,
    )
    return (json.dumps(score.model_dump(mode="json"), ensure_ascii=False, indent=2) + "\n").encode()


def accept_protocol(project: Project, *, asked: str | None = None) -> str | None:
    """Accepts a changed evaluator or data set for the user. Returns what changed, or None if nothing did.

    The next evaluation tries the evaluator again, which decides anew how versions are read, and the report scores
    every version again. `asked` is the digest of the change that the user agreed to; without it, the present one is
    accepted. Never call it for an agent.
    Raises `OutOfOrder` before the start, and `UserDecision` if the files have changed once more since the user
    agreed: then nothing is accepted.
    """
    with project.mutation():
        loop = project.loop()
        if loop is None:
            raise OutOfOrder("no loop has been started, so there is no protocol yet", hint=_START)
        present = present_protocol(project, loop)
        decision = protocol_decision(project, loop, present)
        if decision is None:
            return None
        if asked not in (None, decision.digest):
            raise decision
        stats = read_stats(project.workspace, loop.dataset_id)
        renewed = loop.model_copy(
            update={
                "val_samples": stats.val_samples,
                "task_type": stats.task_type,
                "agreed": present if present.files else None,  # without an evaluator, one may be written
            }
        )
        transaction.commit(project.workspace, new={}, changed={}, records={project.workspace.loop_file: renewed})
        project.workspace.tree.remove(FROZEN)
        # Last: whatever stops this before, the old protocol still holds, and the user is asked again.
        project.workspace.tree.remove(ACCEPTANCE)
        journal.record(project.workspace, "protocol_accepted", changed=decision.changed)
        return decision.changed


def accept_rules(project: Project, *, asked: str | None = None) -> str | None:
    """Accepts the user's changed rules or instruction. Returns what changed, or None if nothing did.

    `asked` is the digest of the change that the user agreed to; without it, the present one is accepted. Never call
    it for an agent. Raises `OutOfOrder` before the start, and `UserDecision` if the files have changed once more since
    the user agreed: then nothing is accepted.
    """
    with project.mutation():
        rules = project.rules()
        loop = project.loop()
        if loop is None:
            raise OutOfOrder("no loop has been started, so the rules are read as they are", hint=_START)
        decision = project.rules_decision(rules, loop)
        if decision is None:
            return None
        if asked not in (None, decision.digest):
            raise decision
        pinned = loop.model_copy(
            update={"rules_sha256": rules.rules_sha256, "instruction_sha256": rules.instruction_sha256}
        )
        transaction.commit(project.workspace, new={}, changed={}, records={project.workspace.loop_file: pinned})
        journal.record(project.workspace, "rules_accepted", detail=decision.changed)
        return decision.changed


def require_modules(version: Version) -> None:
    """Raises `GuardError` if a local module is not the one that the parent was trained with: no diff shows that change.

    Nor a copy of a settings file that bears a version's name. What else a script reads is the user's to change.
    The first version has no parent to compare with; what a repair changed is allowed.
    """
    workspace, parent = version.project.workspace, version.parent
    trained = parent.receipt(TrainReceipt) if parent else None
    if parent is None or trained is None:
        return
    expected = dict(trained.snapshot)
    for attempt in (*version.attempts("rehearse"), *version.attempts("train")):
        expected |= attempt.repair.files if attempt.repair else {}
    for name in (*(modules := version.code_files()[1:]), *version.config_copies()):
        if name not in expected and name in modules:
            raise GuardError(
                f"imports {name}, which {parent.script_name} did not have: its code stands in no diff",
                where=version.script_name,
                hint="the new code belongs into the script; ask the user to remove the module, or to have it in v001",
            )
        if name not in expected:
            raise GuardError(
                f"reads {name}, which {parent.script_name} did not: its values stand in no diff",
                where=version.script_name,
                hint="keep the file that its parent reads, and set the new value in the script",
            )
        if sha256(workspace.tree, name) != expected[name]:
            raise GuardError(
                f"was edited since {parent.script_name} was trained, so that two things would change at once",
                where=name,
                hint=f"copy {parent.snapshot}/{name} back over it; changes go through the script's diff",
            )


def take_snapshot(version: Version) -> dict[str, str]:
    """Copies the version's script and local modules aside; relative path -> sha256. Replaces an earlier snapshot."""
    workspace = version.project.workspace
    names = (*version.code_files(), *version.config_copies())
    workspace.tree.remove(version.snapshot)
    hashes: dict[str, str] = {}
    for name in names:
        data = workspace.tree.read(name)
        workspace.tree.write(f"{version.snapshot}/{name}", data)
        hashes[name] = hashlib.sha256(data).hexdigest()
    return hashes
