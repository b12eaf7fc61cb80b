"""Finds the one place in a file that a hunk speaks of, or says why there is none.

Removed lines must be in the file, and so must the unchanged lines next to an insertion; unchanged lines further out may
have been misquoted. Blanks at line ends never count; indentation may differ if it differs in one regular way. Line
numbers decide only between places that fit equally well.
"""

import difflib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from .format import Hunk, HunkLine
from .indent import in_unit, indent_unit, reindented, with_added

TOO_MANY = 40
_DISPLACED = 4


@dataclass(frozen=True)
class FileLines:
    """A file's lines without their endings, and what is asked of them again and again."""

    lines: tuple[str, ...]

    @cached_property
    def trimmed(self) -> tuple[str, ...]:
        """The lines without the blanks at their ends."""
        return tuple(line.rstrip() for line in self.lines)

    @cached_property
    def where(self) -> dict[str, list[int]]:
        """Stripped line -> ascending 0-based positions."""
        found: defaultdict[str, list[int]] = defaultdict(list)
        for at, line in enumerate(self.lines):
            found[line.strip()].append(at)
        return dict(found)

    @cached_property
    def unit(self) -> str | None:
        """One level of indentation: a tab, some blanks, or None where nothing is indented."""
        return indent_unit(self.lines)

    @cached_property
    def habits(self) -> frozenset[str]:
        """The characters that any line is indented with first."""
        return frozenset(line[0] for line in self.lines if line[:1] in (" ", "\t") and line.strip())


@dataclass(frozen=True)
class _Old:
    """An old line of a hunk as it is looked for: `forms` are the trimmed file lines that are the same line."""

    context: bool
    text: str
    forms: tuple[str, ...]
    needed: bool


@dataclass(frozen=True)
class Place:
    """Where a hunk's first old line is (0-based; before the file's start if leading context was dropped).

    `hunk` is the hunk as it fits there: its added lines carry the file's indentation. `misses` counts the context lines
    that the file does not hold there.
    """

    at: int
    misses: int
    reindented: bool
    hunk: Hunk
    notes: tuple[str, ...] = ()


def places(hunk: Hunk, file: FileLines) -> tuple[Place, ...]:
    """The places that fit a hunk equally well: none, the one, or several between which only line numbers can decide.

    More than TOO_MANY are not looked for.
    """
    hunk = _without_closing_prose(hunk, file)
    found = _best(_fitting(hunk, file))
    if not found and (narrow := _without_padding(hunk)):
        padded = ("blank after the markers dropped",)
        found = tuple(replace(place, notes=place.notes + padded) for place in _best(_fitting(narrow, file)))
    return tuple(_cleaned(place, file) for place in found)


def nearest(hunk: Hunk, file: FileLines) -> int | None:
    """The 0-based line where a hunk that fits nowhere fits best; None if nothing resembles it."""
    votes: defaultdict[int, int] = defaultdict(int)
    for at, line in enumerate(hunk.old):
        text = line.text.strip()
        for position in file.where.get(text, [])[:TOO_MANY] if text else []:
            votes[position - at] += 1 + (line.kind == "remove")
    if votes:
        return max(0, min(votes, key=lambda at: (-votes[at], at)))
    wanted = max((line.text.strip() for line in hunk.old), key=len, default="")
    close = difflib.get_close_matches(wanted[:200], [text for text in file.where if text and len(text) < 400], n=1)
    return file.where[close[0]][0] if close else None


def _without_closing_prose(hunk: Hunk, file: FileLines) -> Hunk:
    lines = list(hunk.lines)
    while not hunk.strict and lines and lines[-1].bare:
        text = lines[-1].text.strip()
        if text and text in file.where:
            break
        lines.pop()
    return replace(hunk, lines=tuple(lines))


def _without_padding(hunk: Hunk) -> Hunk | None:
    """`- x`, `+ y` written for `-x`, `+y`: the hunk without that blank, if each of its changed lines has one."""
    changed = [line for line in hunk.lines if line.kind != "context" and line.text.strip()]
    padded = changed and all(line.text.startswith(" ") for line in changed)
    if hunk.strict or not padded or not any(line.kind == "remove" for line in changed):
        return None
    lines = (line if line.kind == "context" else replace(line, text=line.text[1:]) for line in hunk.lines)
    return replace(hunk, lines=tuple(lines))


def _fitting(hunk: Hunk, file: FileLines) -> list[Place]:
    """The places that hold the hunk's needed lines and enough of the others."""
    needed = _needed(hunk, file)
    old = [_as_old(line, at in needed) for at, line in enumerate(hunk.old)]
    anchors = [at for at in needed if old[at].text] or list(needed)
    if not anchors:
        return []
    rarest = min(anchors, key=lambda at: len(file.where.get(old[at].text, [])))
    found: list[Place] = []
    perfect = 0
    for position in file.where.get(old[rarest].text, []):
        place = _fit(hunk, old, position - rarest, file)
        if place:
            found.append(place)
            perfect += not place.misses and not place.reindented
        if perfect > TOO_MANY:
            break
    return found


def _as_old(line: HunkLine, needed: bool) -> _Old:
    text = line.text.rstrip()
    # A context line that lost its marker has given its first blank for it.
    lost = line.kind == "context" and not line.bare and bool(text)
    return _Old(line.kind == "context", text.strip(), (text, " " + text) if lost else (text,), needed)


def _needed(hunk: Hunk, file: FileLines) -> set[int]:
    """The indexes among the hunk's old lines that a place can't do without.

    Next to a removal, a context line that the file holds nowhere was misquoted, and may be missing.
    """
    needed: set[int] = set()
    groups: list[tuple[int, int]] = []  # each run of changes, as [start, end) among the old lines
    at = 0
    inside = False
    for line in hunk.lines:
        if line.kind == "context":
            inside = False
        elif not inside:
            groups.append((at, at))
            inside = True
        if line.kind == "remove":
            groups[-1] = (groups[-1][0], at + 1)
        if hunk.strict or line.kind == "remove":
            needed.add(at)
        at += line.kind != "add"
    needed.discard(len(hunk.old))
    for start, end in groups:
        # A blank line alone anchors nothing: an insertion also needs the written line behind it.
        for beside in (_written(hunk.old, range(start - 1, -1, -1)), _written(hunk.old, range(end, len(hunk.old)))):
            near, far = beside[:1], beside[1:]
            needed.update(at for at in near if start == end or hunk.old[at].text.strip() in file.where)
            needed.update(at for at in far if start == end and hunk.old[at].text.strip() in file.where)
    return needed


def _written(old: Sequence[HunkLine], way: range) -> list[int]:
    """The indexes on the way up to and with the first line that is not blank."""
    indexes: list[int] = []
    for at in way:
        indexes.append(at)
        if old[at].text.strip() or old[at].kind == "remove":
            break
    return indexes


def _fit(hunk: Hunk, old: Sequence[_Old], start: int, file: FileLines) -> Place | None:
    same: list[int] = []
    moved: list[int] = []  # matching but for the indentation
    misses = 0
    for at, line in enumerate(old):
        position = start + at
        here = file.trimmed[position] if 0 <= position < len(file.lines) else None
        if here in line.forms:
            if line.text:
                same.append(at)
        elif here and here.lstrip() == line.text:
            moved.append(at)
        elif line.needed or _stands_elsewhere(line.text, position, file):
            return None
        else:
            misses += bool(line.text) or here is not None
    if moved:
        pairs = [(at, file.lines[start + at]) for at in same + moved]
        shifted = reindented(hunk, pairs, file.unit)
        if shifted and _is_enough(old, same + moved):
            return Place(start, misses, True, shifted, ("re-indented",))
        if any(old[at].needed for at in moved):
            return None
        misses += len(moved)
    if not _is_enough(old, same) or _may_be_dedented(hunk, [(old[at], file.trimmed[start + at]) for at in same], file):
        return None
    return Place(start, misses, False, hunk)


def _stands_elsewhere(text: str, position: int, file: FileLines) -> bool:
    """Whether a line that is missing here was quoted from far away, not misquoted or displaced by a few lines."""
    known = file.where.get(text, []) if text else []
    return bool(known) and not any(abs(at - position) <= _DISPLACED for at in known)


def _may_be_dedented(hunk: Hunk, matched: Sequence[tuple[_Old, str]], file: FileLines) -> bool:
    """If every quoted line lacks one blank and the added lines may lack it too: more than markers was lost."""
    lost = all(here != line.forms[0] for line, here in matched)
    added = [line.text for line in hunk.lines if line.kind == "add" and line.text.strip()]
    unit = len(file.unit or "")
    return bool(lost and unit and added) and all((len(text) - len(text.lstrip()) + 1) % unit == 0 for text in added)


def _is_enough(old: Sequence[_Old], matched: Sequence[int]) -> bool:
    """Whether the matched lines outweigh the missed ones, and some context is among them where there is any."""
    written = [line for line in old if line.text]
    agreed = any(old[at].context for at in matched) or not any(line.context for line in written)
    return bool(matched) and 2 * len(matched) >= len(written) and agreed


def _cleaned(place: Place, file: FileLines) -> Place:
    """The place's added lines without what a model does to every line alike and the file does nowhere."""
    hunk, notes = place.hunk, list(place.notes)
    quoted = [(line, place.at + at) for at, line in enumerate(hunk.old) if line.text.strip()]
    here = [(line.text, file.lines[at]) for line, at in quoted if 0 <= at < len(file.lines)]
    noisy = [text != text.rstrip() and line == line.rstrip() for text, line in here if text.strip() == line.strip()]
    if noisy and all(noisy):
        hunk = with_added(hunk, [line.text.rstrip() for line in hunk.lines if line.kind == "add"])
        notes.append("blanks at line ends dropped")
    theirs = indent_unit(line.text for line in hunk.lines if line.kind == "add")
    if theirs and file.unit and theirs[0] not in file.habits:
        hunk = in_unit(hunk, file.unit)
        notes.append("re-indented")
    return replace(place, hunk=hunk, notes=tuple(notes))


def _best(found: Iterable[Place]) -> tuple[Place, ...]:
    """The best place first, with every place that is not worse in both respects: context missed and indentation kept.

    Behind a perfect place come those that would be perfect but for their indentation: a line number may mean them.
    """
    ordered = sorted(found, key=lambda place: (place.misses, place.reindented))
    if not ordered:
        return ()
    best = ordered[0]
    if not best.misses and not best.reindented:
        return tuple(p for p in ordered if not p.misses)
    return tuple(p for p in ordered if p.misses <= best.misses or p.reindented < best.reindented)
