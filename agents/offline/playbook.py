"""Which single change to try next: general habits of the field, ordered by the diagnosis, over what the script holds.

Nothing here is random or remembered between calls: the scripts so far say what was tried.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

from ...loop.errors import ScriptError
from ...loop.script import Script, changed_symbols
from ...loop.script.fixed import Fixed, clashes, removed
from ...loop.script.places import Setting
from ...loop.script.settings import settings
from ...loop.script.source import units
from ...loop.store.paths import version_id
from .diagnosis import Verdict
from .edits import Draft, reverted
from .levers import Lever, rounded
from .network import dropout, label_smoothing, normalise_layers, width
from .optimisation import (
    adaptive_optimizer,
    cosine_schedule,
    gradient_clipping,
    learning_rate,
    momentum,
    weight_decay,
)


@dataclass(frozen=True)
class Move:
    """One action, ready to be written down and authored; `new_text` is the whole next script.

    `where` are exactly the symbols that change, as `loop.scripts.changed_symbols` sees them.
    """

    goal: str
    change: str
    where: tuple[str, ...]
    expected_impact: str
    risk: str
    verification: str
    new_text: str


@dataclass(frozen=True)
class Past:
    """The scripts of v001, v002, …; the last one is the current one. `best` is the index of the best scored one.

    `changes` are the words of the actions that led to them (`Move.change`).
    """

    scripts: tuple[str, ...]
    best: int | None = None
    changes: tuple[str, ...] = ()


_RATE_UP, _RATE_DOWN = partial(learning_rate, factor=3), partial(learning_rate, factor=1 / 3)
_WIDER, _NARROWER = partial(width, factor=2), partial(width, factor=0.5)
_DROP_MORE, _DROP_LESS = partial(dropout, up=True), partial(dropout, up=False)
_DECAY_MORE, _DECAY_LESS = partial(weight_decay, up=True), partial(weight_decay, up=False)
# First what helps most often and costs least to take back; what trades one loss against the other comes later.
_ORDER: Mapping[Verdict, tuple[Callable[[Script], Iterator[Draft]], ...]] = {
    "diverged": (partial(learning_rate, factor=0.1), gradient_clipping, normalise_layers),
    "underfit": (
        *(adaptive_optimizer, momentum, normalise_layers, _RATE_UP, _WIDER),
        *(_DROP_LESS, _DECAY_LESS, cosine_schedule),
    ),
    "healthy": (
        *(adaptive_optimizer, normalise_layers, _WIDER, cosine_schedule),
        *(momentum, _RATE_UP, label_smoothing, _DROP_MORE),
    ),
    "plateau": (
        *(adaptive_optimizer, normalise_layers, cosine_schedule, _WIDER),
        *(momentum, _RATE_DOWN, _RATE_UP, label_smoothing),
    ),
    "overfit": (
        *(_DROP_MORE, _DECAY_MORE, label_smoothing, normalise_layers),
        *(cosine_schedule, _NARROWER, _RATE_DOWN),
    ),
}
_AFTER_REGRESSION = _ORDER["plateau"]


def moves(past: Past, verdict: Verdict, fixed: Sequence[Fixed]) -> Iterator[Move]:
    """Every move that may be proposed now, the most promising one first.

    A move parses, changes at least one symbol, breaks no fixed rule, and repeats neither a change of `past.changes` nor
    what its symbols were in an earlier version; taking back a change that cost something is the exception to the last.
    Raises: ScriptError when one of the scripts can't be parsed.
    """
    scripts = [Script.parse(text, f"02_train_{version_id(index)}.py") for index, text in enumerate(past.scripts, 1)]
    current = scripts[-1]
    seen = frozenset[tuple[str, str]]().union(*(_shapes(text) for text in past.scripts))
    no_matter: frozenset[tuple[str, str]] = frozenset()
    if verdict == "regressed" and past.best is not None:
        best = scripts[past.best]
        repairs = ((_other_direction(current, best), seen), (_taken_back(current, best), no_matter))
        found = [move for draft, known in repairs if draft and (move := _move(draft, current, past, fixed, known))]
        if found:
            yield from found
            return
    proposed: set[str] = set()
    for maker in _ORDER.get(verdict, _AFTER_REGRESSION):
        for draft in maker(current):
            if draft.text not in proposed and (move := _move(draft, current, past, fixed, seen)):
                proposed.add(draft.text)
                yield move


def _move(
    draft: Draft, current: Script, past: Past, fixed: Sequence[Fixed], seen: frozenset[tuple[str, str]]
) -> Move | None:
    if draft.change in past.changes:
        return None
    try:
        new = Script.parse(draft.text, current.name)
    except ScriptError:
        return None  # an edit of a layout that the makers don't foresee; nothing was changed
    where = changed_symbols(current, new).symbols
    shapes = {(unit.name, unit.shape) for unit in units(new.tree) if unit.name in where}
    if not where or shapes <= seen or clashes(new, fixed) or removed(current, new, fixed):
        return None
    return Move(
        goal=draft.goal,
        change=draft.change,
        where=where,
        expected_impact=draft.expected_impact,
        risk=draft.risk,
        verification="Compare the primary metric with this version's, by the server's interval, and val_loss at its "
        "lowest epoch.",
        new_text=draft.text,
    )


def _other_direction(current: Script, best: Script) -> Draft | None:
    """The one number that differs from the best version, moved as far to the other side of the best value."""
    before = [item for item in settings(best) if item.editable]
    after = [item for item in settings(current) if item.editable]
    if [_place(item) for item in before] != [_place(item) for item in after]:
        return None
    moved = [(one, two) for one, two in zip(before, after, strict=True) if one.value != two.value]
    pairs = {(one.value, two.value) for one, two in moved}
    if len(pairs) != 1:
        return None
    old, new = pairs.pop()
    if not (isinstance(old, int | float) and isinstance(new, int | float) and old > 0 and new > 0):
        return None
    value = round(old * old / new) if isinstance(old, int) else rounded(old * old / new)
    name = moved[0][0].name
    return Draft(
        goal=f"Find out whether {name} is better on the other side of the best version's value.",
        change=f"{name} {new:g}, which cost something, becomes {value:g}; the best version has {old:g}.",
        text=Lever(current, float(new), tuple(two for _, two in moved)).with_value(value),
        expected_impact="The loss is back, and more, if the last change went the wrong way.",
        risk="Low: the same single setting, on the other side of a value that is known to work.",
    )


def _taken_back(current: Script, best: Script) -> Draft | None:
    symbols = changed_symbols(best, current).symbols
    text = reverted(current, best, symbols)
    if text is None:
        return None
    return Draft(
        goal="Go on from the best version's code.",
        change=f"{', '.join(symbols)} as in the best version: what was changed since then is taken back.",
        text=text,
        expected_impact="The best version's score again.",
        risk="Low: this code has been trained and scored.",
    )


@lru_cache(maxsize=64)
def _shapes(text: str) -> frozenset[tuple[str, str]]:
    """Each symbol of a script with what it is there."""
    return frozenset((unit.name, unit.shape) for unit in units(Script.parse(text, "an earlier script").tree))


def _place(setting: Setting) -> tuple[str, str, str | None, str]:
    return setting.name, setting.kind, setting.callee, setting.symbol
