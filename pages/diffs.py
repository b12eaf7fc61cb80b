"""A unified diff of Python, line by line, with its words coloured."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pygments.token import _TokenType  # pyright: ignore[reportPrivateUsage] - the only name of that type

LineKind = Literal["add", "del", "same", "hunk"]
_HUNK = re.compile(r"@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@")
_MOST_LINES = 2_000


@dataclass(frozen=True)
class Span:
    """`kind` is one letter: k keyword, s string, c comment, m number, f what is defined; empty for the rest."""

    kind: str
    text: str


@dataclass(frozen=True)
class DiffLine:
    """`old` and `new` are its numbers in the two files; None where it isn't in one."""

    kind: LineKind
    old: int | None
    new: int | None
    spans: tuple[Span, ...]


def diff_lines(diff: str) -> tuple[DiffLine, ...]:
    """The lines of its hunks, without the file names above; at most 2,000 of them."""
    found: list[DiffLine] = []
    hunk: list[str] = []
    old = new = 0
    inside = False
    for text in diff.splitlines()[:_MOST_LINES]:
        if match := _HUNK.match(text):
            found += _hunk(hunk, old, new)
            hunk, old, new, inside = [], int(match[1]), int(match[2]), True
            found.append(DiffLine("hunk", None, None, (Span("", text),)))
        elif inside and text[:1] in ("+", "-", " ", ""):
            hunk.append(text or " ")
        elif text.startswith(("--- ", "diff ")):
            inside = False
    return (*found, *_hunk(hunk, old, new))


def _hunk(lines: Sequence[str], old: int, new: int) -> list[DiffLine]:
    """Each side is read as a whole, so that a string over several lines is one on either."""
    before = iter(_coloured([line[1:] for line in lines if line[0] != "+"]))
    after = iter(_coloured([line[1:] for line in lines if line[0] != "-"]))
    found: list[DiffLine] = []
    for line in lines:
        if line[0] == "-":
            found.append(DiffLine("del", old, None, next(before)))
            old += 1
        elif line[0] == "+":
            found.append(DiffLine("add", None, new, next(after)))
            new += 1
        else:
            next(before)
            found.append(DiffLine("same", old, new, next(after)))
            old, new = old + 1, new + 1
    return found


def _coloured(lines: Sequence[str]) -> list[tuple[Span, ...]]:
    from pygments.lexers.python import PythonLexer  # pyright: ignore[reportMissingTypeStubs]

    lexer = PythonLexer(stripnl=False, ensurenl=False)
    found: list[list[Span]] = [[]]
    for token, text in lexer.get_tokens("\n".join(lines)):
        for place, part in enumerate(text.split("\n")):
            if place:
                found.append([])
            if part:
                found[-1].append(Span(_kind(token), part))
    found += [[] for _ in range(len(lines) - len(found))]
    return [tuple(spans) for spans in found]


def _kind(token: "_TokenType") -> str:
    from pygments.token import Comment, Keyword, Name, Number, String

    kinds = ((Comment, "c"), (String, "s"), (Keyword, "k"), (Number, "m"), (Name.Function, "f"), (Name.Class, "f"))
    return next((letter for kind, letter in kinds if token in kind), "")
