"""What changed between two scripts, counted in symbols and in statements."""

import ast
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import cast

from .source import MODULE, Script, is_note, shape, units


@dataclass(frozen=True)
class Changes:
    """What differs between two scripts, in the order of the newer one; what it lost comes last.

    A class that is wholly new or gone is one symbol, its own name. `imports` are `+ import math` / `- import math`,
    one a name. `version` says that the module-level VERSION differs; it is not among `symbols`.
    """

    symbols: tuple[str, ...]
    imports: tuple[str, ...]
    version: bool


def changed_symbols(old: Script, new: Script) -> Changes:
    """The definitions that differ, compared by syntax tree: comments, docstrings and formatting don't count.

    A class-level change that is no method or field counts as the class. Moving a definition doesn't count, except that
    a changed order of module-level statements is `<module>` and a changed order of a class's fields is the class.
    """
    before, after = _shapes(old.tree), _shapes(new.tree)
    names = [*after, *(name for name in before if name not in after)]
    changed = [name for name in names if before.get(name) != after.get(name)]
    whole = {unit.name for tree in (old.tree, new.tree) for unit in units(tree) if unit.kind == "class"}
    whole = {name for name in whole if (name in before) != (name in after)}
    changed = [name for name in changed if not any(name.startswith(f"{owner}.") for owner in whole)]
    reordered = [name for name in _reordered(old.tree, new.tree) if name not in changed]
    imports_before, imports_after = _imports(old.tree), _imports(new.tree)
    imports = [f"+ {line}" for line in imports_after if line not in imports_before]
    imports += [f"- {line}" for line in imports_before if line not in imports_after]
    symbols = tuple(name for name in [*changed, *reordered] if name != "VERSION")
    return Changes(symbols, tuple(imports), "VERSION" in changed)


def changed_statements(old: Script, new: Script) -> int:
    """How many statements an edit from `old` to `new` replaces, adds or removes; a block counts by its header."""
    before, after = list(_flat(old.tree, 0)), list(_flat(new.tree, 0))
    steps = SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    return sum(max(i2 - i1, j2 - j1) for tag, i1, i2, j1, j2 in steps if tag != "equal")


def symbol_shapes(script: Script, names: Sequence[str]) -> dict[str, list[str]]:
    """What each of these symbols is in the script, comparable between scripts; one that it lacks is left out."""
    shapes = _shapes(script.tree)
    return {name: shapes[name] for name in names if name in shapes}


def _shapes(tree: ast.Module) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for unit in units(tree):
        found.setdefault(unit.name, []).append(unit.shape)
    return found


def _reordered(old: ast.Module, new: ast.Module) -> Iterator[str]:
    before, after = _order(old), _order(new)
    for owner in after:
        counts = [Counter(order.get(owner, [])) for order in (before, after)]
        common = {key for key in counts[1] if counts[0][key] == counts[1][key] == 1}
        if [k for k in before.get(owner, []) if k in common] != [k for k in after[owner] if k in common]:
            yield owner or MODULE


def _order(tree: ast.Module) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for unit in units(tree):
        if unit.kind in ("constant", "field", "statement"):
            found.setdefault(unit.owner, []).append(unit.shape if unit.kind == "statement" else unit.name)
    return found


def _imports(tree: ast.Module) -> list[str]:
    lines: list[str] = []
    for statement in tree.body:
        if isinstance(statement, ast.Import):
            lines += [ast.unparse(ast.Import([alias])) for alias in statement.names]
        elif isinstance(statement, ast.ImportFrom):
            lines += [ast.unparse(ast.ImportFrom(statement.module, [a], statement.level)) for a in statement.names]
    return lines


_BLOCKS = frozenset({"body", "orelse", "finalbody", "handlers", "cases"})


def _flat(node: ast.AST, depth: int) -> Iterator[str]:
    for name, value in ast.iter_fields(node):
        if name not in _BLOCKS or not isinstance(value, list):
            continue
        for child in cast("list[ast.AST]", value):
            if not is_note(child):
                blocks = {key for key, inner in ast.iter_fields(child) if key in _BLOCKS and isinstance(inner, list)}
                yield f"{depth}{name}{shape(child, skip=blocks)}"
                yield from _flat(child, depth + 1)
