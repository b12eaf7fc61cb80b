"""action-extract.md: exactly one action, checked to be one before there is any diff (X1, X2)."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..errors import DocumentError, RuleViolation
from ..project.notices import Notice
from ..project.project import Project
from ..project.receipts import ActionReceipt
from ..project.turn import turn
from ..rules.reading import Rules
from ..script.changes import Changes
from ..script.settings import settings
from ..script.source import Script
from ..script.synonyms import synonyms
from ..store import journal
from ..store.paths import ACTION_FILE
from ..text import Say, bullets, require_list, require_text, words

MOST_SYMBOLS = 8
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
            goal=action.goal,
            change=action.change,
            where=action.where,
            expected_impact=action.expected_impact,
            risk=action.risk,
            verification=action.verification,
            deferred=action.deferred,
            at=journal.now(),
        )
        t.version.save(receipt)
        t.version.record("action_selected", goal=action.goal)
        return receipt, False


def require_action(script: Script, rules: Rules, action: Action) -> None:
    """Raises `DocumentError` or `RuleViolation` for what is not exactly one action that keeps the rules."""
    require_complete(action)
    require_symbols(script, action.where)
    require_rule_free(script, rules, action)
    require_one_action(script, action)


def require_complete(action: Action) -> None:
    """Raises `DocumentError` naming the part that is empty or too long."""
    require_text(
        goal=action.goal,
        change=action.change,
        expected_impact=action.expected_impact,
        risk=action.risk,
        verification=action.verification,
    )
    require_list(where=action.where)


def require_symbols(script: Script, where: Sequence[str]) -> None:
    """Raises `DocumentError` for a name that the script neither has nor could get: a new symbol is written `+name`."""
    known = {symbol.name for symbol in script.symbols}
    unknown = [name for name in where if not name.startswith("+") and name not in known]
    if unknown:
        listed = ", ".join(sorted(known))
        raise DocumentError(
            f"where names what {script.name} doesn't have: {', '.join(unknown)}",
            where="where",
            hint=f"use its symbols, and +Name for one that the change adds. It has: {listed[:1500]}",
        )


def require_rule_free(script: Script, rules: Rules, action: Action) -> None:
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
                    where="where",
                    hint="change the action so that it keeps the rule, or take the next best candidate",
                )


def _action_text(action: Action, version: str, say: Say) -> str:
    parts = [say("# Action extract of {version}").format(version=version), "## Selected Action"]
    for title, text in (
        ("Goal", action.goal),
        ("Change", action.change),
        ("Where", bullets(tuple(f"`{symbol}`" for symbol in action.where))),
        ("Expected impact", action.expected_impact),
        ("Risk", action.risk),
        ("Verification", action.verification),
    ):
        parts += [f"### {title}", text.strip()]
    if action.deferred:
        parts += ["## Deferred Candidates", bullets(action.deferred)]
    return "\n\n".join(parts) + "\n"


def require_one_action(script: Script, action: Action) -> None:
    """Raises `DocumentError` for an action whose words list several, or whose `where` would allow any change."""
    hint = "choose one of them; the others go into deferred, and each gets a version of its own"
    for name, text in (("goal", action.goal), ("change", action.change)):
        if len(_ITEM.findall(text)) > 1:
            raise DocumentError("lists several changes, and an action is one", where=name, hint=hint)
        if found := _SECOND.search(text):
            raise DocumentError(f"names a second change ({found[0]!r}), and an action is one", where=name, hint=hint)
    last = {symbol.removeprefix("+").rsplit(".", 1)[-1] for symbol in action.where}
    moved = {found for found in _MOVE.findall(action.change) if found.rsplit(".", 1)[-1] in last}
    if len(moved) > 1:
        raise DocumentError(f"moves {', '.join(sorted(moved))}, and an action is one change", where="change", hint=hint)
    present = [symbol for symbol in dict.fromkeys(action.where) if not symbol.startswith("+")]
    whole = {symbol.name for symbol in script.symbols if "." not in symbol.name}
    if len(present) > MOST_SYMBOLS or (len(whole) > 3 and whole <= {*present}):
        raise DocumentError(
            f"names {len(present)} symbols, so it allows nearly any change; at most {MOST_SYMBOLS} and not the whole",
            where="where",
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
