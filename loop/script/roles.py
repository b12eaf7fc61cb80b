"""Places of one name that mean different things: a backbone's own rate, a pretraining trainer, the split's generator.

Which of them a rule means is the user's to say. Only the clear one is the rule's; the others have a name of their own.
"""

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from .folding import UNRESOLVED
from .places import OPTIMIZERS, Setting, collect
from .source import FunctionNode, Script, kept_with_script
from .syntax import last_name

Kind = Literal["optimizer", "group", "trainer", "loader", "generator"]
_KINDS: Mapping[str, frozenset[Kind]] = {
    "learning_rate": frozenset({"optimizer", "group"}),
    "weight_decay": frozenset({"optimizer", "group"}),
    "epochs": frozenset({"trainer"}),
    "max_steps": frozenset({"trainer"}),
    "batch_size": frozenset({"loader"}),
    "seed": frozenset({"generator"}),
}
_OWN_GENERATORS = ("default_rng", "RandomState", "Random", "Generator")


@dataclass(frozen=True)
class _Use:
    kind: Kind
    role: str
    name: str = ""


def apart(
    script: Script, places: Sequence[Setting], names: frozenset[str], is_rules: Callable[[Setting], bool]
) -> tuple[Setting, ...]:
    """Those of a rule's places that differ from its own in value and in role; all of them where none is clear.

    Its own are constants, defaults and fields, what has their value or the rule's already, and what an optimizer with
    groups of parameters has beside them. `is_rules`: whether a place has the rule's value.
    """
    uses = _uses(script)
    kinds = frozenset[Kind]().union(*(kinds for name, kinds in _KINDS.items() if name in names))
    used = {place: use for place in places if (use := uses.get((place.start, place.end))) and use.kind in kinds}
    named = [place for place in places if place not in used]
    if "generator" in kinds:
        differing = bool(named)
    else:
        # A group whose rate only a run can tell is no place, and is another one all the same.
        stated = {(setting.start, setting.end) for setting in collect(script)[0]}
        told = {use.role for at, use in uses.items() if use.kind == "group" and use.name in names and at not in stated}
        roles = {use.role for use in used.values()} | (told if "group" in kinds else set[str]())
        differing = len(roles) > 1 and len({place.value for place in used}) + len(told) > 1
    if not differing:
        return ()
    values = [place.value for place in named if place.value is not UNRESOLVED]
    optimizers = [place for place, use in used.items() if use.kind == "optimizer"]
    own = optimizers if len(optimizers) == 1 and len(used) > 1 else []
    values += [place.value for place in own]
    return tuple(
        place
        for place in used
        if place.value is not UNRESOLVED and place.value not in values and place not in own and not is_rules(place)
    )


def role(script: Script, place: Setting) -> str:
    """The name of what the value is for: `backbone` of `{"params": self.backbone.parameters(), "lr": 1e-5}`."""
    use = _uses(script).get((place.start, place.end))
    return use.role if use else place.symbol.rpartition(".")[0]


@kept_with_script
def _uses(script: Script) -> Mapping[tuple[int, int], _Use]:
    """By the place in the text, what a value is handed to."""
    modules = {
        alias.asname or alias.name.split(".")[0]
        for node in ast.walk(script.tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    found: dict[tuple[int, int], _Use] = {}
    for node, above in _walk(script.tree, ()):
        match node:
            case ast.Dict() if any(isinstance(key, ast.Constant) and key.value == "params" for key in node.keys):
                pairs = zip(node.keys, node.values, strict=True)
                held = {key.value: value for key, value in pairs if isinstance(key, ast.Constant)}
                own = _of_parameters(held["params"], node, above)
                found |= {script.span(value): _Use("group", own, str(key)) for key, value in held.items()}
            case ast.Call() if kind := _kind(node, modules):
                given = [*node.args, *(keyword.value for keyword in node.keywords)]
                own = _of_generator(node, above) if kind == "generator" else _of_call(node, above)
                found |= {script.span(value): _Use(kind, own) for value in given}
            case _:
                pass
    return found


def _walk(node: ast.AST, above: tuple[ast.AST, ...]) -> Iterator[tuple[ast.AST, tuple[ast.AST, ...]]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.JoinedStr):  # Python 3.11 gives approximate positions in there.
            continue
        yield child, (*above, node)
        yield from _walk(child, (*above, node))


def _kind(node: ast.Call, modules: set[str]) -> Kind | None:
    match last_name(node.func):
        case "Trainer":
            return "trainer"
        case "DataLoader" | "BatchSampler":
            return "loader"
        case name if name in OPTIMIZERS:
            return "optimizer"
        case name if name in _OWN_GENERATORS or (name and "split" in name.lower()):
            return "generator"
        case "manual_seed" | "seed":
            return None if _root(node.func) in modules else "generator"
        case _:
            return None


def _root(node: ast.expr) -> str | None:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def _of_parameters(params: ast.expr, node: ast.AST, above: Sequence[ast.AST]) -> str:
    match params:
        case ast.Call(func=ast.Attribute(value=inner, attr="parameters")):
            return _of_parameters(inner, node, above)
        case ast.Name() | ast.Attribute() | ast.Subscript():
            return ast.unparse(params).removeprefix("self.")
        case _:
            siblings = above[-1].elts if above and isinstance(above[-1], ast.List | ast.Tuple) else [node]
            return f"group{next((index for index, one in enumerate(siblings) if one is node), 0)}"


def _of_call(node: ast.Call, above: Sequence[ast.AST]) -> str:
    """What a call's result is bound to, else whose method receives it, else the function that it stands in."""
    for outer in reversed(above):
        match outer:
            case ast.Assign(targets=[target]) | ast.AnnAssign(target=target):
                if name := last_name(target):
                    return name
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name)) as method) if name != "self":
                if not _is_within(node, method):
                    return name
            case _ if isinstance(outer, FunctionNode):
                return outer.name
            case _:
                pass
    return ""


def _of_generator(node: ast.Call, above: Sequence[ast.AST]) -> str:
    """The call that it is handed to, else what it is bound to."""
    for outer in reversed(above):
        if isinstance(outer, ast.Call) and not _is_within(node, outer.func) and (name := last_name(outer.func)):
            return name
    match node.func:
        case ast.Attribute(value=ast.Name(id=name)):
            return name
        case _:
            return _of_call(node, above) or last_name(node.func) or ""


def _is_within(node: ast.AST, outer: ast.AST) -> bool:
    return any(inner is node for inner in ast.walk(outer))
