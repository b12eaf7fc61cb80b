"""A failed version's repair: the same version's script, or a local module that it imports (T4)."""

import hashlib
from collections.abc import Mapping

from ..errors import DocumentError
from ..project.attempts import Attempt
from ..project.project import Project
from ..project.receipts import Repair
from ..project.turn import Turn, turn
from ..project.version import Version
from ..rehearse.rehearsal import is_repairable
from ..rules.checks import check_script
from ..script.source import Script
from ..store import journal, transaction
from ..store.records import Record
from ..train.training import Revoked, begin_anew, revoked
from .by_editor import edited_files
from .guard import check_change, check_dataset, check_rules, patches_by_file
from .patch import apply_patch, unified_diff


def repair_version(
    project: Project, number: int, diff: str | None, *, root_cause: str, change_summary: str
) -> tuple[Repair, bool]:
    """Repairs the failed version's script, or a local module that it imports, under the rules (T4).

    Also that of a version that isn't trained yet, if its rehearsal found a problem; and of one whose evaluation failed
    for more than the machine's sake: its training is then taken back. Without `diff` the repair is what somebody's
    editor left in these files.

    Returns the repair, and whether it was made before this call. Raises like `author_next_version`.
    """
    for name, text in (("root_cause", root_cause), ("change_summary", change_summary)):
        if not text.strip():
            raise DocumentError("is empty", where=name, hint="say it in a sentence; it goes into the retry report")
    with turn(project, "repair_version", number) as t:
        if repair := _done(t):
            return repair, True
        loop = t.begin(
            "repair", *(("train",) if _is_rehearsed(t) else ()), *(("evaluate",) if t.state.repairable else ())
        )
        texts, real_diff = _repaired(t, diff, loop.dataset_id)
        repair = Repair(
            root_cause_hypothesis=root_cause.strip(),
            code_change_summary=change_summary.strip(),
            files={name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()},
            diff=real_diff,
            at=journal.now(),
        )
        _commit(t, texts, repair)
        return repair, False


def _done(t: Turn) -> Repair | None:
    """The repair of the last attempt, until that is trained again."""
    if t.state.phase != "train" or t.version.number != t.state.cur:
        return None
    return _failed(t).repair if _tried(t) else None


def _tried(t: Turn) -> list[Attempt]:
    """The trainings; before the first one, the rehearsals."""
    return t.version.attempts("train") or t.version.attempts("rehearse")


def _failed(t: Turn) -> Attempt:
    return _tried(t)[-1]


def _is_rehearsed(t: Turn) -> bool:
    """Whether nothing was trained yet, and the rehearsal found a problem."""
    return t.version.number == t.state.cur and is_repairable(t.version) is not None


def _repaired(t: Turn, diff: str | None, dataset_id: str) -> tuple[dict[str, str], str]:
    """The changed files' texts, and the diff as it was applied."""
    changed = edited_files(t.version) if diff is None else _sent(t.version, diff)
    for name, (old, text) in changed.items():
        new = Script.parse(text, name)
        if name == t.version.script_name:
            check_change(old, new, t.rules)
            check_dataset(old, new, dataset_id)
            check_script(new, t.rules, old)
        else:
            check_rules(old, new, t.rules)
    diffs = (unified_diff(old.text, text, name=name) for name, (old, text) in changed.items())
    return {name: text for name, (_, text) in changed.items()}, "".join(diffs)


def _sent(version: Version, diff: str) -> dict[str, tuple[Script, str]]:
    """Each file that the diff is of: how it is, and its text with the diff."""
    script, changed = version.script(), dict[str, tuple[Script, str]]()
    for name, patch in patches_by_file(diff, version.code_files()).items():
        old = script if name == script.name else version.module(name)
        changed[name] = (old, apply_patch(old.text, patch, name=name).text)
    return changed


def _commit(t: Turn, texts: Mapping[str, str], repair: Repair) -> None:
    workspace, script = t.version.project.workspace, t.version.script_name
    kept = {f"{workspace.authored}/{script}": texts[script]} if script in texts else {}
    records: Mapping[str, Record] = {f"{_failed(t).relative}/repair.json": repair}
    failed = t.state.failed if t.state.trained else None
    taken = revoked(t.version, failed) if failed else Revoked({}, {}, {})
    transaction.commit(
        workspace,
        moved=taken.moved,
        new={},
        changed={**texts, **kept},
        records={**taken.records, **records},
        revoked=taken.receipt,
    )
    if failed:
        begin_anew(t.version, t.rules)
    t.version.record("repaired", files=", ".join(sorted(texts)))
