"""The current script + one action + a diff -> the next version's script (N1)."""

import hashlib
import json
from collections.abc import Iterator

from ..judge.comparison import compare
from ..project.notices import Notice
from ..project.project import Project
from ..project.receipts import ActionReceipt, NextReceipt
from ..project.turn import Turn, turn
from ..project.version import Version
from ..rules.checks import check_script
from ..rules.reading import Rules
from ..script.changes import Changes, symbol_shapes
from ..script.source import Script
from ..script.version import with_header, with_version
from ..store import journal, transaction
from .action import unrelated_settings
from .guard import check_action, check_budget, check_change, check_dataset, check_imports, only_patch
from .patch import apply_patch


def author_next_version(project: Project, number: int, diff: str) -> tuple[NextReceipt, bool]:
    """Makes the script of version `number` + 1 from the current one and exactly the selected action's diff.

    Returns its receipt, and whether it was made before this call. Raises `OutOfOrder`, `DiffError`, `GuardError`,
    `RuleViolation`, `ScriptError` (the result doesn't parse); nothing is written then.
    """
    with turn(project, "author_next_version", number) as t:
        if receipt := t.done(NextReceipt):
            return receipt, True
        loop = t.begin("author")
        action = t.version.receipt(ActionReceipt)
        assert action is not None, "the phase says that an action is selected"
        old = t.version.script()
        applied = apply_patch(old.text, only_patch(diff, old.name, t.version.child.script_name), name=old.name)
        new = Script.parse(applied.text, old.name)
        changes = check_change(old, new, t.rules)
        check_dataset(old, new, loop.dataset_id)
        check_imports(old, new)
        check_action(changes, action.where, old.name)
        check_budget(old, new, t.rules.file.loop_config.max_changed_statements)
        script = _as_child(t, applied.text, action, changes)
        receipt = NextReceipt(
            script_sha256=hashlib.sha256(script.encode()).hexdigest(),
            diff=applied.diff,
            symbols=changes.symbols,
            code_sha256=_code_sha256(new, changes),
            notes=(
                *(Notice.of("hunk", text=note) for note in applied.notes),
                *unrelated_settings(old, new, changes),
                *_repeated(t, new, changes),
            ),
            at=journal.now(),
        )
        _commit(t.version, script, receipt)
        return receipt, False


def _as_child(t: Turn, text: str, action: ActionReceipt, changes: Changes) -> str:
    """The changed script with the child's VERSION, paths and header. Raises `RuleViolation`, `ScriptError`."""
    child = t.version.child
    text, _ = with_version(text, old=t.version.id, new=child.id)
    text = with_header(
        text,
        f"{child.id}, one action away from {t.version.id}",
        [("Goal", action.goal), ("Change", action.change), ("Changed", ", ".join(changes.symbols + changes.imports))],
    )
    check_script(Script.parse(text, child.script_name), t.rules, t.version.script())
    return text


def _commit(version: Version, text: str, receipt: NextReceipt) -> None:
    workspace, script = version.project.workspace, version.child.script_name
    transaction.commit(
        workspace,
        new={script: text},
        changed={f"{workspace.authored}/{script}": text},
        records={version.receipt_file(NextReceipt): receipt},
    )
    version.child.record("authored", symbols=list(receipt.symbols))


def _repeated(t: Turn, new: Script, changes: Changes) -> Iterator[Notice]:
    """A note naming the earlier version that changed the same symbols to the same code, and what came of it."""
    project, code = t.version.project, _code_sha256(new, changes)
    for number in project.workspace.versions():
        earlier = Version(project, number)
        authored = earlier.receipt(NextReceipt)
        if authored is not None and number < t.version.number and authored.code_sha256 == code:
            yield _tried(earlier.child, t.rules)


def _tried(version: Version, rules: Rules) -> Notice:
    comparison = compare(version, rules)
    moves = [f"{one.name} {one.reference} -> {one.value}" for one in comparison.to_previous] if comparison else []
    if moves:
        return Notice.of("tried_before", version=version.id, moves=", ".join(moves))
    return Notice.of("tried_unscored", version=version.id)


def _code_sha256(script: Script, changes: Changes) -> str:
    names = sorted(changes.symbols)
    return hashlib.sha256(json.dumps([names, symbol_shapes(script, names)], sort_keys=True).encode()).hexdigest()
