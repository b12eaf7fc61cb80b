"""A hyper-parameter of a script as one thing that can be set, wherever and however often it is written."""

import re
from collections.abc import Collection
from dataclasses import dataclass

from ...loop.script.places import Setting, SettingKind
from ...loop.script.settings import literal, settings
from ...loop.script.source import Script
from ...loop.script.synonyms import normalised, speaks_of, synonyms

# Where a hyper-parameter is written twice, the place further left decides what a run uses.
_STRENGTH: tuple[SettingKind, ...] = ("override", "argparse", "constant", "field", "keyword", "positional", "default")
_MAX_HOPS = 4


@dataclass(frozen=True)
class Lever:
    """A number and all the places that must be rewritten together to change it."""

    script: Script
    value: float
    places: tuple[Setting, ...]

    def with_value(self, value: float) -> str:
        """The script's text with the new value in every place."""
        written = literal(int(value) if isinstance(self.places[0].value, int) and value == int(value) else value)
        return self.script.edited((place.start, place.end, written) for place in self.places)


def find_lever(script: Script, concept: str) -> Lever | None:
    """The one number that the script gives to `concept`, under any of its usual names.

    None where it is computed, missing, or given differently in places of equal strength.
    """
    return _lever(script, synonyms(concept), 0)


def find_name(script: Script, name: str, *, callees: Collection[str]) -> Lever | None:
    """The one number that goes by this name; of what calls are given, only what goes to `callees` counts."""
    return _lever(script, frozenset({normalised(name)}), 0, callees)


def rounded(value: float) -> float:
    """Two significant digits, as a person would choose a hyper-parameter."""
    return float(f"{value:.2g}")


def _lever(script: Script, names: frozenset[str], hops: int, callees: Collection[str] | None = None) -> Lever | None:
    found = [
        item
        for item in settings(script)
        if speaks_of(item, names)
        and isinstance(item.value, int | float)
        and not isinstance(item.value, bool)
        and (callees is None or item.kind not in ("keyword", "positional") or item.callee in callees)
    ]
    written = [item for item in found if item.editable]
    if not written:
        # `hidden: int = HIDDEN_SIZE`: the place to edit has another name.
        texts = {script.data[item.start : item.end].decode() for item in found}
        others = {normalised(text.rpartition(".")[2]) for text in texts if re.fullmatch(r"[\w.]+", text)} - names
        return _lever(script, frozenset(others), hops + 1, callees) if others and hops < _MAX_HOPS else None
    if len({item.value for item in written}) > 1:
        strongest = min(_STRENGTH.index(item.kind) for item in written)
        written = [item for item in written if _STRENGTH.index(item.kind) == strongest]
    values = {item.value for item in written if isinstance(item.value, int | float)}
    return Lever(script, float(values.pop()), tuple(written)) if len(values) == 1 else None
