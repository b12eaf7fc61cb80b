"""The walk over a script that finds every place that may give a hyper-parameter a value."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from .folding import UNRESOLVED, Scope, Value, is_literal
from .source import MAIN, MODULE, FunctionNode, Script, bindings, is_main_guard, kept_with_script
from .syntax import (
    assigned_to,
    expressions,
    field_default,
    flows,
    last_name,
    reads_environment,
    signatures,
    stored,
    subject_names,
)

SettingKind = Literal["constant", "keyword", "default", "argparse", "field", "positional", "override"]

PARAM_GROUP = "param_groups"
"""The callee of what stands in an optimiser's `{"params": …, "lr": …}`."""
ENVIRON = "environ"
"""The callee of what an environment variable sets, or is replaced by when it is absent."""


@dataclass(frozen=True)
class Setting:
    """One place where a value is given to a name.

    `kind`: constant (of the module, or a function's own variable with a certain value), keyword and positional (of a
    call), default (of a parameter), argparse (also click's option), field (of a class, of a dict literal, or
    `self.x = <value>`), override (`cfg.epochs = 50`, `cfg["epochs"] = 50`, os.environ).
    `value` is UNRESOLVED where only a run can tell, e.g. for a name that is bound twice: each of its assignments still
    has its own value. `callee` is the last part of a dotted name. `symbol` is the enclosing symbol or the constant's
    own name. `editable`: the value is a literal in place. `start`/`end` are the value's UTF-8 byte offsets.
    `context` are the names that the value goes into or its call is about: `val_loader = DataLoader(val_set, …)`.
    """

    name: str
    value: Value
    kind: SettingKind
    callee: str | None
    symbol: str
    line: int
    editable: bool
    start: int
    end: int
    context: tuple[str, ...] = ()


@dataclass(frozen=True)
class Call:
    """A call by the last part of its name; `open_ended` when `*args` or `**kwargs` hide what it receives."""

    callee: str
    symbol: str
    line: int
    open_ended: bool


# What the value at a position of a well-known call is: (position, name).
_SEEDERS = (
    *("seed_everything", "manual_seed", "manual_seed_all", "set_seed", "default_rng", "seed"),
    *("Random", "RandomState"),
)
_DROPOUTS = ("Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout")
OPTIMIZERS = frozenset(
    {"ASGD", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "LBFGS", "Lamb", "Lion", "Muon"}
    | {"NAdam", "RAdam", "RMSprop", "Rprop", "SGD"}
)
_POSITIONS: Mapping[str, tuple[int, str]] = {
    **dict.fromkeys(_SEEDERS, (0, "seed")),
    **dict.fromkeys(_DROPOUTS, (0, "p")),
    **dict.fromkeys(OPTIMIZERS, (1, "lr")),
    "dropout": (1, "p"),
    "DataLoader": (1, "batch_size"),
    "BatchSampler": (1, "batch_size"),
}


# One guard asks for the same script's settings a dozen times; a walk takes milliseconds.
@kept_with_script
def collect(script: Script) -> tuple[tuple[Setting, ...], tuple[Call, ...]]:
    collector = _Collector(script, dict(signatures(script.tree)), [], [])
    scope = Scope.module(script.tree)
    for statement in script.tree.body:
        names = [name for name, _ in bindings(statement)]
        symbol = MAIN if is_main_guard(statement) else names[0] if names else MODULE
        collector.statement(statement, symbol, scope, "module")
    found = sorted(collector.settings, key=lambda setting: (setting.start, setting.end))
    return tuple(found), tuple(collector.calls)


_Body = Literal["module", "class", "function"]


@dataclass
class _Collector:
    script: Script
    own: Mapping[str, tuple[str, ...]]
    settings: list[Setting]
    calls: list[Call]

    def add(
        self,
        name: str,
        value: ast.expr,
        kind: SettingKind,
        symbol: str,
        scope: Scope,
        *,
        callee: str | None = None,
        context: tuple[str, ...] = (),
        certain_only: bool = False,
        convert: str | None = None,
    ) -> None:
        folded = scope.fold(value)
        if convert in ("int", "float"):
            folded = scope.fold(ast.Call(ast.Name(convert, ast.Load()), [value], []))
        if certain_only and folded is UNRESOLVED:
            return
        start, end = self.script.span(value)
        editable = is_literal(value) and folded is not UNRESOLVED
        self.settings.append(Setting(name, folded, kind, callee, symbol, value.lineno, editable, start, end, context))

    def statement(self, node: ast.stmt, symbol: str, scope: Scope, body: _Body) -> None:
        if isinstance(node, FunctionNode):
            self.function(node, symbol, scope, body)
        elif isinstance(node, ast.ClassDef):
            name = _qualified(node.name, symbol, body)
            for outer in (*node.decorator_list, *node.bases, *(keyword.value for keyword in node.keywords)):
                self.expression(outer, name, scope, ())
            inner = scope.inner(node)
            for child in node.body:
                self.statement(child, name, inner, "class" if body != "function" else body)
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            self.assignment(node, symbol, scope, body)
        else:
            for child in ast.iter_child_nodes(node):
                self.child(child, symbol, scope, body)

    def child(self, node: ast.AST, symbol: str, scope: Scope, body: _Body) -> None:
        if isinstance(node, ast.stmt):
            self.statement(node, symbol, scope, body)
        elif isinstance(node, ast.expr):
            self.expression(node, symbol, scope, ())
        else:  # an except handler, a match case, a with item
            for child in ast.iter_child_nodes(node):
                self.child(child, symbol, scope, body)

    def function(self, node: ast.FunctionDef | ast.AsyncFunctionDef, symbol: str, scope: Scope, body: _Body) -> None:
        name = _qualified(node.name, symbol, body)
        for decorator in node.decorator_list:
            self.expression(decorator, name, scope, ())
        arguments = node.args
        named = [*arguments.posonlyargs, *arguments.args]
        pairs = list(zip(reversed(named), reversed(arguments.defaults), strict=False))
        pairs += [
            (arg, default) for arg, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if default
        ]
        for arg, default in pairs:
            self.add(arg.arg, default, "default", name, scope)
            self.expression(default, name, scope, (arg.arg,))
        inner = scope.inner(node)
        for child in node.body:
            self.statement(child, name, inner, "function")

    def assignment(
        self, node: ast.Assign | ast.AnnAssign | ast.AugAssign, symbol: str, scope: Scope, body: _Body
    ) -> None:
        for name, value in bindings(node):
            own = f"{symbol}.{name}" if body == "class" else symbol
            kind: SettingKind = "field" if body == "class" else "constant"
            given = value if value is not None else getattr(node, "value", None)
            if given is None:
                continue
            if default := field_default(given) if body == "class" else None:
                self.add(name, default, kind, own, scope)
            elif value is None:
                # `EPOCHS *= 2`, `a, EPOCHS = f()`: no expression is the name's value.
                start, end = self.script.span(given)
                self.settings.append(Setting(name, UNRESOLVED, kind, None, own, given.lineno, False, start, end))
            elif not isinstance(value, ast.Dict):
                self.add(name, value, kind, own, scope, certain_only=body == "function")
        if not isinstance(node, ast.AugAssign):
            for target, value in stored(assigned_to(node), node.value):
                self.store(target, value, symbol, scope)
        for names, value in flows(node):
            own = f"{symbol}.{names[0]}" if body == "class" and names else symbol
            self.expression(value, own, scope, names, assigned=True)

    def store(self, target: ast.expr, value: ast.expr, symbol: str, scope: Scope) -> None:
        """An assignment to an attribute or item."""
        match target:
            case ast.Attribute(value=ast.Name(id="self"), attr=name):
                self.add(name, value, "field", symbol, scope, certain_only=True)
            case ast.Attribute(attr=name):
                self.add(name, value, "override", symbol, scope)
            case ast.Subscript(value=base, slice=ast.Constant(value=str(name))):
                callee = ENVIRON if last_name(base) == ENVIRON else None
                self.add(name, value, "override", symbol, scope, callee=callee)
            case _:
                pass

    def expression(
        self, node: ast.expr, symbol: str, scope: Scope, context: tuple[str, ...], *, assigned: bool = False
    ) -> None:
        match node:
            case ast.Call():
                self.call(node, symbol, scope, context)
            case ast.Dict():
                self.dictionary(node, symbol, scope, context, assigned=assigned)
            case ast.JoinedStr():
                pass  # Python 3.11 gives approximate positions in there.
            case ast.Lambda(args=arguments, body=body):
                names = (arg.arg for arg in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs))
                self.expression(body, symbol, scope.without(names), context)
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                stores = (name for loop in node.generators for name in ast.walk(loop.target))
                inner = scope.without(name.id for name in stores if isinstance(name, ast.Name))
                loops = (part for loop in node.generators for part in (loop.iter, *loop.ifs))
                for part in (*expressions(node), *loops):
                    self.expression(part, symbol, inner, context)
            case _:
                for child in expressions(node):
                    self.expression(child, symbol, scope, context, assigned=assigned)

    def call(self, node: ast.Call, symbol: str, scope: Scope, context: tuple[str, ...]) -> None:
        callee = last_name(node.func)
        about = (*context, *subject_names(node))
        hidden = any(isinstance(arg, ast.Starred) for arg in node.args) or any(not k.arg for k in node.keywords)
        if callee:
            self.calls.append(Call(callee, symbol, node.lineno, hidden))
        if callee in ("add_argument", "option"):
            self.option(node, symbol, scope)
        else:
            for keyword in node.keywords:
                if keyword.arg and not isinstance(keyword.value, ast.Dict):
                    self.add(keyword.arg, keyword.value, "keyword", symbol, scope, callee=callee, context=about)
            self.positions(node, callee, symbol, scope, about)
        self.expression(node.func, symbol, scope, context)
        for arg in node.args:
            self.expression(arg, symbol, scope, context)
        for keyword in node.keywords:
            into = (*context, keyword.arg) if keyword.arg else context
            self.expression(keyword.value, symbol, scope, into, assigned=isinstance(keyword.value, ast.Dict))

    def positions(
        self, node: ast.Call, callee: str | None, symbol: str, scope: Scope, context: tuple[str, ...]
    ) -> None:
        starred = any(isinstance(arg, ast.Starred) for arg in node.args)
        match node.args:
            case [ast.Constant(value=str(name)), value] if reads_environment(node):
                self.add(name, value, "override", symbol, scope, callee=ENVIRON)
            case args if callee and callee in _POSITIONS and not starred:
                index, name = _POSITIONS[callee]
                if index < len(args):
                    self.add(name, args[index], "positional", symbol, scope, callee=callee, context=context)
            case args if isinstance(node.func, ast.Name) and not starred:
                for name, value in zip(self.own.get(node.func.id, ()), args, strict=False):
                    if not isinstance(value, ast.Dict):
                        self.add(name, value, "positional", symbol, scope, callee=callee, context=context)
            case _:
                pass

    def option(self, node: ast.Call, symbol: str, scope: Scope) -> None:
        """`add_argument("--lr", type=float, default=1e-3)`: a command line without it has the default."""
        given = {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
        flags = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
        name = next((flag for flag in flags if flag.startswith("--")), flags[0] if flags else "")
        match given.get("dest"):
            case ast.Constant(value=str(dest)):
                name = dest
            case _:
                pass
        if name and (default := given.get("default")):
            kind = given.get("type")
            convert = last_name(kind) if kind else None
            self.add(
                name.lstrip("-").replace("-", "_"), default, "argparse", symbol, scope,
                callee=last_name(node.func), convert=convert,
            )  # fmt: skip

    def dictionary(
        self, node: ast.Dict, symbol: str, scope: Scope, context: tuple[str, ...], *, assigned: bool
    ) -> None:
        names = [key.value if isinstance(key, ast.Constant) else None for key in node.keys]
        callee = PARAM_GROUP if "params" in names else None
        for name, value in zip(names, node.values, strict=True):
            into = context
            if isinstance(name, str):
                into = (*context, name)
                if not isinstance(value, ast.Dict):
                    self.add(
                        name, value, "field", symbol, scope, callee=callee, context=context, certain_only=not assigned
                    )
            self.expression(value, symbol, scope, into, assigned=assigned)


def _qualified(name: str, symbol: str, body: _Body) -> str:
    # What stands within a function is part of that function; below a module's `if` it is part of that statement.
    if body == "function" or symbol == MAIN:
        return symbol
    return f"{symbol}.{name}" if body == "class" else name
