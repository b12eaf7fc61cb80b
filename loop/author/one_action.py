"""Is an action one action? What its words and its `where` give away, before there is any diff (X1)."""

import re
from collections.abc import Iterator, Sequence

from ..errors import DocumentError
from ..script import Changes, Script
from ..script.settings import settings

MOST_SYMBOLS = 8
_ITEM = re.compile(r"^\s*(?:[-*•]|\(?\d+[.)]|\(?[a-z][.)])\s+\S", re.M)
_SECOND = re.compile(
    r"\b(?:and also|additionally|in addition|on top of that|as a second (?:change|step)|secondly),?\s+(?:we |I )?"
    r"(?:add|apply|change|decrease|double|drop|enable|halve|increase|lower|raise|reduce|remove|replace|set|switch|swap|use)\b",
    re.I,
)
_MOVE = re.compile(r"([\w.]+)(?: goes| changes| rises| falls)? from \S+ to \S+", re.I)


def require_one_action(script: Script, goal: str, change: str, where: Sequence[str]) -> None:
    """Raises `DocumentError` for an action whose words list several, or whose `where` covers whatever one likes."""
    hint = "choose one of them; the others go into deferred, and each gets a version of its own"
    for name, text in (("goal", goal), ("change", change)):
        if len(_ITEM.findall(text)) > 1:
            raise DocumentError("lists several changes, and an action is one", where=name, hint=hint)
        if found := _SECOND.search(text):
            raise DocumentError(f"names a second change ({found[0]!r}), and an action is one", where=name, hint=hint)
    last = {symbol.removeprefix("+").rsplit(".", 1)[-1] for symbol in where}
    moved = {found for found in _MOVE.findall(change) if found.rsplit(".", 1)[-1] in last}
    if len(moved) > 1:
        raise DocumentError(f"moves {', '.join(sorted(moved))}, and an action is one change", where="change", hint=hint)
    present = [symbol for symbol in dict.fromkeys(where) if not symbol.startswith("+")]
    whole = {symbol.name for symbol in script.symbols if "." not in symbol.name}
    if len(present) > MOST_SYMBOLS or (len(whole) > 3 and whole <= {*present}):
        raise DocumentError(
            f"names {len(present)} symbols, so it allows nearly any change; at most {MOST_SYMBOLS} and not the whole",
            where="where",
            hint="name only what this one action changes; a class stands for all of its methods",
        )


def unrelated_settings(old: Script, new: Script, changes: Changes) -> Iterator[str]:
    """Says that a diff moves several plain settings at once: allowed, but their effects can't be told apart."""
    before, after = ({one.symbol: one.value for one in settings(s) if one.editable} for s in (old, new))
    moved = [name for name in changes.symbols if name in before and name in after and before[name] != after[name]]
    plain = [name for name in moved if name in {symbol.name for symbol in new.symbols if _is_value(symbol.kind)}]
    if len(plain) > 1:
        yield f"{' and '.join(plain)} change together: which of them had what effect can't be told from one version"


def _is_value(kind: str) -> bool:
    return kind in ("constant", "field")
