"""Text for people and models: fixed words in the rules' language, and foreign text cleaned, bounded and fenced."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from ..errors import DocumentError

MAX_FIELD = 8_000


BIDI = "\u202a-\u202e\u2066-\u2069"
"""Embeddings, overrides and isolates, as a part of a pattern's set: text reads otherwise than it stands."""

# The one list of what is never shown as it is: control characters but newline and tab, halves of surrogate pairs, and
# what Unicode calls default-ignorable (zero width, soft hyphen, fillers, bidi, tags). Two lists had drifted apart, so
# that words hidden in a training log reached the model. Variation selectors 1 to 16 stay: emoji are made with them.
_HIDDEN = re.compile(
    f"[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f{BIDI}\u2060-\u206f"
    "\u3164\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_TERMINAL = re.compile(
    r"""\x1b\[[0-?]*[ -/]*[@-~]                 # colours, cursor movements
      | \x1b\][^\x07\x1b\n]*(?:\x07|\x1b\\)?    # titles, hyperlinks
      | \x1b[PX^_][^\x1b\n]*(?:\x1b\\)?         # device strings
      | \x1b[ -/]*[0-~]?                        # the rest
      | \x9b[0-?]*[ -/]*[@-~]""",
    re.VERBOSE,
)
_LINE_BREAKS = re.compile("\r+\n|[\u2028\u2029]")


Language = Literal["en", "ko"]
Say = Callable[[str], str]
"""Gives a fixed text in the document's language; named places in braces are filled afterwards."""


@dataclass(frozen=True)
class Told:
    """A fixed text of ours and what fills its places, which may be another; in English unless asked otherwise."""

    text: str
    values: Mapping[str, object] = field(default_factory=dict[str, object])

    def told(self, say: Say) -> str:
        values = {name: value.told(say) if isinstance(value, Told) else value for name, value in self.values.items()}
        return say(self.text).format(**values)

    def __str__(self) -> str:
        return self.told(english)


def english(text: str) -> str:
    return text


def words(language: Language) -> Say:
    """The words of a language. What it gives raises `KeyError` for a text that has no translation."""
    return english if language == "en" else _korean().__getitem__


@cache
def _korean() -> Mapping[str, str]:
    return json.loads(Path(__file__).with_name("korean.json").read_text(encoding="utf-8"))


def clean(text: str, limit: int) -> str:
    """Without terminal sequences, with invisible characters shown as escapes, and cut in the middle."""
    plain = _HIDDEN.sub(_escape, _TERMINAL.sub("", text.replace("\r\n", "\n")))
    if len(plain) <= limit:
        return plain
    half = limit // 2
    return f"{plain[:half]}\n… {len(plain) - 2 * half} characters left out …\n{plain[-half:]}"


def as_printed(text: str) -> str:
    """What a terminal would leave of a log: a progress bar in its last state, and nothing that hides or acts.

    It takes words away; it doesn't make the rest true.
    """
    lines = _LINE_BREAKS.sub("\n", _TERMINAL.sub("", text)).split("\n")
    return "\n".join(_HIDDEN.sub("", _last_state(line)) for line in lines)


def _last_state(line: str) -> str:
    """What the last carriage return left of a line."""
    return next((state for state in reversed(line.split("\r")) if state.strip()), "")


def _escape(found: re.Match[str]) -> str:
    number = ord(found[0])
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"


def cell(text: str, limit: int) -> str:
    """The text as one cell of a Markdown table: one line, cut at its end."""
    line = " ".join(clean(text[: 8 * limit], 8 * limit).split()).replace("|", "\\|")
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def fence(text: str, label: str, limit: int = 4_000) -> str:
    """A code block that the text can't close, labelled as data."""
    plain = clean(text, limit)
    ticks = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", plain)), default=0))
    return f"{ticks}{label}\n{plain.rstrip()}\n{ticks}"


def describe(error: ValidationError, unknown: str = "there is no such argument") -> str:
    """Pydantic's findings without its links and class names: `field: what is wrong (got value)`; one a line."""
    lines: list[str] = []
    for item in error.errors(include_url=False):
        field = ".".join(str(part) for part in item["loc"]) or "the whole"
        if item["type"] == "missing":
            lines.append(f"{field}: is missing")
        elif item["type"] == "extra_forbidden":
            lines.append(f"{field}: {unknown}")
        else:
            shown = json.dumps(item["input"], ensure_ascii=False, default=str)
            message = item["msg"].removeprefix("Value error, ")
            message = message[0].lower() + message[1:]
            lines.append(f"{field}: {message} (got {shown[:80]})")
    return "; ".join(lines)


def require_text(**parts: str) -> None:
    for name, text in parts.items():
        if not text.strip():
            raise DocumentError("is empty", where=name, hint="say it in a sentence or more")
        if len(text) > MAX_FIELD:
            raise DocumentError(f"is longer than {MAX_FIELD} characters", where=name, hint="shorten it")


def require_list(**parts: tuple[str, ...]) -> None:
    for name, items in parts.items():
        if not items:
            raise DocumentError("is empty", where=name, hint="give at least one entry")
        for item in items:
            require_text(**{name: item})


def bullets(items: Sequence[str]) -> str:
    return "\n".join(f"- {' '.join(item.split())}" for item in items)


def duration(seconds: float) -> Told:
    """`3 s`, `12 min`, `7 h 30 min`: no more digits than an estimate has."""
    if seconds < 100:
        return Told("{seconds} s", {"seconds": f"{seconds:.2g}" if seconds < 10 else f"{seconds:.0f}"})
    minutes = round(seconds / 60)
    if minutes < 100:
        return Told("{minutes} min", {"minutes": minutes})
    hours, rest = divmod(minutes, 60)
    if hours < 20 and rest:
        return Told("{hours} h {minutes} min", {"hours": hours, "minutes": rest})
    return Told("{hours} h", {"hours": hours})
