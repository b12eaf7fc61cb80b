"""What the user's rules fix, as values in the code: set in v001, checked in every diff and after a run (T1, C2)."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from .folding import UNRESOLVED, Value
from .places import ENVIRON, Setting
from .roles import apart, role
from .settings import calls, literal, settings
from .source import Script
from .synonyms import (
    is_for_evaluation,
    is_optimizer,
    is_scheduler,
    normalised,
    optimizer_name,
    speaks_of,
    synonyms,
)

Scalar = bool | int | float | str | None
_PASSED = ("keyword", "positional")
Extra = Mapping[str, Sequence[str]]
"""A user's own synonyms: names by rule name."""


@dataclass(frozen=True)
class Fixed:
    """One value that the user fixed: `rule` is its path in the rules, `name` its last part.

    `role` tells one of several places of that name: the rule `pretrain.max_epochs` has the role `pretrain`. Places of
    a role in `others` are another rule's.
    """

    rule: str
    name: str
    value: Scalar
    role: str = ""
    others: frozenset[str] = frozenset()


def with_others(rules: Sequence[Fixed], extra: Extra | None = None) -> tuple[Fixed, ...]:
    """The rules, each without a role knowing the roles of the others that have its name."""
    return tuple(
        rule
        if rule.role
        else replace(rule, others=frozenset(one.role for one in rules if one.role and _alike(one, rule, extra)))
        for rule in rules
    )


def _alike(one: Fixed, other: Fixed, extra: Extra | None) -> bool:
    return not synonyms(one.name, extra).isdisjoint(synonyms(other.name, extra))


@dataclass(frozen=True)
class Clash:
    """A place that gives what a rule fixes another value."""

    rule: str
    allowed: Scalar
    found: str
    place: str

    def __str__(self) -> str:
        return f"{self.place}: {self.found}, but {self.rule} fixes {_shown(self.allowed)}"


def in_words(found: Iterable[Clash]) -> str:
    """All of them in one line."""
    return "; ".join(map(str, found))


@dataclass(frozen=True)
class Materialised:
    """A script with the fixed values in place; `missing` are those that no place in it sets.

    `asked` are the places of a rule that only the user can tell: left as they are.
    """

    text: str
    applied: tuple[str, ...]
    missing: tuple[Fixed, ...]
    asked: tuple["Asked", ...] = ()


@dataclass(frozen=True)
class Asked:
    """Places, each with its value and its own name in the rules; `some`: others of that name have the rule's value."""

    rule: Fixed
    places: tuple[tuple[str, Scalar, str], ...]
    some: bool


def materialise(script: Script, fixed: Sequence[Fixed], extra: Extra | None = None) -> Materialised:
    """Writes each fixed value wherever the script states another; every other byte stays.

    First a literal is replaced in place; what still computes another value (`max_epochs=2 * EPOCHS`) is then
    replaced as a whole. Not changed: places that only a run can tell, and an optimiser's class.
    """
    applied: list[str] = []
    for rule in fixed:
        for stage in range(3):
            wrong = [
                place for place in _places(script, rule, extra) if _differs(rule, place) and _stage(place) <= stage
            ]
            edits = [(place.start, place.end, _written(script, place, rule.value)) for place in wrong]
            applied += [f"{_where(p)}: {_value(p.value)} -> {_shown(rule.value)} ({rule.rule})" for p in wrong]
            script = Script.parse(script.edited(edits), script.name) if edits else script
    asked = tuple(one for rule in fixed if (one := _asked(script, rule, extra)))
    missing = (rule for rule in fixed if not _places(script, rule, extra) and not _optimizer_calls(script, rule, extra))
    return Materialised(script.text, tuple(applied), tuple(missing), asked)


def _asked(script: Script, rule: Fixed, extra: Extra | None) -> Asked | None:
    own = _places(script, rule, extra)
    left = [place for place in _speaking(script, rule, extra) if place not in own]
    named = tuple((_where(place), _scalar(place.value), f"{role(script, place)}.{place.name}") for place in left)
    return Asked(rule, named, bool(own)) if named else None


_Left = tuple[str, str | None, str, Value]


def _left(script: Script, rule: Fixed, extra: Extra | None) -> set[_Left]:
    own = _places(script, rule, extra)
    return {_as_left(script, place) for place in _speaking(script, rule, extra) if place not in own}


def _as_left(script: Script, place: Setting) -> _Left:
    return role(script, place), place.callee, place.name, place.value


def _scalar(value: Value) -> Scalar:
    return value if isinstance(value, bool | int | float | str | None) else repr(value)


def clashes(
    script: Script, fixed: Sequence[Fixed], extra: Extra | None = None, *, parent: Script | None = None
) -> tuple[Clash, ...]:
    """The places whose certain value is plainly not the fixed one.

    What is assigned from outside (`group["lr"] = 0.1`) may be a warm-up or another object's: the run tells.
    What `parent` has beside the rule's own place, as another parameter group's rate, may stay as it is.
    """
    return tuple(
        clash
        for rule in fixed
        for left in [_left(parent, rule, extra) if parent is not None else set[_Left]()]
        for clash in (
            *(
                _clash(rule, p)
                for p in _speaking(script, rule, extra)
                if p.kind != "override" and _differs(rule, p) and _as_left(script, p) not in left
            ),
            *_optimizer_clashes(script, rule, extra),
        )
    )


def removed(old: Script, new: Script, fixed: Sequence[Fixed], extra: Extra | None = None) -> tuple[Clash, ...]:
    """What the new script no longer states or no longer passes on, so that a library's default would apply."""
    return tuple(clash for rule in fixed for clash in _removed(old, new, rule, synonyms(rule.name, extra)))


def recorded_clashes(
    values: Mapping[str, object], fixed: Sequence[Fixed], *, source: str, extra: Extra | None = None
) -> tuple[Clash, ...]:
    """The recorded values (flattened keys: `trainer.max_epochs`) that are not the fixed ones.

    The key's last part is compared. Text that spells a number equals it: YAML reads 1e-3 as text. A value of None says
    nothing, unless None is what the rule fixes.
    """
    return tuple(
        Clash(rule.rule, rule.value, _shown(value), f"{source}, {key}")
        for rule in fixed
        for key, value in recorded_values(values, rule, extra)
        if not agrees(rule, value)
    )


def recorded_values(
    values: Mapping[str, object], rule: Fixed, extra: Extra | None = None
) -> Iterator[tuple[str, object]]:
    """The recorded values, with their keys, that speak of the rule."""
    names = synonyms(rule.name, extra)
    for key, value in values.items():
        *path, name = key.replace("/", ".").split(".")
        if any(part in rule.others for part in path) or (rule.role and rule.role not in path):
            continue
        apart = (is_for_evaluation(path) and "batch_size" in names) or any(map(is_scheduler, path))
        if normalised(name) in names and not apart and not (value is None and rule.value is not None):
            yield key, value


def agrees(rule: Fixed, value: object) -> bool:
    """Whether a recorded value, which may be text that spells one, is the one that the rule fixes."""
    return _same(rule, value, from_text=True)


def _speaking(script: Script, rule: Fixed, extra: Extra | None) -> list[Setting]:
    """The places that have the rule's name, and no other rule's role."""
    names = synonyms(rule.name, extra)
    found = [setting for setting in settings(script) if speaks_of(setting, names)]
    if rule.role:
        return [place for place in found if role(script, place) == rule.role]
    return [place for place in found if role(script, place) not in rule.others] if rule.others else found


def _places(script: Script, rule: Fixed, extra: Extra | None) -> list[Setting]:
    found = _speaking(script, rule, extra)
    if rule.role:
        return found
    left = apart(script, found, synonyms(rule.name, extra), lambda place: not _differs(rule, place))
    return [place for place in found if place not in left]


def _stage(place: Setting) -> int:
    # What is computed may agree once the literals do, and an argument once the variable that it names does.
    return 0 if place.editable else 2 if place.kind in _PASSED else 1


def _differs(rule: Fixed, place: Setting) -> bool:
    if place.value is UNRESOLVED:
        return False
    return not _same(rule, place.value, from_text=place.callee == ENVIRON)


def _same(rule: Fixed, value: object, *, from_text: bool) -> bool:
    allowed = rule.value
    names = synonyms(rule.name)
    if "precision" in names:
        return _precision(allowed) == _precision(value)
    if "optimizer" in names and isinstance(allowed, str) and isinstance(value, str):
        return optimizer_name(allowed) == optimizer_name(value)
    if from_text and isinstance(value, str) and not isinstance(allowed, str):
        value = _read(value)
    if isinstance(allowed, bool) or isinstance(value, bool):
        return allowed is value
    if isinstance(allowed, int | float) and isinstance(value, int | float):
        # 3 * 1e-4 is 0.00030000000000000003; whole numbers may lie beyond a float's range.
        return allowed == value or (
            isinstance(allowed, float) and abs(value) < 1e300 and math.isclose(allowed, value, rel_tol=1e-9)
        )
    return type(allowed) is type(value) and allowed == value


def _precision(value: object) -> object:
    return value if isinstance(value, bool | None) else str(value).removesuffix("-true")


def _read(text: str) -> object:
    words: Mapping[str, bool | None] = {"true": True, "false": False, "none": None, "null": None}
    if text.strip().lower() in words:
        return words[text.strip().lower()]
    try:
        return float(text)
    except ValueError:
        return text


def _written(script: Script, place: Setting, value: Scalar) -> str:
    spelled = script.data[place.start : place.end].decode()
    as_text = place.callee == ENVIRON and isinstance(place.value, str)
    return literal(str(value) if as_text else value, like=spelled)


def _clash(rule: Fixed, place: Setting) -> Clash:
    return Clash(rule.rule, rule.value, _value(place.value), _where(place))


def _optimizer_calls(script: Script, rule: Fixed, extra: Extra | None) -> list[tuple[str, str, int]]:
    if "optimizer" not in synonyms(rule.name, extra):
        return []
    return [(call.callee, call.symbol, call.line) for call in calls(script) if is_optimizer(call.callee)]


def _optimizer_clashes(script: Script, rule: Fixed, extra: Extra | None) -> Iterator[Clash]:
    for callee, symbol, line in _optimizer_calls(script, rule, extra):
        if optimizer_name(callee) != optimizer_name(rule.value):
            yield Clash(rule.rule, rule.value, callee, f"line {line}, {callee}(…) in {symbol}")


def _removed(old: Script, new: Script, rule: Fixed, names: frozenset[str]) -> Iterator[Clash]:
    before, after = ([place for place in settings(script) if speaks_of(place, names)] for script in (old, new))
    if before and not after:
        yield Clash(rule.rule, rule.value, "no value any more", f"{_where(before[0])} of {old.name}")
        return
    # Functions of the script itself have a default that is checked in place, and batches are made in many ways.
    own = {symbol.name for symbol in new.symbols} | {"DataLoader"}
    passed, kept = ({p.callee: p.name for p in places if p.kind in _PASSED} for places in (before, after))
    for callee in dict.fromkeys(call.callee for call in calls(new) if not call.open_ended):
        if callee in passed and callee not in own and callee not in kept:
            where = f"a call of {callee}(…) without {passed[callee]}"
            yield Clash(rule.rule, rule.value, "the library's default", where)


def _where(place: Setting) -> str:
    match place.kind:
        case "keyword":
            return f"line {place.line}, {place.callee or 'a call'}({place.name}=…) in {place.symbol}"
        case "positional":
            return f"line {place.line}, {place.callee}(…) in {place.symbol}"
        case "default":
            return f"line {place.line}, the default of {place.name} in {place.symbol}"
        case "argparse":
            return f"line {place.line}, the default of the option {place.name} in {place.symbol}"
        case "override" if place.callee == ENVIRON:
            return f'line {place.line}, environ["{place.name}"] in {place.symbol}'
        case _:
            own = place.symbol.rpartition(".")[2] == place.name
            return f"line {place.line}, {place.symbol if own else f'{place.name} in {place.symbol}'}"


def _value(value: Value) -> str:
    return "a value known at run time" if value is UNRESOLVED else _shown(value)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
