"""The current script + one action + a diff -> the next version's script, and a failed version's repair (N1, T4)."""

import hashlib
import json
from collections.abc import Iterator

from ..judge.comparison import compare
from ..project.integrity import require_intact
from ..project.notices import Notice
from ..project.project import Project
from ..project.receipts import ActionReceipt, NextReceipt
from ..project.state import derive, require
from ..project.version import Version
from ..rules.checks import check_script
from ..rules.reading import Rules
from ..script import Changes, Script, decode_script, symbol_shapes
from ..script.version import with_header, with_version
from ..store import journal, transaction
from ..store.paths import version_id
from .action import unrelated_settings
from .guard import (
    check_action,
    check_budget,
    check_change,
    check_dataset,
    check_imports,
    only_patch,
)
from .patch import apply_patch


def author_next_version(project: Project, cur: int, diff: str) -> tuple[NextReceipt, bool]:
    """Makes the script of `cur` + 1 from the current one and exactly the selected action's diff.

    Returns its receipt, and whether it was made before this call. Raises `OutOfOrder`, `DiffError`, `GuardError`,
    `RuleViolation`, `ScriptError` (the result doesn't parse); nothing is written then.
    """
    rules = project.rules()
    with project.mutation():
        state = derive(project, rules)
        if 1 <= cur <= state.cur and (receipt := Version(project, cur).receipt(NextReceipt)):
            return receipt, True
        require_intact(project, rules, require(state, "author_next_version", cur, "author"))
        Version(project, cur).require_authored()
        action = Version(project, cur).receipt(ActionReceipt)
        assert action is not None, "the phase says that an action is selected"
        text, receipt = _next_script(project, rules, cur, action, diff)
        workspace = project.workspace
        script = workspace.script(cur + 1)
        transaction.commit(
            workspace,
            new={script: text},
            changed={f"{workspace.authored}/{script}": text},
            records={workspace.receipt(cur, "next"): receipt},
        )
        journal.record(workspace, "authored", version_id(cur + 1), symbols=list(receipt.symbols))
        return receipt, False


def _next_script(project: Project, rules: Rules, cur: int, action: ActionReceipt, diff: str) -> tuple[str, NextReceipt]:
    workspace = project.workspace
    name, following = workspace.script(cur), workspace.script(cur + 1)
    old = read_parsed(project, name)
    applied = apply_patch(old.text, only_patch(diff, name, following), name=name)
    new = Script.parse(applied.text, name)
    changes = check_change(old, new, rules)
    check_loop_dataset(project, old, new)
    check_imports(old, new)
    check_action(changes, action.where, name)
    check_budget(old, new, rules.file.loop_config.max_changed_statements)
    text, _ = with_version(applied.text, old=version_id(cur), new=version_id(cur + 1))
    text = with_header(
        text,
        f"{version_id(cur + 1)}, one action away from {version_id(cur)}",
        [("Goal", action.goal), ("Change", action.change), ("Changed", ", ".join(changes.symbols + changes.imports))],
    )
    check_script(Script.parse(text, following), rules)
    receipt = NextReceipt(
        script_sha256=sha256_of(text),
        diff=applied.diff,
        symbols=changes.symbols,
        code_sha256=_code_sha256(new, changes),
        notes=(
            *(Notice.of("hunk", text=note) for note in applied.notes),
            *unrelated_settings(old, new, changes),
            *repeated(project, rules, cur, new, changes),
        ),
        at=journal.now(),
    )
    return text, receipt


def repeated(project: Project, rules: Rules, cur: int, new: Script, changes: Changes) -> Iterator[Notice]:
    """Says which earlier version had changed the same symbols to the same code, and what came of it."""
    code = _code_sha256(new, changes)
    for number in project.workspace.versions():
        earlier = Version(project, number).receipt(NextReceipt)
        if earlier is None or number >= cur or earlier.code_sha256 != code:
            continue
        comparison = compare(project, rules, number + 1)
        moves = [f"{one.name} {one.reference} -> {one.value}" for one in comparison.to_previous] if comparison else []
        tried = version_id(number + 1)
        if moves:
            yield Notice.of("tried_before", version=tried, moves=", ".join(moves))
        else:
            yield Notice.of("tried_unscored", version=tried)


def _code_sha256(script: Script, changes: Changes) -> str:
    names = sorted(changes.symbols)
    return sha256_of(json.dumps([names, symbol_shapes(script, names)], sort_keys=True))


def check_loop_dataset(project: Project, old: Script, new: Script) -> None:
    if loop := project.loop():
        check_dataset(old, new, loop.dataset_id)


def read_parsed(project: Project, name: str) -> Script:
    return Script.parse(decode_script(project.workspace.tree.read(name), name), name)


def sha256_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
