"""What a script imports before it does anything else: so much an interpreter can import ahead without changing the run.

An import may depend on what came before it (variables, search path, random numbers), so the list ends at the first
statement that could matter to it. What follows that statement is imported by the run itself, as ever.
"""

import ast
from collections.abc import Sequence
from pathlib import Path

from ...errors import LoopError
from ...script.imports import Finder, Request
from ...script.source import read_script

# Calls that an assignment between imports may make: they give a value and do nothing else.
_PURE = frozenset(
    {
        *("Path", "PurePath", "abspath", "dirname", "expanduser", "isdir", "isfile", "join", "parent", "resolve"),
        *("bool", "bytes", "dict", "float", "frozenset", "int", "len", "list", "range", "set", "str", "tuple"),
        *("get", "getLogger", "getattr", "getenv", "namedtuple", "NewType", "ParamSpec", "TypeVar"),
    }
)
# Calls between imports that have no result and concern nothing but messages.
_HARMLESS = frozenset({"warnings.filterwarnings", "warnings.simplefilter", "filterwarnings", "simplefilter"})


def leading_imports(script_path: Path, root: Path) -> tuple[str, ...]:
    """The imports of installed packages with which the script begins, in order, also those in its own modules.

    `package.module`, or `package:name` for a `from` import; with `?` before where the script goes on if it fails.
    `NAME=value` is a variable that the script sets there. Empty for what can't be parsed.
    """
    finder = Finder(root, [folder for folder in (script_path.parent, root) if Finder(root, []).holds(folder)])
    walk = _Walk(finder)
    try:
        walk.module(script_path)
    except LoopError:  # it will be said where the script is run
        return ()
    return tuple(dict.fromkeys(walk.found))


def sets_variables(items: Sequence[str]) -> bool:
    """Whether one of them is a variable: then their order to other imports matters."""
    return any("=" in item for item in items)


class _Walk:
    def __init__(self, finder: Finder) -> None:
        self.found: list[str] = []
        self._finder = finder
        self._seen: set[Path] = set()

    def module(self, path: Path) -> bool:
        """Collects what the file begins with; whether its end was reached."""
        if path.resolve() in self._seen:
            return True
        self._seen.add(path.resolve())
        return self._statements(read_script(path).tree.body, optional=False)

    def _statements(self, body: Sequence[ast.stmt], *, optional: bool) -> bool:
        return all(self._statement(statement, optional=optional) for statement in body)

    def _statement(self, statement: ast.stmt, *, optional: bool) -> bool:
        """Whether the next statement may be looked at."""
        match statement:
            case ast.Import(names=names):
                return all(self._import(Request(alias.name), optional=optional) for alias in names)
            case ast.ImportFrom(module="__future__"):
                return True
            case ast.ImportFrom(module=str(module), names=names, level=0):
                wanted = tuple(alias.name for alias in names if alias.name != "*")
                return self._import(Request(module, wanted, len(wanted) != len(names)), optional=optional)
            case ast.Try(body=body, handlers=handlers, orelse=[], finalbody=[]):
                goes_on = not any(_imports(handler) for handler in handlers)
                return goes_on and self._statements(body, optional=True)
            case ast.If(test=ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING"), orelse=[]):
                return True
            case ast.If() if not _imports(statement) and not _is_main(statement):
                return _is_pure(statement.test) and self._statements(
                    [*statement.body, *statement.orelse], optional=True
                )
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() | ast.Pass():
                return True
            case ast.Delete(targets=[ast.Subscript(value=ast.Attribute(value=ast.Name(id="sys"), attr="path"))]):
                return True
            case _:
                return self._is_harmless(statement)

    def _is_harmless(self, statement: ast.stmt) -> bool:
        match statement:
            case ast.Expr(value=ast.Constant()):
                return True
            case ast.Expr(value=ast.Call(func=function)):
                return ast.unparse(function) in _HARMLESS
            case ast.Assign(
                targets=[ast.Subscript(value=ast.Attribute(value=ast.Name(id="os"), attr="environ"), slice=name)],
                value=value,
            ):
                return self._variable(name, value)
            case ast.Assign(targets=targets, value=value):
                return all(_is_plain(target) for target in targets) and _is_pure(value)
            case ast.AnnAssign(target=ast.Name(), value=value):
                return value is None or _is_pure(value)
            case _:
                return False

    def _variable(self, name: ast.expr, value: ast.expr) -> bool:
        match name, value:
            case ast.Constant(value=str(key)), ast.Constant(value=str(text)) if key and "=" not in key:
                self.found.append(f"{key}={text}")
                return True
            case _:
                return False

    def _import(self, request: Request, *, optional: bool) -> bool:
        own = tuple(self._finder.find(request))
        if own:
            return all(self.module(path) for path in own)
        mark = "?" if optional else ""
        self.found += [f"{mark}{request.module}:{name}" for name in request.names] or [f"{mark}{request.module}"]
        return True


def _imports(node: ast.AST) -> bool:
    return any(isinstance(inner, ast.Import | ast.ImportFrom) for inner in ast.walk(node))


def _is_main(statement: ast.If) -> bool:
    return any(isinstance(inner, ast.Name) and inner.id == "__name__" for inner in ast.walk(statement.test))


def _is_plain(target: ast.expr) -> bool:
    names = target.elts if isinstance(target, ast.Tuple) else [target]
    return all(isinstance(name, ast.Name) for name in names)


def _is_pure(value: ast.expr) -> bool:
    """Whether it calls nothing but what only gives a value, as far as names tell."""
    called = [node.func for node in ast.walk(value) if isinstance(node, ast.Call)]
    return all(
        (node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else "") in _PURE
        for node in called
    )
