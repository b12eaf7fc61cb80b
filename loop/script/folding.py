"""The value that an expression of a script certainly has, found without running it."""

import ast
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from .source import FunctionNode, bindings

_MAX_HOPS = 20  # A = B, B = A must end.


class Unresolved(Enum):
    """The type of `UNRESOLVED`: a value that only a run can tell."""

    UNRESOLVED = "unresolved"

    def __repr__(self) -> str:
        return "UNRESOLVED"


UNRESOLVED: Literal[Unresolved.UNRESOLVED] = Unresolved.UNRESOLVED

Value = bool | int | float | str | tuple["Value", ...] | Unresolved | None

ScopeNode = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Scope:
    """The names of one module, class or function.

    `known` are bound there exactly once, to an expression; `blocked` are bound in any other way (twice, augmented, by a
    loop, a parameter, an import); `shared` names are declared global or nonlocal somewhere.
    """

    known: Mapping[str, ast.expr]
    blocked: frozenset[str]
    shared: frozenset[str]
    parent: "Scope | None" = None
    of_class: bool = field(default=False)

    @classmethod
    def module(cls, tree: ast.Module) -> "Scope":
        """The scope that the top level of a script has."""
        nodes = (node for node in ast.walk(tree) if isinstance(node, ast.Global | ast.Nonlocal))
        return _scope(tree, frozenset(name for node in nodes for name in node.names), None)

    def inner(self, node: ScopeNode) -> "Scope":
        """The scope of a class or function defined in this one."""
        return _scope(node, self.shared, self)

    def without(self, names: Iterator[str]) -> "Scope":
        """This scope as seen where `names` mean something else: in a lambda or comprehension."""
        return Scope({}, frozenset(names), self.shared, self)

    @property
    def for_functions(self) -> "Scope":
        """The scope that a function defined here looks names up in: a class body's names are not seen from methods."""
        return self.parent.for_functions if self.of_class and self.parent else self

    def fold(self, node: ast.expr | None, hops: int = 0) -> Value:
        """The value of an expression, or UNRESOLVED.

        Folded are literals, names bound once, arithmetic, and int() and float() of such. Lists fold to
        tuples. Attributes, items, other calls, conditions and f-strings are never followed.
        """
        match node:
            case ast.Constant(value=bool() | int() | float() | str() | None as value):
                return value
            case ast.Name(id=name) if hops < _MAX_HOPS:
                return self._lookup(name, hops)
            case ast.UnaryOp(op=op, operand=operand):
                return _signed(op, self.fold(operand, hops))
            case ast.BinOp(left=left, op=op, right=right):
                return _combined(op, self.fold(left, hops), self.fold(right, hops))
            case ast.Tuple(elts=items) | ast.List(elts=items):
                values = tuple(self.fold(item, hops) for item in items)
                return UNRESOLVED if UNRESOLVED in values else values
            case ast.Call(func=ast.Name(id="int" | "float" as kind), args=[only], keywords=[]):
                return _converted(kind, self.fold(only, hops))
            case _:
                return UNRESOLVED

    def _lookup(self, name: str, hops: int) -> Value:
        if name in self.shared or name in self.blocked:
            return UNRESOLVED
        if name in self.known:
            return self.fold(self.known[name], hops + 1)
        return self.parent._lookup(name, hops) if self.parent else UNRESOLVED


def is_literal(node: ast.expr) -> bool:
    """Whether the expression spells its value out: a constant, a signed number, or a tuple or list of such."""
    match node:
        case ast.Constant():
            return True
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=ast.Constant()):
            return True
        case ast.Tuple(elts=items) | ast.List(elts=items):
            return all(is_literal(item) for item in items)
        case _:
            return False


def _scope(node: ScopeNode, shared: frozenset[str], parent: Scope | None) -> Scope:
    times: Counter[str] = Counter()
    known: dict[str, ast.expr] = {}
    for child in _own(node):
        times.update(_bound(child))
        if isinstance(child, ast.Assign | ast.AnnAssign):
            known.update({name: value for name, value in bindings(child) if value is not None})
    if isinstance(node, FunctionNode):
        arguments = node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
        times.update({arg.arg: 2 for arg in every if arg})
    once = {name: value for name, value in known.items() if times[name] == 1}
    blocked = frozenset(name for name in times if name not in once)
    outer = parent.for_functions if parent and isinstance(node, FunctionNode) else parent
    return Scope(once, blocked, shared, outer, isinstance(node, ast.ClassDef))


def _own(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes of one scope; what a nested one holds binds no name here."""
    nested = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda, ast.comprehension)
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, nested):
            yield from _own(child)


def _bound(node: ast.AST) -> list[str]:
    match node:
        case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
            return [name]
        case ast.AnnAssign(target=ast.Name(id=name), value=None):
            return [name]
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            return [name]
        case ast.MatchMapping(rest=str(name)):
            return [name]
        case ast.alias(name=name, asname=other):
            return [other or name.split(".")[0]]
        case _:
            return []


def _signed(op: ast.unaryop, value: Value) -> Value:
    if isinstance(op, ast.Not) and not isinstance(value, Unresolved):
        return not value
    if not isinstance(value, int | float):
        return UNRESOLVED
    match op:
        case ast.USub():
            return -value
        case ast.UAdd():
            return +value
        case _:
            return UNRESOLVED


_ARITHMETIC: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.FloorDiv: lambda a, b: a // b,
    ast.Mod: lambda a, b: a % b,
    # Neither a complex number nor a power that takes long to compute.
    ast.Pow: lambda a, b: a**b if 0 <= a <= 1e6 and abs(b) <= 64 else math.nan,
}


def _combined(op: ast.operator, left: Value, right: Value) -> Value:
    if isinstance(op, ast.Add) and isinstance(left, str) and isinstance(right, str):
        return left + right
    compute = _ARITHMETIC.get(type(op))
    if compute is None or not isinstance(left, int | float) or not isinstance(right, int | float):
        return UNRESOLVED
    try:
        result = compute(left, right)
        return UNRESOLVED if math.isnan(result) else result
    except ArithmeticError:  # also an int beyond a float's range
        return UNRESOLVED


def _converted(kind: str, value: Value) -> Value:
    if not isinstance(value, int | float | str):
        return UNRESOLVED
    try:
        return int(value) if kind == "int" else float(value)
    except (ValueError, OverflowError):
        return UNRESOLVED
