"""What a model sends as a diff, read into hunks; no file is looked at here.

Headers, counts and line numbers are taken as hints. What a line is (context, removed, added) is taken literally, and a
line without any marker is kept as context that is marked `bare`: lost blank, or prose. The locator decides which.
"""

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from ...errors import DiffError

Kind = Literal["context", "remove", "add"]
MAX_DIFF_BYTES = 1_000_000
MAX_HUNKS = 500

_HUNK = re.compile(r"@@(?:\s*-(\d{1,9})(?:,(\d{1,9}))?\s+\+(\d{1,9})(?:,(\d{1,9}))?)?(?:\s|@|$)")
_FENCE = re.compile(r"(\s*)(`{3,}|~{3,})\s*([\w+-]*)")
_SEARCH = re.compile(r"<{5,9} ?(?:SEARCH|ORIGINAL)\s*$")
_DIVIDER = re.compile(r"={5,9}\s*$")
_REPLACE = re.compile(r">{5,9} ?(?:REPLACE|UPDATED)\s*$")
_ENVELOPE = re.compile(r"\*\*\* (?:(Update) File: (.*)|(?:Begin|End) Patch|End of File)\s*$")
_PATH_LINE = re.compile(r"[`*# ]{0,9}([\w./-]{1,200}\.\w{1,9})[`*: ]{0,9}$")
_REFUSED = (
    (re.compile(r"rename (from|to) |similarity index |copy (from|to) "), "renames or copies a file"),
    (re.compile(r"deleted file mode |\*\*\* Delete File: |\+\+\+ /dev/null"), "deletes a file"),
    (re.compile(r"new file mode |\*\*\* Add File: |--- /dev/null"), "creates a file"),
    (re.compile(r"GIT binary patch|Binary files .* differ"), "is a binary diff"),
    (re.compile(r"@@@ "), "is a combined diff of a merge"),
)
_Numbers = tuple[int | None, int | None, int | None, int | None]
_NO_NUMBERS: _Numbers = (None, None, None, None)
_RESEND = "send a unified diff of text changes to the existing script"


@dataclass(frozen=True)
class HunkLine:
    """One line of a hunk, without its marker and line ending; `bare` means that it carried no marker."""

    kind: Kind
    text: str
    bare: bool = False


@dataclass(frozen=True)
class Hunk:
    """One place's change. Line numbers are 1-based and None where the diff gives none.

    `strict` hunks come from SEARCH/REPLACE: each of their old lines must be in the file.
    """

    lines: tuple[HunkLine, ...]
    old_start: int | None = None
    old_count: int | None = None
    new_start: int | None = None
    new_count: int | None = None
    removed_without_newline: bool = False
    added_without_newline: bool = False
    strict: bool = False

    @property
    def old(self) -> tuple[HunkLine, ...]:
        """The lines that the file should hold now."""
        return tuple(line for line in self.lines if line.kind != "add")

    @property
    def changes(self) -> bool:
        """Whether it adds or removes any line."""
        return any(line.kind != "context" for line in self.lines)

    @property
    def counts_right(self) -> bool:
        """Whether the header's counts are given and agree with the body."""
        new = sum(line.kind != "remove" for line in self.lines)
        return self.old_start is not None and (self.old_count, self.new_count) == (len(self.old), new)


@dataclass(frozen=True)
class FilePatch:
    """The hunks for one file, in the diff's order; `path` is the old name, None where the diff names no file."""

    path: str | None
    hunks: tuple[Hunk, ...]


def parse_diff(diff: str) -> tuple[FilePatch, ...]:
    """Reads a unified diff or SEARCH/REPLACE blocks, with or without prose and fences around.

    Hunks of the same path are gathered in one FilePatch. Whether they apply is not known here.
    Raises DiffError: too large, too many hunks or none, NUL bytes; a rename, copy, creation, deletion or binary diff.
    """
    if len(diff.encode("utf-8", "surrogatepass")) > MAX_DIFF_BYTES:
        raise DiffError("the diff is larger than 1 MB", hint="send one focused change as a small diff")
    if "\0" in diff:
        raise DiffError("the diff holds NUL bytes, so it is not text", hint=_RESEND)
    lines = [line.removesuffix("\r") for line in diff.split("\n")]
    if any(_SEARCH.match(line) for line in lines):
        found = list(_search_replace(lines))
    else:
        found = [pair for body, labelled in _diff_bodies(lines) for pair in _Reader(body, labelled).read()]
    if not found:
        hint = "send a unified diff: `@@ @@`, then 3 unchanged lines, `-` and `+` lines, 3 unchanged lines"
        raise DiffError("the diff changes nothing: it holds no hunk", hint=hint)
    if len(found) > MAX_HUNKS:
        raise DiffError(f"the diff holds {len(found)} hunks, more than {MAX_HUNKS}", hint="send one focused change")
    paths = dict.fromkeys(path for path, _ in found)
    return tuple(FilePatch(path, tuple(hunk for owner, hunk in found if owner == path)) for path in paths)


def _diff_bodies(lines: list[str]) -> list[tuple[list[str], bool]]:
    """The fenced blocks that hold a diff, with whether the fence is labelled so; the whole text if there are none."""
    bodies: list[tuple[list[str], bool]] = []
    outside: list[str] = []
    at = 0
    while at < len(lines):
        opening = _FENCE.match(lines[at])
        if not opening:
            outside.append(lines[at])
            at += 1
            continue
        margin, mark, label = opening.groups()
        end = next((i for i in range(at + 1, len(lines)) if _closes(lines[i], margin, mark)), len(lines))
        body = [_without_margin(line, len(margin)) for line in lines[at + 1 : end]]
        labelled = label.lower() in ("diff", "patch", "udiff")
        if labelled or any(_HUNK.match(line) or _ENVELOPE.match(line) for line in body):
            bodies.append((body, labelled))
        at = end + 1
    if not bodies:
        return [(lines, False)]
    if any(_HUNK.match(line) for line in outside):
        hint = "put the whole diff into one ```diff block, with a blank before each unchanged line"
        raise DiffError("a part of the diff stands outside of its ``` fence", hint=hint)
    return bodies


def _closes(line: str, margin: str, mark: str) -> bool:
    # Only at the opening's own margin: a fence in a docstring is a context line, one blank further right.
    return line.startswith(margin + mark) and not line.strip().strip(mark[0])


def _without_margin(line: str, width: int) -> str:
    return line[width:] if not line[:width].strip() else line


@dataclass(frozen=True)
class _Header:
    """The lines that start a file's part of a diff."""

    path: str | None
    length: int
    opens: bool = True


def _refuse(line: str, *, inside: bool) -> None:
    for pattern, why in _REFUSED:
        if pattern.match(line) and not (inside and line.startswith(("---", "+++"))):
            raise DiffError(f"the diff {why}; only changes inside an existing script are possible", hint=_RESEND)


class _Reader:
    """Walks over the lines of one diff and yields (path, hunk) pairs."""

    def __init__(self, lines: list[str], labelled: bool) -> None:
        self._lines = lines
        self._headless = labelled and not any(_HUNK.match(line) for line in lines)
        self._path: str | None = None

    def read(self) -> Iterator[tuple[str | None, Hunk]]:
        body: list[str] | None = [] if self._headless else None
        numbers: _Numbers = _NO_NUMBERS
        at = 0
        while at < len(self._lines):
            line = self._lines[at]
            header, hunk = self._file_header(at, body, numbers), _HUNK.match(line)
            for text in self._lines[at : at + (header.length if header else 1)]:
                _refuse(text, inside=bool(body) and header is None)
            if (header or hunk) and body:
                yield from self._finish(body, numbers)
            if header:
                # A path that is followed by changes without any `@@` opens a hunk by itself.
                body, numbers = ([] if header.opens else None), _NO_NUMBERS
                self._path = header.path
            elif hunk:
                body, numbers = [], _numbers(hunk)
            elif body is not None:
                body.append(line)
            at += header.length if header else 1
        if body:
            yield from self._finish(body, numbers)

    def _file_header(self, at: int, body: list[str] | None, numbers: _Numbers) -> _Header | None:
        line = self._lines[at]
        if envelope := _ENVELOPE.match(line):
            return _Header((envelope.group(2) or "").strip() or None, 1, opens=bool(envelope.group(1)))
        if line.startswith("diff --git "):
            words = line.split()
            return _Header(_path("--- " + words[2]) if len(words) == 4 else None, 1, opens=False)
        if not line.startswith("--- "):
            return None
        after = self._lines[at + 1] if at + 1 < len(self._lines) else ""
        if after.startswith("+++ "):
            return _Header(_path(line), 2) if not body or self._is_next_file(at, body, numbers) else None
        return _Header(_path(line), 1) if not body and _HUNK.match(after) else None

    def _is_next_file(self, at: int, body: list[str], numbers: _Numbers) -> bool:
        """Whether `--- x`, `+++ y` inside a hunk starts another file, not a removed `-- x` and an added `++ y`."""
        if at + 2 < len(self._lines) and not _HUNK.match(self._lines[at + 2]):
            return False
        old, new = self._lines[at][4:], self._lines[at + 1][4:]
        prefixed = old.startswith("a/") and new.startswith("b/")
        if prefixed or all(_PATH_LINE.match(name.split("\t")[0]) for name in (old, new)):
            return True
        left_old = (numbers[1] or 0) - sum(not line.startswith("+") for line in body)
        left_new = (numbers[3] or 0) - sum(not line.startswith("-") for line in body)
        return numbers[0] is not None and (left_old, left_new) == (0, 0)

    def _finish(self, body: list[str], numbers: _Numbers) -> Iterator[tuple[str | None, Hunk]]:
        lines: list[HunkLine] = []
        without_newline: set[str] = set()
        for text in _without_prose(body, numbers):
            if text.startswith("\\"):
                if lines:
                    without_newline.add(lines[-1].kind)
            elif text.startswith(("+", "-", " ")):
                kind: Kind = "add" if text[0] == "+" else "remove" if text[0] == "-" else "context"
                lines.append(HunkLine(kind, text[1:]))
            else:
                lines.append(HunkLine("context", text, bare=True))
        while lines and lines[-1].bare and not lines[-1].text:
            lines.pop()
        if numbers == _NO_NUMBERS:
            # Without a header, what stands before the first marked line is prose or an `index` line.
            while lines and lines[0].bare and self._headless:
                lines.pop(0)
        if any(not line.bare for line in lines):
            yield (
                self._path,
                Hunk(tuple(lines), *numbers, "remove" in without_newline, "add" in without_newline),
            )


def _numbers(match: re.Match[str]) -> _Numbers:
    old_start, old_count, new_start, new_count = match.groups()
    if old_start is None:
        return _NO_NUMBERS
    return int(old_start), int(old_count or 1), int(new_start), int(new_count or 1)


def _path(header: str) -> str:
    """`--- a/dir/x.py<TAB>date` as `dir/x.py`."""
    name = header[4:].split("\t")[0].strip().strip('"')
    return name.removeprefix("a/").removeprefix("b/")


def _without_prose(body: list[str], numbers: _Numbers) -> list[str]:
    """Drop a closing remark with `- ` bullets, which only counts that are met exactly can tell from removed lines."""
    if numbers[0] is None:
        return body
    left_old, left_new = numbers[1] or 0, numbers[3] or 0
    for at, line in enumerate(body):
        if (left_old, left_new) == (0, 0) and not line.startswith("\\"):
            rest = [other for other in body[at:] if other.strip()]
            bullets = all(re.match(r"- \S|[^+\- \t]", other) for other in rest)
            prose = not line and bool(rest) and rest[0][0] not in "+- \t"
            return body[:at] if bullets and prose and any(other[0] == "-" for other in rest) else body
        if not line.startswith("\\"):
            left_old -= not line.startswith("+")
            left_new -= not line.startswith("-")
    return body


def _search_replace(lines: list[str]) -> Iterator[tuple[str | None, Hunk]]:
    """The SEARCH/REPLACE blocks as strict hunks; lines that both sides share become context."""
    path: str | None = None
    at = number = 0
    while at < len(lines):
        if not _SEARCH.match(lines[at]):
            at += 1
            continue
        number += 1
        before = [line for line in lines[max(0, at - 2) : at] if not _FENCE.match(line)]
        if before and (named := _PATH_LINE.match(before[-1])):
            path = named.group(1)
        end = next((i for i in range(at, len(lines)) if _REPLACE.match(lines[i])), None)
        inner = range(at + 1, end or at + 1)
        dividers = [i for i in inner if _DIVIDER.match(lines[i])]
        if end is None or len(dividers) != 1 or any(_SEARCH.match(lines[i]) for i in inner):
            raise DiffError(
                f"SEARCH/REPLACE block {number} is not one SEARCH, one ======= and one REPLACE line",
                where=f"line {at + 1} of the diff",
                hint="send this change as a unified diff, or repeat the block with each marker on its own line",
            )
        yield path, replace(_as_hunk(lines[at + 1 : dividers[0]], lines[dividers[0] + 1 : end]), strict=True)
        at = end + 1


def _as_hunk(old: list[str], new: list[str]) -> Hunk:
    lines: list[HunkLine] = []
    for tag, i1, i2, j1, j2 in difflib.SequenceMatcher(None, old, new).get_opcodes():
        if tag == "equal":
            lines += [HunkLine("context", text, bare=True) for text in old[i1:i2]]
        else:
            lines += [HunkLine("remove", text) for text in old[i1:i2]]
            lines += [HunkLine("add", text) for text in new[j1:j2]]
    return Hunk(tuple(lines))
