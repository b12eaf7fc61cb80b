"""Did the change run? The lines of a version's changed functions are watched while it trains."""

import difflib
from collections.abc import Iterator, Mapping
from types import CodeType

from ..project.attempts import Attempt
from ..project.notices import Notice
from ..project.receipts import NextReceipt
from ..project.version import Version
from ..record import lines
from ..script import Script, decode_script

_MOST = 500


def changed_lines(version: Version) -> dict[str, list[int]]:
    """By symbol of the action, the changed lines inside its functions that have code; others run with the module."""
    parent = version.parent
    receipt = parent.receipt(NextReceipt) if parent is not None else None
    if parent is None or receipt is None:
        return {}
    script, before = version.script(authored=False), _trained_script(parent)
    changed = set(_changed(before, script.text)) & set(_in_functions(script))
    symbols = {one.name: range(one.line, one.end_line + 1) for one in script.symbols}
    found = {name: sorted(changed.intersection(symbols[name])) for name in receipt.symbols if name in symbols}
    return {name: numbers[:_MOST] for name, numbers in found.items() if numbers}


def watched(changed: Mapping[str, list[int]]) -> list[int]:
    """The lines in the order of their flags."""
    return sorted({number for numbers in changed.values() for number in numbers})[:_MOST]


def never_ran(attempt: Attempt, changed: Mapping[str, list[int]]) -> Iterator[Notice]:
    """A warning for changed symbols of which no line was seen to run."""
    found = lines.ran(attempt.project.workspace.tree.path(attempt.facts), watched(changed)) if changed else None
    if found is None:
        return
    idle = [name for name, numbers in changed.items() if not found.lines.intersection(numbers)]
    if idle and found.whole:
        yield Notice.of("never_ran", names=", ".join(idle))
    elif idle:
        yield Notice.of("not_seen", names=", ".join(idle))


def _trained_script(parent: Version) -> str:
    tree = parent.project.workspace.tree
    for name in (f"{parent.snapshot}/{parent.script_name}", parent.script_name):
        if tree.is_file(name):
            return decode_script(tree.read(name), parent.script_name)
    return ""


def _changed(before: str, after: str) -> Iterator[int]:
    """Numbers of the lines that are new or different."""
    matcher = difflib.SequenceMatcher(None, before.splitlines(), after.splitlines(), autojunk=False)
    for tag, _, _, first, last in matcher.get_opcodes():
        if tag in ("replace", "insert"):
            yield from range(first + 1, last + 1)


def _in_functions(script: Script) -> Iterator[int]:
    def below(code: CodeType) -> Iterator[int]:
        for inner in code.co_consts:
            if isinstance(inner, CodeType):
                if inner.co_flags & 0x02:  # has locals of its own: no class body
                    yield from (line for *_, line in inner.co_lines() if line and line != inner.co_firstlineno)
                yield from below(inner)

    return below(compile(script.text, script.name, "exec", dont_inherit=True))
