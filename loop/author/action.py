"""action-extract.md: exactly one action, checked to be one before there is any diff (X1, X2).

Where the user allows several (`loop_config.actions_per_version`), each is checked alike, and none shares a symbol.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from ..errors import DocumentError, RuleViolation
from ..project.notices import Notice
from ..project.project import Project
from ..project.receipts import ActionPart, ActionReceipt
from ..project.turn import turn
from ..rules.reading import Rules
from ..script.changes import Changes
from ..script.settings import settings
from ..script.source import Script
from ..script.synonyms import synonyms
from ..store import journal
from ..store.paths import ACTION_FILE
from ..text import Say, bullets, describe, require_list, require_text, words

MOST_SYMBOLS = 8
_FIELDS = ("goal", "change", "where", "expected_impact", "risk", "verification")
_ITEM = re.compile(r"^\s*(?:[-*•]|\(?\d+[.)]|\(?[a-z][.)])\s+\S", re.M)
_SECOND = re.compile(
    r"\b(?:and also|additionally|in addition|on top of that|as a second (?:change|step)|secondly),?\s+(?:we |I )?"
    r"(?:add|apply|change|decrease|double|drop|enable|halve|increase|lower|raise|reduce|remove|replace|set|switch|swap|use)\b",
    re.I,
)
_MOVE = re.compile(r"([\w.]+)(?: goes| changes| rises| falls)? from \S+ to \S+", re.I)


@dataclass(frozen=True)
class Action:
    goal: str
    change: str
    where: tuple[str, ...]
    expected_impact: str
    risk: str
    verification: str
    deferred: tuple[str, ...] = ()
    also: tuple["Action", ...] = ()

    @property
    def parts(self) -> tuple["Action", ...]:
        """Each action of the version, this one first."""
        return (self, *self.also)

    def whole(self, name: str) -> str:
        """That text of all actions, numbered where there are several."""
        texts = [str(getattr(part, name)) for part in self.parts]
        return texts[0] if len(texts) == 1 else " ".join(f"({at}) {text}" for at, text in enumerate(texts, 1))


def further_action(fields: Mapping[str, object], place: str) -> Action:
    """The action in one entry of `also`. Raises `DocumentError` for a field that lacks, is unknown or no text."""
    wrong = [*(name for name in _FIELDS if name not in fields), *(name for name in fields if name not in _FIELDS)]
    hint = f"give each further action {', '.join(_FIELDS)}, as the first one has them"
    if wrong:
        raise DocumentError(f"lacks, or should not have: {', '.join(wrong)}", where=place, hint=hint)
    try:
        return TypeAdapter(Action).validate_python(dict(fields), strict=False)
    except ValidationError as error:
        raise DocumentError(describe(error), where=place, hint=hint) from error


def write_action(project: Project, number: int, action: Action) -> tuple[ActionReceipt, bool]:
    """Writes action-extract.md with its one Selected Action; the receipt, and whether it was there already.

    Raises `OutOfOrder`, `DocumentError` (a part is missing, `where` names no symbol of the script),
    `RuleViolation` naming the rule that the action conflicts with, `GuardError` for a script edited outside the loop.
    """
    with turn(project, "write_action", number) as t:
        if receipt := t.done(ActionReceipt):
            return receipt, True
        t.begin("action")
        require_action(t.version.script(), t.rules, action)
        document = _action_text(action, t.version.id, words(t.rules.file.report_language)).encode()
        where = f"{t.version.artifacts}/{ACTION_FILE}"
        project.workspace.tree.write(f"{project.workspace.authored}/{where}", document, durable=False)
        project.workspace.tree.write(where, document)
        receipt = ActionReceipt(
            document_sha256=hashlib.sha256(document).hexdigest(),
            goal=action.whole("goal"),
            change=action.whole("change"),
            where=tuple(symbol for part in action.parts for symbol in part.where),
            expected_impact=action.whole("expected_impact"),
            risk=action.whole("risk"),
            verification=action.whole("verification"),
            deferred=action.deferred,
            parts=tuple(_recorded(part) for part in action.parts) if action.also else (),
            at=journal.now(),
        )
        t.version.save(receipt)
        t.version.record("action_selected", goal=receipt.goal)
        return receipt, False


def _recorded(part: Action) -> ActionPart:
    return ActionPart(**{name: getattr(part, name) for name in _FIELDS})


def require_action(script: Script, rules: Rules, action: Action) -> None:
    """Raises `DocumentError` or `RuleViolation` for what is not one action (or a few, where allowed)."""
    require_allowed(action, rules)
    for number, part in enumerate(action.parts):
        at = f"also[{number - 1}]." if number else ""
        require_complete(part, at)
        require_symbols(script, part.where, at)
        require_rule_free(script, rules, part, at)
        require_one_action(script, part, at)
    require_apart(action)


def require_allowed(action: Action, rules: Rules) -> None:
    """Raises `DocumentError` for more actions than the user allows in one version."""
    count, most = len(action.parts), rules.file.loop_config.actions_per_version
    if count > most:
        raise DocumentError(
            f"there are {count} actions, and loop_config.actions_per_version is {most}",
            where="also",
            hint="hand in so many, and put the others into deferred; the user may allow more",
        )


def require_apart(action: Action) -> None:
    """Raises `DocumentError` for two actions that name the same symbol, or one a part of the other's."""
    named = [(name.removeprefix("+"), number) for number, part in enumerate(action.parts, 1) for name in part.where]
    for name, number in named:
        for other, its in named:
            if number < its and (name == other or name.startswith(f"{other}.") or other.startswith(f"{name}.")):
                raise DocumentError(
                    f"actions {number} and {its} both name {max(name, other, key=len)}: whose part of the diff that is"
                    " could not be told",
                    where=f"also[{its - 2}].where",
                    hint="give each symbol to one action, or make the two one action",
                )


def require_complete(action: Action, at: str = "") -> None:
    """Raises `DocumentError` naming the part that is empty or too long."""
    require_text(**{f"{at}{name}": getattr(action, name) for name in _FIELDS if name != "where"})
    require_list(**{f"{at}where": action.where})


def require_symbols(script: Script, where: Sequence[str], at: str = "") -> None:
    """Raises `DocumentError` for a name that the script neither has nor could get: a new symbol is written `+name`."""
    known = {symbol.name for symbol in script.symbols}
    unknown = [name for name in where if not name.startswith("+") and name not in known]
    if unknown:
        listed = ", ".join(sorted(known))
        raise DocumentError(
            f"where names what {script.name} doesn't have: {', '.join(unknown)}",
            where=f"{at}where",
            hint=f"use its symbols, and +Name for one that the change adds. It has: {listed[:1500]}",
        )


def require_rule_free(script: Script, rules: Rules, action: Action, at: str = "") -> None:
    """Raises `RuleViolation` if the action aims at a value that the rules fix (X2).

    Before there is a diff, only a `where` that is itself a fixed setting can be refused; the diff is checked later.
    """
    stated = {setting.symbol: setting.name for setting in settings(script) if setting.kind in ("constant", "field")}
    for fixed in rules.fixed:
        names = synonyms(fixed.name, rules.file.synonyms)
        for symbol in action.where:
            last = re.sub(r"^\+", "", symbol).rsplit(".", 1)[-1]
            if last.lower() in names or stated.get(symbol, "").lower() in names:
                raise RuleViolation(
                    f"the action changes {symbol}, and the user fixed {fixed.rule} = {fixed.value!r}",
                    where=f"{at}where",
                    hint="change the action so that it keeps the rule, or take the next best candidate",
                )


def _action_text(action: Action, version: str, say: Say) -> str:
    parts = [say("# Action extract of {version}").format(version=version)]
    for number, part in enumerate(action.parts, 1):
        parts.append(f"## Selected Action {number}" if action.also else "## Selected Action")
        for title, text in (
            ("Goal", part.goal),
            ("Change", part.change),
            ("Where", bullets(tuple(f"`{symbol}`" for symbol in part.where))),
            ("Expected impact", part.expected_impact),
            ("Risk", part.risk),
            ("Verification", part.verification),
        ):
            parts += [f"### {title}", text.strip()]
    if action.deferred:
        parts += ["## Deferred Candidates", bullets(action.deferred)]
    return "\n\n".join(parts) + "\n"


def require_one_action(script: Script, action: Action, at: str = "") -> None:
    """Raises `DocumentError` for an action whose words list several, or whose `where` would allow any change."""
    hint = "choose one of them; the others go into deferred, and each gets a version of its own"
    for name, text in (("goal", action.goal), ("change", action.change)):
        if len(_ITEM.findall(text)) > 1:
            raise DocumentError("lists several changes, and an action is one", where=f"{at}{name}", hint=hint)
        if found := _SECOND.search(text):
            said = f"names a second change ({found[0]!r}), and an action is one"
            raise DocumentError(said, where=f"{at}{name}", hint=hint)
    last = {symbol.removeprefix("+").rsplit(".", 1)[-1] for symbol in action.where}
    moved = {found for found in _MOVE.findall(action.change) if found.rsplit(".", 1)[-1] in last}
    if len(moved) > 1:
        said = f"moves {', '.join(sorted(moved))}, and an action is one change"
        raise DocumentError(said, where=f"{at}change", hint=hint)
    present = [symbol for symbol in dict.fromkeys(action.where) if not symbol.startswith("+")]
    whole = {symbol.name for symbol in script.symbols if "." not in symbol.name}
    if len(present) > MOST_SYMBOLS or (len(whole) > 3 and whole <= {*present}):
        raise DocumentError(
            f"names {len(present)} symbols, so it allows nearly any change; at most {MOST_SYMBOLS} and not the whole",
            where=f"{at}where",
            hint="name only what this one action changes; a class stands for all of its methods",
        )


def unrelated_settings(old: Script, new: Script, changes: Changes) -> Iterator[Notice]:
    """A note for a diff that moves several plain settings at once: allowed, but nobody can tell their effects apart."""
    before, after = ({one.symbol: one.value for one in settings(s) if one.editable} for s in (old, new))
    moved = [name for name in changes.symbols if name in before and name in after and before[name] != after[name]]
    plain = [name for name in moved if name in {symbol.name for symbol in new.symbols if _is_value(symbol.kind)}]
    if len(plain) > 1:
        yield Notice.of("settings_together", settings=" and ".join(plain))


def _is_value(kind: str) -> bool:
    return kind in ("constant", "field")
