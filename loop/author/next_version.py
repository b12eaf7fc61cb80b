"""The current script + one action + a diff -> the next version's script, and a failed version's repair (N1, T4)."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from ..errors import DocumentError, GuardError
from ..judge.comparison import compare
from ..project.attempts import attempts
from ..project.integrity import require_intact
from ..project.project import Project
from ..project.receipts import ActionReceipt, NextReceipt, Repair
from ..project.scripts import require_authored
from ..project.state import action_receipt, derive, next_receipt, require
from ..rules.reading import Rules
from ..script import Changes, Script, decode_script, local_imports, symbol_shapes, with_version
from ..script.version import with_header
from ..store import journal, transaction
from ..store.paths import version_id
from ..train.training import check_script
from .guard import check_action, check_budget, check_change, check_dataset, check_imports, check_rules
from .one_action import unrelated_settings
from .patch import FilePatch, apply_patch, parse_diff


def author_next_version(project: Project, cur: int, diff: str) -> tuple[NextReceipt, bool]:
    """Makes the script of `cur` + 1 from the current one and exactly the selected action's diff.

    Returns its receipt, and whether it was made before this call. Raises `OutOfOrder`, `DiffError`, `GuardError`,
    `RuleViolation`, `ScriptError` (the result doesn't parse); nothing is written then.
    """
    rules = project.rules()
    with project.mutation():
        state = derive(project, rules)
        if 1 <= cur <= state.cur and (receipt := next_receipt(project, cur)):
            return receipt, True
        require_intact(project, rules, require(state, "author_next_version", cur, "author"))
        require_authored(project, cur)
        action = action_receipt(project, cur)
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
    old = _read(project, name)
    applied = apply_patch(old.text, _only_patch(diff, name, following), name=name)
    new = Script.parse(applied.text, name)
    changes = check_change(old, new, rules)
    _check_dataset(project, old, new)
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
        script_sha256=_sha256(text),
        diff=applied.diff,
        symbols=changes.symbols,
        code_sha256=_code_sha256(new, changes),
        notes=(*applied.notes, *unrelated_settings(old, new, changes), *repeated(project, rules, cur, new, changes)),
        at=journal.now(),
    )
    return text, receipt


def repeated(project: Project, rules: Rules, cur: int, new: Script, changes: Changes) -> Iterator[str]:
    """Says which earlier version had changed the same symbols to the same code, and what came of it."""
    code = _code_sha256(new, changes)
    for number in project.workspace.versions():
        earlier = next_receipt(project, number)
        if earlier is None or number >= cur or earlier.code_sha256 != code:
            continue
        comparison = compare(project, rules, number + 1)
        moves = [f"{one.name} {one.reference} -> {one.value}" for one in comparison.to_previous] if comparison else []
        yield f"{version_id(number + 1)} had tried the same ({', '.join(moves) or 'it has no score'})"


def _code_sha256(script: Script, changes: Changes) -> str:
    names = sorted(changes.symbols)
    return _sha256(json.dumps([names, symbol_shapes(script, names)], sort_keys=True))


def _only_patch(diff: str, name: str, following: str) -> FilePatch:
    """The diff's one file. Raises `GuardError` for a diff of several files or of another one."""
    patches = parse_diff(diff)
    named = {PurePosixPath(patch.path).name for patch in patches if patch.path}
    if len(patches) != 1 or not named <= {name, following}:
        raise GuardError(
            f"the diff is of {', '.join(sorted(named)) or 'several files'}; a new version changes {name} alone",
            where="diff",
            hint=f"send the diff against {name} only",
        )
    (patch,) = patches
    return patch


def repair_version(
    project: Project, cur: int, diff: str, *, root_cause: str, change_summary: str
) -> tuple[Repair, bool]:
    """Repairs the failed version's script, or a local module that it imports, under the rules (T4).

    Returns the repair, and whether it was made before this call. Raises like `author_next_version`.
    """
    for name, text in (("root_cause", root_cause), ("change_summary", change_summary)):
        if not text.strip():
            raise DocumentError("is empty", where=name, hint="say it in a sentence; it goes into the retry report")
    rules = project.rules()
    with project.mutation():
        state = derive(project, rules)
        tried = attempts(project, cur, "train") if 1 <= cur <= state.cur else []
        if state.phase == "train" and cur == state.cur and tried and (repair := tried[-1].repair):
            return repair, True
        require_intact(project, rules, require(state, "repair_version", cur, "repair"))
        require_authored(project, cur)
        texts, real_diff = _repaired(project, rules, cur, diff)
        repair = Repair(
            root_cause_hypothesis=root_cause.strip(),
            code_change_summary=change_summary.strip(),
            files={name: _sha256(text) for name, text in texts.items()},
            diff=real_diff,
            at=journal.now(),
        )
        workspace = project.workspace
        script = workspace.script(cur)
        kept = {f"{workspace.authored}/{script}": texts[script]} if script in texts else {}
        transaction.commit(
            workspace, new={}, changed=texts | kept, records={f"{tried[-1].relative}/repair.json": repair}
        )
        journal.record(workspace, "repaired", version_id(cur), files=", ".join(sorted(texts)))
        return repair, False


def _repaired(project: Project, rules: Rules, cur: int, diff: str) -> tuple[dict[str, str], str]:
    script = project.workspace.script(cur)
    texts: dict[str, str] = {}
    diffs: list[str] = []
    for name, patch in patches_by_file(project, script, diff).items():
        old = _read(project, name)
        applied = apply_patch(old.text, patch, name=name)
        new = Script.parse(applied.text, name)
        if name == script:
            check_change(old, new, rules)
            _check_dataset(project, old, new)
            check_script(new, rules)
        else:
            check_rules(old, new, rules)
        texts[name] = applied.text
        diffs.append(applied.diff)
    return texts, "".join(diffs)


def _check_dataset(project: Project, old: Script, new: Script) -> None:
    if loop := project.loop():
        check_dataset(old, new, loop.dataset_id)


def patches_by_file(project: Project, script: str, diff: str) -> Mapping[str, FilePatch]:
    """The diff's files as paths in the project. Raises `GuardError` for one that the script doesn't consist of."""
    root = project.workspace.root
    allowed = [script, *(path.relative_to(root).as_posix() for path in local_imports(root / script, root))]
    found: dict[str, FilePatch] = {}
    for patch in parse_diff(diff):
        name = script if patch.path is None else _match(patch.path, allowed)
        if name is None or name in found:
            raise GuardError(
                f"the diff changes {patch.path}, and may change only {', '.join(allowed)}",
                where="diff",
                hint="repair the script or a local module that it imports",
            )
        found[name] = patch
    return found


def _match(path: str, allowed: list[str]) -> str | None:
    parts = PurePosixPath(path).parts
    fitting = [name for name in allowed if parts[-len(PurePosixPath(name).parts) :] == PurePosixPath(name).parts]
    return max(fitting, key=len, default=None)


def _read(project: Project, name: str) -> Script:
    return Script.parse(decode_script(project.workspace.tree.read(name), name), name)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
