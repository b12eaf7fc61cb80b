"""Ways round a fixed value that a change adds without writing another value down (C2).

A place that passes a fixed setting on under its own name is fine. One that newly computes something from it, repeats
the fit, or takes the value from a command line of its own is a clash: only the run could tell what it does.
"""

import ast
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..script.fixed import Clash, Fixed
from ..script.folding import UNRESOLVED, Scope
from ..script.places import Setting
from ..script.settings import settings
from ..script.source import Script
from ..script.synonyms import normalised, speaks_of, synonyms
from ..script.syntax import last_name

Extra = Mapping[str, Sequence[str]]
_LOOPS = (ast.For, ast.AsyncFor, ast.While, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
# What two runs of one script get different values from.
_NONDETERMINISTIC = frozenset(
    {"time", "time_ns", "perf_counter", "monotonic", "now", "today", "urandom", "getpid", "uuid1", "uuid4"}
    | {"getrandbits", "randint", "randrange", "choice", "randbelow", "token_bytes", "token_hex", "SystemRandom"}
    | {"environ", "getenv", "hash", "argv", "input"}
)
_MAX_HOPS = 6


def evasions(old: Script, new: Script, fixed: Sequence[Fixed], extra: Extra) -> tuple[Clash, ...]:
    """The ways round a rule that `new` has and `old` doesn't."""
    return tuple(clash for rule in fixed for clash in _evasions(old, new, rule, synonyms(rule.name, extra)))


def _evasions(old: Script, new: Script, rule: Fixed, names: frozenset[str]) -> Iterator[Clash]:
    yield from _computed(old, new, rule, names)
    yield from _from_command_line(new, rule, names)
    if "epochs" in names:
        yield from _repeated_fits(old, new, rule)
        yield from _epoch_loops(old, new, rule, names)
        yield from _least_epochs(new, rule)
    if "batch_size" in names:
        yield from _accumulated(old, new, rule)


def _computed(old: Script, new: Script, rule: Fixed, names: frozenset[str]) -> Iterator[Clash]:
    """Places with a value that only the run can tell, and that is not the fixed setting under another place's name."""
    known = Counter(_key(old, setting) for setting in settings(old) if _undecided(setting, names))
    passing = _Passing(new, names, rule)
    for setting in settings(new):
        if not _undecided(setting, names):
            continue
        key = _key(new, setting)
        known[key] -= 1
        value = _expression(new, setting)
        if known[key] >= 0 or value is None or passing.passes(value) or _is_about_data(value, setting, names):
            continue
        if "seed" in names and not passing.only_shifts(value) and not _nondeterministic(value):
            continue  # a seed of one's own for each worker, rank or epoch
        found = f"now computed ({ast.unparse(value)}), so that only the run can tell it"
        yield Clash(rule.rule, rule.value, found, f"line {setting.line}, {setting.name} in {setting.symbol}")


def _undecided(setting: Setting, names: frozenset[str]) -> bool:
    return setting.value is UNRESOLVED and speaks_of(setting, names)


def _key(script: Script, setting: Setting) -> tuple[str, ...]:
    value = _expression(script, setting)
    return (setting.symbol, setting.kind, setting.callee or "", setting.name, ast.dump(value) if value else "")


def _expression(script: Script, setting: Setting) -> ast.expr | None:
    try:
        return ast.parse(f"({script.data[setting.start : setting.end].decode()})", mode="eval").body
    except SyntaxError:
        return None


@dataclass(frozen=True)
class _Passing:
    """Whether an expression is the fixed setting itself, however it is reached."""

    script: Script
    names: frozenset[str]
    rule: Fixed

    def passes(self, node: ast.expr, hops: int = 0) -> bool:
        match node:
            case ast.Name(id=name):
                return self._stored(name, ast.Name, hops) and (hops < _MAX_HOPS)
            case ast.Attribute(attr=name):
                return self._stored(name, ast.Attribute, hops) and (hops < _MAX_HOPS)
            case ast.Subscript(slice=ast.Constant(value=str(name))):
                return normalised(name) in self.names
            case ast.Call(func=ast.Name(id="int" | "float" | "str"), args=[only], keywords=[]):
                return self.passes(only, hops)
            case ast.Call(func=ast.Attribute(attr="get"), args=[ast.Constant(value=str(name))]):
                return normalised(name) in self.names
            case ast.Call(func=ast.Name(id="getattr"), args=[_, ast.Constant(value=str(name))]):
                return normalised(name) in self.names
            case _:
                return False

    def _stored(self, name: str, kind: type[ast.Name] | type[ast.Attribute], hops: int) -> bool:
        """A name that the script binds passes on what it is bound to; one that it doesn't must say what it is."""
        stores = _stores(self.script.tree, fields=kind is ast.Attribute)
        values = [value for target, value in stores if isinstance(target, kind) and last_name(target) == name]
        if not values:
            return normalised(name) in self.names
        return all(value is not None and self._same(value, hops) for value in values)

    def _same(self, value: ast.expr, hops: int) -> bool:
        if isinstance(value, ast.Constant):
            return value.value == self.rule.value or value.value is None
        return self.passes(value, hops + 1)

    def only_shifts(self, node: ast.expr) -> bool:
        """Whether it is made of the fixed setting and literals alone: `cfg.seed + 1`."""
        if isinstance(node, ast.Constant) or self.passes(node):
            return True
        inner = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
        return isinstance(node, ast.BinOp | ast.UnaryOp | ast.Call) and all(map(self.only_shifts, inner))


def _stores(tree: ast.Module, *, fields: bool) -> Iterator[tuple[ast.expr, ast.expr | None]]:
    """Each target with its value, None where that is no one expression; a class's `fields` are not seen by name."""
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    members = {id(child) for node in classes for child in node.body}
    for node in ast.walk(tree):
        if id(node) in members and not fields:
            continue
        match node:
            case ast.Assign(targets=targets, value=value):
                yield from ((target, value) for target in targets)
            case ast.AnnAssign(target=target, value=ast.expr() as value) | ast.NamedExpr(target=target, value=value):
                yield target, value
            case ast.AugAssign(target=target) | ast.For(target=target):
                yield target, None
            case _:
                pass


def _nondeterministic(value: ast.expr) -> bool:
    return any(last_name(node) in _NONDETERMINISTIC for node in ast.walk(value) if isinstance(node, ast.expr))


def _is_about_data(value: ast.expr, setting: Setting, names: frozenset[str]) -> bool:
    """`init_hidden(batch_size=x.size(0))` speaks of the batch at hand, not of how large batches are made."""
    if "batch_size" not in names or setting.kind not in ("keyword", "positional"):
        return False
    makes = any(word in (setting.callee or "").lower() for word in ("loader", "sampler", "trainer", "config", "arg"))
    sizes = any(last_name(node) in ("size", "shape", "len") for node in ast.walk(value) if isinstance(node, ast.expr))
    return sizes and not makes


def _from_command_line(new: Script, rule: Fixed, names: frozenset[str]) -> Iterator[Clash]:
    """`sys.argv += ["--epochs", "30"]`, `parse_args(["--epochs=30"])`."""
    for node in ast.walk(new.tree):
        if not isinstance(node, ast.List | ast.Tuple):
            continue
        words = [item.value if isinstance(item, ast.Constant) else None for item in node.elts]
        for word, following in zip(words, [*words[1:], None], strict=False):
            if not isinstance(word, str) or not word.startswith("--"):
                continue
            option, given, value = word.partition("=")
            found = value if given else following
            if normalised(option.lstrip("-")) in names and found is not None and str(found) != str(rule.value):
                yield Clash(rule.rule, rule.value, repr(found), f"line {node.lineno}, the argument {option}")


def _repeated_fits(old: Script, new: Script, rule: Fixed) -> Iterator[Clash]:
    """More calls of a trainer's fit than before, or one that came into a loop: each trains all the epochs again."""
    before, after = Counter(_fits(old.tree, False)), Counter(_fits(new.tree, False))
    for looped, told in ((True, "is called in a loop"), (False, "is called once more")):
        if after[looped] > before[looped] and (looped or after.total() > before.total()):
            yield Clash(rule.rule, rule.value, "all the epochs again", f"fit(…) of a trainer {told}, which means")
            return


def _fits(node: ast.AST, looped: bool) -> Iterator[bool]:
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.Call(func=ast.Attribute(value=trainer, attr="fit")) if "trainer" in ast.unparse(trainer).lower():
                yield looped
            case _:
                pass
        yield from _fits(child, looped or isinstance(child, _LOOPS))


def _epoch_loops(old: Script, new: Script, rule: Fixed, names: frozenset[str]) -> Iterator[Clash]:
    """`for epoch in range(…)` that is new and neither counts to the fixed value nor to what passes it on."""
    known = Counter(ast.dump(count) for count in _epoch_counts(old.tree))
    scope, passing = Scope.module(new.tree), _Passing(new, names, rule)
    for count in _epoch_counts(new.tree):
        known[ast.dump(count)] -= 1
        value = scope.fold(count)
        if known[ast.dump(count)] < 0 and not passing.passes(count) and value != rule.value:
            place = f"line {count.lineno}, the range of a loop over epochs"
            yield Clash(rule.rule, rule.value, ast.unparse(count), place)


def _epoch_counts(tree: ast.Module) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        if isinstance(node, ast.For) and isinstance(node.target, ast.Name) and "epoch" in node.target.id.lower():
            for inner in ast.walk(node.iter):
                match inner:
                    case ast.Call(func=ast.Name(id="range" | "trange"), args=[count]):
                        yield count
                    case _:
                        pass


def _least_epochs(new: Script, rule: Fixed) -> Iterator[Clash]:
    most = rule.value
    for setting in settings(new):
        least = setting.value
        if normalised(setting.name) != "min_epochs" or not isinstance(least, int) or not isinstance(most, int):
            continue
        if least > most:
            yield Clash(rule.rule, most, str(least), f"line {setting.line}, min_epochs in {setting.symbol}")


def _accumulated(old: Script, new: Script, rule: Fixed) -> Iterator[Clash]:
    """Gradient accumulation that the parent had not: the optimiser then sees another batch size than the fixed one."""
    names = synonyms("accumulate_grad_batches")
    before = {setting.value for setting in settings(old) if speaks_of(setting, names)}
    for setting in settings(new):
        if speaks_of(setting, names) and setting.value not in before and setting.value not in (1, None):
            place = f"line {setting.line}, {setting.name} in {setting.symbol}"
            yield Clash(rule.rule, rule.value, "several batches for each step", place)
