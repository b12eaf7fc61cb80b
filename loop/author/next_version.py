"""The current script + one action + a diff -> the next version's script (N1)."""

import hashlib
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import PurePosixPath

from ..judge.comparison import compare
from ..project.notices import Notice
from ..project.project import Project
from ..project.receipts import ActionReceipt, LoopFile, NextReceipt, TrainReceipt
from ..project.turn import Turn, turn
from ..project.version import Version
from ..rules.checks import check_script
from ..rules.reading import Rules
from ..script.changes import Changes, symbol_shapes
from ..script.source import Script
from ..script.version import with_header, with_version
from ..store import journal, transaction
from ..store.paths import STATE
from .action import Action, unrelated_settings
from .by_editor import Change, left_by_editor
from .guard import check_action, check_budget, check_change, check_dataset, check_imports, check_parts, only_patch
from .patch import apply_patch


def author_next_version(project: Project, number: int, diff: str | None) -> tuple[NextReceipt, bool]:
    """Makes the script of version `number` + 1 from the current one and exactly the selected action's change.

    Without `diff` the change is what somebody's editor left: the next version's script or, where there is none, an
    edit of this one's. With `diff` a script that lies in the next one's place is put aside, and a note says where.

    Returns its receipt, and whether it was made before this call. Raises `OutOfOrder`, `DiffError`, `GuardError`,
    `RuleViolation`, `ScriptError` (the result doesn't parse); nothing is written then.
    """
    with turn(project, "author_next_version", number) as t:
        if t.state.cur > number and (receipt := t.done(NextReceipt)):
            return receipt, True
        loop = t.begin("author")
        action = t.version.receipt(ActionReceipt)
        assert action is not None, "the phase says that an action is selected"
        change = left_by_editor(t.version) if diff is None else sent(t.version, diff)
        draft = drafted(t, loop, change, action)
        old, new, changes, script = change.old, draft.new, draft.changes, draft.script
        receipt = NextReceipt(
            script_sha256=hashlib.sha256(script.encode()).hexdigest(),
            diff=change.diff,
            symbols=changes.symbols,
            code_sha256=_code_sha256(new, changes),
            notes=(
                *change.notes,
                *_put_aside(t.version.child, script, adopted=diff is None),
                *unrelated_settings(old, new, changes),
                *_repeated(t, new, changes),
            ),
            at=journal.now(),
        )
        _commit(t.version, script, receipt)
        return receipt, False


@dataclass(frozen=True)
class Draft:
    """A change that passed every check. `new` is the script as changed, `script` its text as the child's."""

    change: Change
    new: Script
    changes: Changes
    script: str


def drafted(t: Turn, loop: LoopFile, change: Change, action: ActionReceipt | Action) -> Draft:
    """The checked change; nothing is written. Raises `GuardError`, `RuleViolation`, `ScriptError`."""
    old, new = change.old, Script.parse(change.text, change.old.name)
    changes = check_change(old, new, t.rules)
    check_dataset(old, new, loop.dataset_id)
    check_imports(old, new)
    parts = [part.where for part in action.parts or (action,)]
    check_action(changes, [name for where in parts for name in where], old.name)
    check_parts(changes, parts, old.name)
    most = t.rules.file.loop_config.max_changed_statements
    check_budget(old, new, most, actions=len(parts))
    return Draft(change, new, changes, _as_child(t, old, change.text, action, changes))


def sent(version: Version, diff: str) -> Change:
    old = version.script()
    applied = apply_patch(old.text, only_patch(diff, old.name, version.child.script_name), name=old.name)
    return Change(old, applied.text, applied.diff, tuple(Notice.of("hunk", text=note) for note in applied.notes))


def _put_aside(child: Version, script: str, *, adopted: bool) -> Iterator[Notice]:
    """Keeps what lies in the child's place and is neither its script nor taken as that; a note says where."""
    workspace, name = child.project.workspace, child.script_name
    kind = workspace.tree.kind(name)
    if adopted or kind is None or (kind == "file" and workspace.tree.read(name) == script.encode()):
        return
    taken = workspace.tree.names(f"{STATE}/kept")
    kept = next(one for at in count(1) if (one := f"{at:03d}-{name}") not in taken)
    workspace.tree.move(name, f"{STATE}/kept/{kept}")
    child.record("put_aside", kept=f"{STATE}/kept/{kept}")
    yield Notice.of("put_aside", name=name, kept=f"{STATE}/kept/{kept}")


def _as_child(t: Turn, old: Script, text: str, action: ActionReceipt | Action, changes: Changes) -> str:
    """The changed script with the child's VERSION, paths and header. Raises `RuleViolation`, `ScriptError`."""
    child = t.version.child
    text, _ = with_version(text, old=t.version.id, new=child.id)
    text = with_header(
        text,
        f"{child.id}, {_counted(len(action.parts))} away from {t.version.id}",
        [("Goal", action.goal), ("Change", action.change), ("Changed", ", ".join(changes.symbols + changes.imports))],
    )
    check_script(Script.parse(text, child.script_name), t.rules, old)
    return text


def _counted(actions: int) -> str:
    return f"{actions} actions" if actions > 1 else "one action"


def _commit(version: Version, text: str, receipt: NextReceipt) -> None:
    workspace, script = version.project.workspace, version.child.script_name
    transaction.commit(
        workspace,
        moved=_left(version.child, receipt.script_sha256),
        new={},
        changed={script: text, f"{workspace.authored}/{script}": text},
        records={version.receipt_file(NextReceipt): receipt},
    )
    version.child.record("authored", symbols=list(receipt.symbols))
    if version.is_edited and (kept := version.kept()) is not None:  # the edit is the child now
        workspace.tree.write(version.script_name, kept)


def _left(child: Version, script_sha256: str) -> dict[str, str]:
    """What lies under the child's name of another script's runs, from where to where in the trash.

    A receipt that somebody deleted, or an older state put back, leaves that; of the very same script it holds.
    """
    workspace, trained = child.project.workspace, child.receipt(TrainReceipt)
    if trained is not None and trained.script_sha256 == script_sha256:
        return {}
    places = [workspace.receipts(child.number), workspace.attempts(child.number), child.snapshot]
    places.append(PurePosixPath(workspace.sample_scores(child.number)).parent.as_posix())
    aside = f"{workspace.trash}/{child.id}-left-{uuid.uuid4().hex[:8]}"
    return {one: f"{aside}/{one.lstrip('.')}" for one in places if workspace.tree.kind(one) is not None}


def _repeated(t: Turn, new: Script, changes: Changes) -> Iterator[Notice]:
    """A note naming the earlier version that changed the same symbols to the same code, and what came of it."""
    project, code = t.version.project, _code_sha256(new, changes)
    for number in project.versions():
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
