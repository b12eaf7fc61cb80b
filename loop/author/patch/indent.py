"""Indentation that a hunk writes otherwise than the file: the one regular change that explains it, or none."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

from .format import Hunk, HunkLine

_INDENT = re.compile(r"[ \t]*")


def reindented(hunk: Hunk, pairs: Sequence[tuple[int, str]], unit: str | None) -> Hunk | None:
    """The hunk with its added lines at the file's indentation, if one regular change explains every pair of lines."""
    quoted = [(_options(hunk.old[at]), _INDENT.match(here)) for at, here in pairs]
    wanted = [(options, match.group()) for options, match in quoted if match]
    added = [line.text for line in hunk.lines if line.kind == "add"]
    # First as quoted; only if that explains nothing, with context lines that lost their markers.
    for options in ([(quoted[:1], target) for quoted, target in wanted], wanted):
        results: dict[tuple[str, ...], None] = {}
        for change in _changes(hunk, options, unit):
            if all(any(change(option) == target for option in some) for some, target in options):
                moved = [text for text in (_moved(text, change) for text in added) if text is not None]
                if len(moved) == len(added):
                    results[tuple(moved)] = None
        if len(results) == 1:
            return with_added(hunk, next(iter(results)))
        if results:
            return None
    return None


def _options(line: HunkLine) -> tuple[str, ...]:
    """The indentations that a quoted line may have had: a context line may have lost its marker."""
    indent = line.text[: len(line.text) - len(line.text.lstrip(" \t"))]
    return (indent, " " + indent) if line.kind == "context" and not line.bare else (indent,)


def _moved(text: str, change: Callable[[str], str | None]) -> str | None:
    body = text.lstrip(" \t")
    indent = change(text[: len(text) - len(body)])
    return text if not body else None if indent is None else indent + body


def _changes(
    hunk: Hunk, wanted: Sequence[tuple[tuple[str, ...], str]], unit: str | None
) -> list[Callable[[str], str | None]]:
    """The regular changes of indentation that are worth trying: a common shift, and another unit."""
    changes: list[Callable[[str], str | None]] = []
    options, target = wanted[0]
    for option in options:
        if target.endswith(option):
            changes.append(_deeper(target[: len(target) - len(option)]))
        elif option.endswith(target):
            changes.append(_shallower(option[: len(option) - len(target)]))
    theirs = indent_unit([line.text for line in hunk.lines])
    if unit and theirs and "\t" in (unit, theirs):
        # How many blanks a tab stands for is seen in the pairs themselves.
        widths = [" " * width for width in (2, 3, 4, 8)]
        changes += [_rescaled(theirs, blanks) if theirs == "\t" else _rescaled(blanks, unit) for blanks in widths]
    elif unit and theirs and unit != theirs:
        changes.append(_rescaled(theirs, unit))
    return changes


def _deeper(by: str) -> Callable[[str], str | None]:
    return lambda indent: by + indent


def _shallower(by: str) -> Callable[[str], str | None]:
    return lambda indent: indent[len(by) :] if indent.startswith(by) else None


def _rescaled(theirs: str, ours: str) -> Callable[[str], str | None]:
    def change(indent: str) -> str | None:
        levels = 0
        while indent.startswith(theirs):
            indent, levels = indent[len(theirs) :], levels + 1
        # A rest of blanks aligns a continued line; between blanks and blanks it could as well be half a level.
        return None if indent and "\t" not in theirs + ours else ours * levels + indent

    return change


def indent_unit(lines: Iterable[str]) -> str | None:
    """One level of indentation: a tab, some blanks, or None where nothing is indented."""
    indents = [line[: len(line) - len(line.lstrip(" \t"))] for line in lines if line.strip()]
    if any(indent.startswith("\t") for indent in indents):
        return "\t"
    # Continued lines are aligned anywhere, so one level is the step inwards that is taken most often.
    steps = Counter(len(inner) - len(outer) for outer, inner in pairwise(["", *indents]) if len(inner) > len(outer))
    return " " * steps.most_common(1)[0][0] if steps else None


def with_added(hunk: Hunk, texts: Iterable[str]) -> Hunk:
    """The hunk with the texts of its added lines replaced, in order."""
    rest = iter(texts)
    lines = (replace(line, text=next(rest)) if line.kind == "add" else line for line in hunk.lines)
    return replace(hunk, lines=tuple(lines))


def in_unit(hunk: Hunk, unit: str) -> Hunk:
    """The hunk with its added lines' levels, counted in their own unit, written in `unit`."""
    added = [line.text for line in hunk.lines if line.kind == "add"]
    theirs = indent_unit(added)
    if not theirs:
        return hunk
    change = _rescaled(theirs, unit)
    moved = [_moved(text, change) for text in added]
    return with_added(hunk, [old if new is None else new for old, new in zip(added, moved, strict=True)])
