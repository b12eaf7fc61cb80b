"""Turns a model's imperfect diff into the new text of one file, or refuses with what to do about it.

format reads the diff, locator finds each hunk, and the text is built only when every hunk has exactly one place. Slips
of a model that don't change the meaning are tolerated and listed in the result; nothing is guessed.
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise

from ...errors import DiffError
from .format import FilePatch, Hunk, HunkLine, Kind, parse_diff
from .locator import TOO_MANY, FileLines, Place, nearest, places

__all__ = ["Applied", "FilePatch", "Hunk", "HunkLine", "apply_patch", "parse_diff", "unified_diff"]

_SHOWN_LINES = 7
_SHOWN_WIDTH = 160
_WITNESSED_SLACK = 3
_MIRRORED: dict[Kind, Kind] = {"add": "remove", "remove": "add", "context": "context"}
_RECOPY = "re-read the script and copy 3 unchanged lines around the change exactly"


@dataclass(frozen=True)
class Applied:
    """The new text with the file's own line endings, the real diff that leads to it, and each tolerance used."""

    text: str
    diff: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Edit:
    """Old lines [start, end) become `added`; `hunk` is the index of the hunk that says so."""

    start: int
    end: int
    added: tuple[str, ...]
    hunk: int


def unified_diff(old: str, new: str, *, name: str, context: int = 3) -> str:
    """The unified diff from old to new, labelled a/<name> and b/<name>; empty when they are equal."""
    made = difflib.unified_diff(_kept(old), _kept(new), f"a/{name}", f"b/{name}", n=context)
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in made)


def apply_patch(text: str, patch: FilePatch, *, name: str) -> Applied:
    """Applies every hunk to `text`, or none. `patch.path` is not compared with `name`, which only labels the result.

    Added lines get the file's most common line ending; kept lines keep theirs.
    Raises DiffError: a hunk fits nowhere, or in several places, hunks overlap, or nothing changes.
    """
    rows = _kept(text)
    file = FileLines(tuple(_content(row) for row in rows))
    choices = [places(hunk, file) if hunk.changes else () for hunk in patch.hunks]
    _refuse_if_applied(patch, choices, file, name)
    drifts = [_drift(hunk, found[0]) for hunk, found in zip(patch.hunks, choices, strict=True) if len(found) == 1]
    witnessed = [drift for drift in drifts if drift is not None]
    edits: list[_Edit] = []
    notes: list[str] = []
    for index, (hunk, found) in enumerate(zip(patch.hunks, choices, strict=True)):
        where = f"{name}, hunk {index + 1}"
        if not hunk.changes:
            notes.append(f"hunk {index + 1}: changes nothing, left out")
            continue
        place = (
            _choose(hunk, found, witnessed, file, where)
            if hunk.old
            else _by_number(index, patch, witnessed, len(file.lines), where)
        )
        made = _edits(place, index)
        _refuse_if_doubled(place, made, file, where)
        edits += made
        notes += [f"hunk {index + 1}: {note}" for note in _notes(hunk, place)]
    edits.sort(key=lambda edit: (edit.start, edit.end))
    _refuse_overlaps(edits, name)
    new = _joined(rows, edits, _final_newline(text, patch, edits, len(rows)))
    if new == text:
        raise DiffError("the diff changes nothing: the result equals the script", where=name, hint=_RECOPY)
    return Applied(new, unified_diff(text, new, name=name), tuple(notes))


def _kept(text: str) -> list[str]:
    """Lines with their endings; only a line feed ends a line, so that a form feed in a string stays inside it."""
    rows = [row + "\n" for row in text.split("\n")]
    rows[-1] = rows[-1][:-1]
    return rows if rows[-1] else rows[:-1]


def _content(row: str) -> str:
    return row.removesuffix("\n").removesuffix("\r")


def _drift(hunk: Hunk, place: Place) -> int | None:
    """How many lines further down than its header says a hunk was found."""
    return None if hunk.old_start is None else place.at - (hunk.old_start - 1)


def _choose(hunk: Hunk, found: Sequence[Place], witnessed: list[int], file: FileLines, where: str) -> Place:
    if not found:
        raise _not_found(hunk, file, where)
    if len(found) == 1:
        return found[0]
    chosen = _nearest_to_number(hunk, found, witnessed)
    perfect = [place for place in found if not place.misses and not place.reindented]
    if len(perfect) == 1 and chosen is None:
        return perfect[0]
    if chosen is None or (perfect and chosen not in perfect):
        raise _ambiguous(hunk, found, where)
    return chosen


def _nearest_to_number(hunk: Hunk, found: Sequence[Place], witnessed: list[int]) -> Place | None:
    """The place that the line number means, if it can be trusted.

    Hunks with one place only show how far off this diff's numbers are; without such a witness a number must be exact.
    """
    if (
        hunk.old_start is None
        or len(found) > TOO_MANY
        or (witnessed and max(witnessed) - min(witnessed) > 2 * _WITNESSED_SLACK)
    ):
        return None
    usual = sorted(witnessed)[len(witnessed) // 2] if witnessed else 0
    off = sorted((abs(place.at - (hunk.old_start - 1) - usual), place.at) for place in found)
    (best, at), (second, _) = off[0], off[1]
    if best > (_WITNESSED_SLACK if witnessed else 0) or second < 4 * best + 4:
        return None
    return next(place for place in found if place.at == at)


def _by_number(index: int, patch: FilePatch, witnessed: list[int], total: int, where: str) -> Place:
    """An insertion without context: only numbers that agree with each other and with the other hunks place it."""
    hunk, earlier = patch.hunks[index], patch.hunks[:index]
    if not total:
        return Place(0, 0, False, hunk)
    grown = sum((line.kind == "add") - (line.kind == "remove") for other in earlier for line in other.lines)
    start, new_start = hunk.old_start, hunk.new_start
    numbered = all(other.old_start is not None for other in earlier) and hunk.counts_right and not any(witnessed)
    if start is None or start > total or new_start != start + 1 + grown or not numbered:
        raise DiffError(
            "it only adds lines and quotes no line next to them, so its place is not known",
            where=where,
            hint="repeat the hunk with 3 unchanged lines before and after the new ones",
        )
    return Place(start, 0, False, hunk)


def _edits(place: Place, index: int) -> list[_Edit]:
    made: list[_Edit] = []
    at = place.at
    for changed, group in groupby(place.hunk.lines, key=lambda line: line.kind != "context"):
        run = list(group)
        length = sum(line.kind != "add" for line in run)
        if changed:
            made.append(_Edit(at, at + length, tuple(line.text for line in run if line.kind == "add"), index))
        at += length
    return made


def _refuse_if_applied(patch: FilePatch, choices: Sequence[Sequence[Place]], file: FileLines, name: str) -> None:
    """Names the hunks whose result the file already holds, while it doesn't hold what they start from."""
    done = [
        at + 1
        for at, (hunk, found) in enumerate(zip(patch.hunks, choices, strict=True))
        if hunk.changes and hunk.old and not found and _stands(hunk, file)
    ]
    if not done:
        return
    if len(done) == sum(hunk.changes for hunk in patch.hunks):
        raise DiffError(
            "the diff is already applied: the script holds its result",
            where=name,
            hint="go on without it, or make another change",
        )
    hunks = ", ".join(str(number) for number in done)
    raise DiffError(
        f"already applied: hunk {hunks}; the others are not",
        where=name,
        hint="send the diff again without what is already there",
    )


def _stands(hunk: Hunk, file: FileLines) -> bool:
    lines = tuple(HunkLine(_MIRRORED[line.kind], line.text, line.bare) for line in hunk.lines)
    return any(not place.misses and not place.reindented for place in places(replace(hunk, lines=lines), file))


def _refuse_if_doubled(place: Place, edits: Sequence[_Edit], file: FileLines, where: str) -> None:
    """An insertion with context on one side only fits again after it was applied: look at the open side."""
    old = [line.kind for line in place.hunk.lines]
    for edit in edits:
        size = len(edit.added)
        if edit.start != edit.end or not any(line.strip() for line in edit.added):
            continue
        wanted = [line.rstrip() for line in edit.added]
        after = [line.rstrip() for line in file.lines[edit.start : edit.start + size]]
        before = [line.rstrip() for line in file.lines[max(0, edit.start - size) : edit.start]]
        if (old[-1] == "add" and edit is edits[-1] and after == wanted) or (
            old[0] == "add" and edit is edits[0] and before == wanted
        ):
            hint = "if the lines are meant to stand there twice, quote unchanged lines before and after them"
            raise DiffError("already applied: the lines that it adds stand there", where=where, hint=hint)


def _refuse_overlaps(edits: Sequence[_Edit], name: str) -> None:
    for one, other in pairwise(edits):
        same_point = one.start == one.end == other.start == other.end
        if one.hunk != other.hunk and (other.start < one.end or same_point):
            first, second = sorted((one.hunk + 1, other.hunk + 1))
            raise DiffError(
                f"hunks {first} and {second} both change line {other.start + 1}",
                where=name,
                hint="put both changes into one hunk, quoting each line once",
            )


def _joined(rows: Sequence[str], edits: Sequence[_Edit], final_newline: bool) -> str:
    windows = sum(row.endswith("\r\n") for row in rows)
    ending = "\r\n" if 2 * windows > sum(row.endswith("\n") for row in rows) else "\n"
    out: list[str] = []
    at = 0
    for edit in edits:
        out += rows[at : edit.start]
        out += [line + ending for line in edit.added]
        at = edit.end
    out += rows[at:]
    out = [row if row.endswith("\n") else row + ending for row in out]
    if out and not final_newline:
        out[-1] = _content(out[-1])
    return "".join(out)


def _final_newline(text: str, patch: FilePatch, edits: Sequence[_Edit], total: int) -> bool:
    """Whether the result ends with a newline: as the file does, unless a hunk at its end says otherwise."""
    habit = text.endswith("\n") or not text
    last = edits[-1] if edits else None
    if last is None or last.end < total:
        return habit
    hunk = patch.hunks[last.hunk]
    if hunk.removed_without_newline == hunk.added_without_newline or not last.added:
        return habit
    return hunk.removed_without_newline


def _notes(hunk: Hunk, place: Place) -> list[str]:
    notes = list(place.notes)
    if drift := _drift(hunk, place) if hunk.old else None:
        lines = "line" if abs(drift) == 1 else "lines"
        notes.append(f"found {abs(drift)} {lines} further {'down' if drift > 0 else 'up'}")
    if place.misses:
        notes.append(f"{place.misses} context {'line' if place.misses == 1 else 'lines'} did not match")
    if hunk.old_start is not None and not hunk.counts_right:
        notes.append("wrong line counts")
    return notes


def _not_found(hunk: Hunk, file: FileLines, where: str) -> DiffError:
    if not any(line.text.strip() for line in hunk.old):
        return DiffError("its place is not known: it quotes blank lines only", where=where, hint=_RECOPY)
    at = nearest(hunk, file)
    if at is None:
        return DiffError("not found: the script holds nothing like its old lines", where=where, hint=_RECOPY)
    missing = next((line.text for line in hunk.old if line.text.strip() not in file.where), None)
    which = f"the script has no line `{_short(missing.strip())}`" if missing else "its old lines stand nowhere together"
    shown = "\n".join(f"{i + 1:5} | {_short(line)}" for i, line in enumerate(file.lines[at : at + _SHOWN_LINES], at))
    return DiffError(f"not found: {which}. Nearest text:\n{shown}", where=where, hint=_RECOPY)


def _ambiguous(hunk: Hunk, found: Sequence[Place], where: str) -> DiffError:
    length = len(hunk.old)
    spans = [f"{max(0, p.at) + 1}-{p.at + length}" for p in sorted(found, key=lambda p: p.at)]
    more = f" and {len(spans) - 8} more" if len(spans) > 8 else ""
    return DiffError(
        f"ambiguous: its old lines fit lines {', '.join(spans[:8])}{more}",
        where=where,
        hint="add unchanged lines (such as the `def` or `class` line above) until only one place fits",
    )


def _short(line: str) -> str:
    return line if len(line) <= _SHOWN_WIDTH else line[:_SHOWN_WIDTH] + " ..."
