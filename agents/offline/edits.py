"""Small edits of a training script, found by its syntax tree and made in its text, so that every other byte stays."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from ...loop.script import Script
from ...loop.script.source import FunctionNode, units

Edit = tuple[int, int, str]
"""Start and end byte offset, and what to put there."""


@dataclass(frozen=True)
class Draft:
    """A proposed next script, before it is known whether it may be proposed; `change` says exactly what differs."""

    goal: str
    change: str
    text: str
    expected_impact: str
    risk: str


def dotted(node: ast.expr) -> str:
    """`torch.optim.SGD` for that expression; "" for anything that is no plain dotted name."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attr):
            base = dotted(value)
            return f"{base}.{attr}" if base else ""
        case _:
            return ""


def callee(call: ast.Call) -> str:
    """The last part of the called name: `SGD` for `torch.optim.SGD(…)`."""
    return dotted(call.func).rpartition(".")[2]


def calls(tree: ast.AST, *names: str) -> list[ast.Call]:
    """The calls of these names, in the order of the file."""
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and callee(node) in names]
    return sorted(found, key=lambda call: (call.lineno, call.col_offset))


def only(found: list[ast.Call]) -> ast.Call | None:
    """The one call there is; None for none, and for several, of which the wrong one might be taken."""
    return found[0] if len(found) == 1 else None


def keyword(call: ast.Call, name: str) -> ast.keyword | None:
    return next((item for item in call.keywords if item.arg == name), None)


def number(node: ast.AST | None) -> float | None:
    """The number that is written there; None for any expression."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        return float(node.value)
    return None


def with_keyword(script: Script, call: ast.Call, name: str, value: str) -> str:
    """The script with `name=value` given to the call, in the place of what it gives there or at its end."""
    given = keyword(call, name)
    if given is not None:
        return script.edited([(*script.span(given.value), value)])
    return script.edited([_appended(script, call, f"{name}={value}")])


def _appended(script: Script, call: ast.Call, argument: str) -> Edit:
    inside = [*call.args, *(item.value for item in call.keywords)]
    if not inside:
        end = script.span(call)[1] - 1
        return (end, end, argument)
    # Parentheses around the last argument lie outside its span, so the place is found from the call's end.
    end = script.span(call)[1]
    last = max(script.span(node)[1] for node in inside)
    tail = script.data[last : end - 1]
    code = b"\n".join(line.split(b"#")[0] for line in tail.split(b"\n"))
    if b"," not in code:
        depth = len(code) - len(code.lstrip(b") \t\r\n")) if b")" in code else 0
        return (last + depth, last + depth, f", {argument}")
    comma = last + tail.index(b",") + 1
    if call.lineno != call.end_lineno:
        first = script.span(inside[0])[0]
        line_start = script.data.rfind(b"\n", 0, first) + 1
        indent = script.data[line_start:first].decode()
        if not indent.strip():
            return (comma, comma, f"{newline_of(script)}{indent}{argument},")
    return (comma, comma, f" {argument},")


def newline_of(script: Script) -> str:
    return "\r\n" if b"\r\n" in script.data else "\n"


def imported(script: Script, name: str) -> str | None:
    """How `torch.optim.lr_scheduler`-like dotted names are reached: the local name of the module `name`, or None."""
    for node in script.tree.body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name == name and alias.asname:
                    return alias.asname
                if alias.name == name or (not alias.asname and name.startswith(f"{alias.name}.")):
                    return name
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            for alias in node.names:
                if f"{node.module}.{alias.name}" == name:
                    return alias.asname or alias.name
    return None


def import_edit(script: Script, module: str, name: str) -> Edit:
    """Adds `from module import name` below the last import at the top of the script."""
    last = [node for node in script.tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    newline = newline_of(script)
    line = f"from {module} import {name}"
    if not last:
        return (0, 0, f"{line}{newline}")
    end = script.span(last[-1])[1]
    return (end, end, f"{newline}{line}")


def function(tree: ast.AST, name: str) -> FunctionNode | None:
    """The one function or method of that name; None where there is none or more than one."""
    found = [node for node in ast.walk(tree) if isinstance(node, FunctionNode) and node.name == name]
    return found[0] if len(found) == 1 else None


def reverted(script: Script, earlier: Script, symbols: tuple[str, ...]) -> str | None:
    """The script with these symbols as `earlier` has them; None where they can't be exchanged one for one."""
    edits: list[Edit] = []
    for symbol in symbols:
        now, then = list(_named(script, symbol)), list(_named(earlier, symbol))
        if len(now) != 1 or len(then) != 1:
            return None
        edits.append((*script.span(now[0]), earlier.source(then[0])))
    return script.edited(edits)


def _named(script: Script, symbol: str) -> Iterator[ast.stmt]:
    return (unit.node for unit in units(script.tree) if unit.name == symbol)
