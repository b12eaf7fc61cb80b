"""Small questions about syntax trees that the search for settings asks."""

import ast
from collections.abc import Iterator, Sequence


def expressions(node: ast.AST) -> Iterator[ast.expr]:
    return (child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr))


def last_name(node: ast.expr) -> str | None:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return None


def subject_names(node: ast.Call) -> tuple[str, ...]:
    """The names in what a call is about: its first argument, or its `dataset`."""
    subject = [keyword.value for keyword in node.keywords if keyword.arg == "dataset"] or node.args[:1]
    found: list[str] = []
    for inner in (child for item in subject for child in ast.walk(item)):
        match inner:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.Constant(value=str(name)):
                found.append(name)
            case _:
                pass
    return tuple(found)


def reads_environment(node: ast.Call) -> bool:
    match node.func:
        case ast.Attribute(value=base, attr="get" | "setdefault"):
            return last_name(base) == "environ"
        case function:
            return last_name(function) == "getenv"


def signatures(tree: ast.Module) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The parameters, by position, of the module's own functions and classes (of a dataclass: its fields)."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, _positional(node)
        elif isinstance(node, ast.ClassDef):
            made = [child for child in node.body if isinstance(child, ast.FunctionDef) and child.name == "__init__"]
            fields = [child.target for child in node.body if isinstance(child, ast.AnnAssign)]
            names = tuple(target.id for target in fields if isinstance(target, ast.Name))
            yield node.name, _positional(made[0])[1:] if made else names


def _positional(node: ast.FunctionDef | ast.AsyncFunctionDef) -> tuple[str, ...]:
    return tuple(arg.arg for arg in (*node.args.posonlyargs, *node.args.args))


def field_default(value: ast.expr) -> ast.expr | None:
    """The default within `field(default=…)` of a dataclass or `Field(…)` of pydantic."""
    match value:
        case ast.Call(func=function, args=args, keywords=keywords) if last_name(function) in ("field", "Field"):
            named = [keyword.value for keyword in keywords if keyword.arg == "default"]
            return next(iter([*named, *args]), None)
        case _:
            return None


def stored(targets: Sequence[ast.expr], value: ast.expr | None) -> Iterator[tuple[ast.expr, ast.expr]]:
    for target in targets:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
            yield from zip(target.elts, value.elts, strict=True)
        elif value is not None:
            yield target, value


def flows(node: ast.Assign | ast.AnnAssign | ast.AugAssign) -> Iterator[tuple[tuple[str, ...], ast.expr]]:
    """Each value of an assignment with the names that it goes to."""
    found: dict[ast.expr, list[str]] = {}
    for target, value in stored(assigned_to(node), node.value):
        inner = (child for child in ast.walk(target))
        found.setdefault(value, []).extend(name for child in inner if (name := _target_name(child)))
    return ((tuple(names), value) for value, names in found.items())


def _target_name(node: ast.AST) -> str | None:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.Constant(value=str(name)):
            return name
        case _:
            return None


def assigned_to(node: ast.Assign | ast.AnnAssign | ast.AugAssign) -> list[ast.expr]:
    """The targets of any kind of assignment."""
    return list(node.targets) if isinstance(node, ast.Assign) else [node.target]
