"""What a change may touch: the action's symbols, never the user's rules, never the evaluation (N1, C2, X2, T3).

What the code plainly says is refused before an hour is spent on it; whether a rule was kept is measured by the run.
"""

import ast
import builtins
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from ..errors import GuardError, RuleViolation
from ..rules.reading import Rules
from ..script.changes import Changes, changed_statements, changed_symbols
from ..script.fixed import Fixed, clashes, in_words, removed
from ..script.source import Script, bindings
from ..text import BIDI
from .patch import FilePatch, parse_diff

_DATASET_PATH = re.compile(r"prepdata[/\\]+([^/\\]+)")
_EVALUATION = re.compile(r"eval_score\.json|infer_samples|03_eval\.py|\.progressive-training")
# They make text read otherwise than it runs: whoever reads the diff would not see what it does.
_BIDI = re.compile(f"[{BIDI}]")


def check_change(old: Script, new: Script, rules: Rules) -> Changes:
    """What changed. Raises `GuardError` if nothing did, or the change touches evaluation, and `RuleViolation`."""
    changes = changed_symbols(old, new)
    if not changes.symbols and not changes.imports:
        raise GuardError(
            "the diff changes only comments, formatting or VERSION, so the training would be the same",
            where=new.name,
            hint="send the diff that carries out the selected action",
        )
    check_rules(old, new, rules)
    if set(_BIDI.findall(new.text)) - set(_BIDI.findall(old.text)):
        raise GuardError(
            "the diff brings in characters that reverse the direction of text: it reads otherwise than it runs",
            where=new.name,
            hint="write them as escapes, as \\u202e",
        )
    if added := sorted(_mentions(new) - _mentions(old)):
        raise GuardError(
            f"the diff brings in {', '.join(added)}: training must not read or write evaluation outputs",
            where=new.name,
            hint="leave evaluation to 03_eval.py and the server",
        )
    return changes


def check_rules(old: Script, new: Script, rules: Rules) -> None:
    """Raises `RuleViolation` naming each rule, the place and the allowed value."""
    extra = rules.file.synonyms
    if found := (*clashes(new, rules.fixed, extra, parent=old), *removed(old, new, rules.fixed, extra)):
        raise RuleViolation(
            f"the change breaks what the user fixed: {in_words(found)}",
            where=new.name,
            hint="keep the fixed values; change something else, or choose another action",
        )


def check_dataset(old: Script, new: Script, dataset_id: str) -> None:
    """Raises `GuardError` for a change that leads to another data set than the loop's (C6)."""
    places = clashes(new, [Fixed("dataset_config.dataset_id", "dataset_id", dataset_id)])
    paths = {other for other in _datasets(new) - _datasets(old) if other != dataset_id}
    if found := [*(f"{clash.place}: {clash.found}" for clash in places), *sorted(paths)]:
        raise GuardError(
            f"it leads to another data set ({'; '.join(found)}), and this loop's is {dataset_id!r} to its end",
            where=new.name,
            hint="leave DATASET_ID and the data's path as they are",
        )


def _datasets(script: Script) -> set[str]:
    texts = (node.value for node in ast.walk(script.tree) if isinstance(node, ast.Constant))
    return {match[1] for text in texts if isinstance(text, str) for match in _DATASET_PATH.finditer(text)}


def check_imports(old: Script, new: Script) -> None:
    """Raises `GuardError` for an import that changes what the rest of the script means."""
    if found := _swapped(old, new):
        raise GuardError(
            f"the diff's imports give another meaning to {', '.join(found)}, also outside the action's where",
            where=new.name,
            hint="import it under a name of its own, and use that in the action's symbols",
        )


def _swapped(old: Script, new: Script) -> tuple[str, ...]:
    """The names that a changed import of the module gives another meaning in code that stays: `Adam as SGD`."""
    before, after = (dict(_imports(script.tree)) for script in (old, new))
    added = [(name, origin) for name, origin in _imports(new.tree) if before.get(name) != origin]
    used = {node.id for node in ast.walk(old.tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    own = {symbol.name for symbol in old.symbols} | {name for node in old.tree.body for name, _ in bindings(node)}
    return tuple(
        f"{name}, which becomes {after[name]}" if name != "*" else f"every name of {origin.removesuffix('.*')}"
        for name, origin in added
        if name == "*" or (name in used and (name in before or name in own or hasattr(builtins, name)))
    )


def _imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """The names that the module's imports bind, each with its full name: `L` is `lightning`."""
    for node in tree.body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.split(".")[0]
                yield (alias.asname, alias.name) if alias.asname else (first, first)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            for alias in node.names:
                yield alias.asname or alias.name, f"{module}.{alias.name}"


def check_action(changes: Changes, where: Sequence[str], script: str) -> None:
    """Raises `GuardError` naming the changed symbols that lie outside the action's `where`.

    A class in `where` covers its methods and fields; `+Name` covers a new symbol and all that is in it. Imports are
    free, but alone they are no action.
    """
    if not changes.symbols:
        raise GuardError(
            f"the diff changes imports alone ({', '.join(changes.imports)}), and none of {', '.join(sorted(where))}",
            where=script,
            hint="send the diff that carries out the selected action",
        )
    outside = [name for name in changes.symbols if not _is_within(name, where)]
    if outside:
        raise GuardError(
            f"the diff also changes {', '.join(outside)}, and the action's where is {', '.join(sorted(where))}",
            where=script,
            hint="leave those parts as they are: one version is exactly one action away from its parent",
        )


def check_parts(changes: Changes, parts: Sequence[Sequence[str]], script: str) -> None:
    """Raises `GuardError` naming the actions, each by its symbols, of which the diff carries out nothing."""
    for number, where in enumerate(parts, 1):
        if not any(_is_within(name, where) for name in changes.symbols):
            raise GuardError(
                f"the diff changes nothing of action {number}: none of {', '.join(sorted(where))}",
                where=script,
                hint="send a diff that carries out each of the selected actions",
            )


def _is_within(name: str, where: Sequence[str]) -> bool:
    allowed = {one.removeprefix("+") for one in where}
    return any(name == one or name.startswith(f"{one}.") for one in allowed)


def check_budget(old: Script, new: Script, most: int, actions: int = 1) -> None:
    """Raises `GuardError` for a change of more statements than `loop_config.max_changed_statements` for each action."""
    count = changed_statements(old, new)
    if count > most * actions:
        each = f" for each of {actions} actions" if actions > 1 else ""
        raise GuardError(
            f"the diff changes {count} statements, and loop_config.max_changed_statements is {most}{each}",
            where=new.name,
            hint="make the action smaller, so that its effect can be told; the user may raise the limit",
        )


def _mentions(script: Script) -> Counter[str]:
    """How often the code's texts name evaluation files; comments don't count."""
    texts = (node.value for node in ast.walk(script.tree) if isinstance(node, ast.Constant))
    return Counter(match for text in texts if isinstance(text, str) for match in _EVALUATION.findall(text))


def only_patch(diff: str, name: str, following: str) -> FilePatch:
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


def patches_by_file(diff: str, allowed: Sequence[str]) -> Mapping[str, FilePatch]:
    """The diff's parts by file. `allowed` are the script, which a diff without a name is of, and its local modules.

    Raises `GuardError` for a diff of another file.
    """
    found: dict[str, FilePatch] = {}
    for patch in parse_diff(diff):
        name = allowed[0] if patch.path is None else _match(patch.path, allowed)
        if name is None or name in found:
            raise GuardError(
                f"the diff changes {patch.path}, and may change only {', '.join(allowed)}",
                where="diff",
                hint="repair the script or a local module that it imports",
            )
        found[name] = patch
    return found


def _match(path: str, allowed: Sequence[str]) -> str | None:
    parts = PurePosixPath(path).parts
    fitting = [name for name in allowed if parts[-len(PurePosixPath(name).parts) :] == PurePosixPath(name).parts]
    return max(fitting, key=len, default=None)
