"""Is everything still as the loop left it? Asked by every Step that changes something."""

import hashlib
import json

from ..evaluate.acceptance import require_protocol
from ..evaluate.output import Score
from ..rules.reading import Rules
from ..store import journal
from ..store.paths import version_id
from .project import Project
from .receipts import EvalReceipt, LoopFile
from .state import eval_receipt


def require_intact(project: Project, rules: Rules, loop: LoopFile) -> None:
    """Puts published scores that were edited by hand back; call it with the lock held.

    Raises `UserDecision` if the user's files, the evaluator or the data set changed.
    """
    project.require_unchanged_rules(rules, loop)
    require_protocol(project, loop)
    restore_scores(project, loop)


def restore_scores(project: Project, loop: LoopFile) -> tuple[str, ...]:
    """Writes each eval_score.json that is not what its receipt says again; the versions that needed it."""
    restored: list[str] = []
    tree = project.workspace.tree
    for cur in project.workspace.versions():
        receipt = eval_receipt(project, cur)
        where = f"{project.workspace.artifacts(cur)}/eval_score.json"
        if receipt is None:
            if cur >= loop.first_version:
                _discard_unearned(project, cur, where)
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
        journal.record(project.workspace, "score_restored", version_id(cur), found=hashlib.sha256(present).hexdigest())
        restored.append(version_id(cur))
    return tuple(restored)


def _discard_unearned(project: Project, cur: int, where: str) -> None:
    """A score that no evaluation of this loop made goes to the trash."""
    aside = f"{project.workspace.trash}/{version_id(cur)}-unearned-eval_score.json"
    if project.workspace.tree.kind(where) is not None and project.workspace.tree.move(where, aside):
        journal.record(project.workspace, "score_discarded", version_id(cur))


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
