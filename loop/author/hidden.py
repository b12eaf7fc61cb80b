"""What a change may not bring in, since it hides from every check what the script then does."""

import ast
import builtins
import re
from collections import Counter
from collections.abc import Iterator

from ..script.source import Script, bindings
from ..text import BIDI

_FROM_TEXT = frozenset({"exec", "eval", "compile", "__import__", "globals"})
_PROGRAMS = ("subprocess.", "os.system", "os.popen", "os.exec", "os.spawn", "os.posix_spawn", "os.fork", "pty.")
# They make text read otherwise than it runs; nothing in a script's language needs them.
_BIDI = re.compile(f"[{BIDI}]")


def hidden(old: Script, new: Script) -> tuple[str, ...]:
    """In words, what `new` has of it and `old` had not."""
    before, after = Counter(_found(old)), Counter(_found(new))
    found = [what for what, count in after.items() if count > before[what]]
    if set(_BIDI.findall(new.text)) - set(_BIDI.findall(old.text)):
        found.append("characters that reverse the direction of text")
    return tuple(found)


def _found(script: Script) -> Iterator[str]:
    imported = {name for name, _ in _imports(script.tree)}
    own = {node.name for node in script.tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    origins = dict(_imports(script.tree))
    for node in ast.walk(script.tree):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in _FROM_TEXT:
                yield f"{name}(…)"
            case ast.Call(func=ast.Name(id="setattr"), args=[target, ast.Constant(value=str(name)), value]):
                if _root(target) in imported | own and not isinstance(value, ast.Constant):
                    yield f"a new {ast.unparse(target)}.{name}"
            case ast.Call(func=function) if _dotted(function, origins).startswith(_PROGRAMS):
                yield f"{ast.unparse(function)}(…), another program"
            case ast.Attribute(value=ast.Name(id="sys"), attr="modules"):
                yield "sys.modules"
            case ast.Assign(targets=targets, value=value) if not isinstance(value, ast.Constant):
                for target in targets:
                    if isinstance(target, ast.Attribute) and _root(target) in imported | own:
                        yield f"a new {ast.unparse(target)}"
            case _:
                pass


def _root(node: ast.expr) -> str | None:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def _dotted(function: ast.expr, origins: dict[str, str]) -> str:
    """The callee as `module.name`, through the name that it was imported under."""
    name, dot, rest = ast.unparse(function).partition(".")
    return origins.get(name, name) + dot + rest


def _imports(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """The names that imports bind anywhere in the script, each with what it stands for: `L` is `lightning`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.split(".")[0]
                yield (alias.asname, alias.name) if alias.asname else (first, first)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            for alias in node.names:
                yield alias.asname or alias.name, f"{module}.{alias.name}"


def swapped(old: Script, new: Script) -> tuple[str, ...]:
    """The names that a changed import of the module gives another meaning in code that stays: `Adam as SGD`."""
    top = [ast.Module([node for node in script.tree.body if _is_import(node)], []) for script in (old, new)]
    before, after = (dict(_imports(tree)) for tree in top)
    added = [(name, origin) for name, origin in _imports(top[1]) if before.get(name) != origin]
    used = {node.id for node in ast.walk(old.tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    own = {symbol.name for symbol in old.symbols} | {name for node in old.tree.body for name, _ in bindings(node)}
    return tuple(
        f"{name}, which becomes {after[name]}" if name != "*" else f"every name of {origin.removesuffix('.*')}"
        for name, origin in added
        if name == "*" or (name in used and (name in before or name in own or hasattr(builtins, name)))
    )


def _is_import(node: ast.stmt) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom)
