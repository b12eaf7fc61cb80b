"""The change summary at a version script's top: the server's words, in place of the parent's (N1)."""

import re
import textwrap
from collections.abc import Sequence

_OPEN = "# >>> progressive-training"
_CLOSE = "# <<< progressive-training"
_BLOCK = re.compile(rf"^{re.escape(_OPEN)}.*?^{re.escape(_CLOSE)}[^\n]*\n", re.S | re.M)
_FIRST_LINES = re.compile(r"(?:#![^\n]*\n)?(?:#[^\n]*coding[:=][^\n]*\n)?")


def with_header(text: str, title: str, lines: Sequence[tuple[str, str]]) -> str:
    """The script with its header replaced or added, below a shebang and an encoding line, in its own line endings."""
    newline = "\r\n" if "\r\n" in text else "\n"
    body = without_header(text)
    start = _FIRST_LINES.match(body)
    at = start.end() if start else 0
    block = [f"{_OPEN}: {title}"]
    for name, words in lines:
        block += textwrap.wrap(f"{name}: {' '.join(words.split())}", 108, initial_indent="# ", subsequent_indent="#   ")
    return body[:at] + newline.join([*block, _CLOSE, ""]) + body[at:]


def without_header(text: str) -> str:
    return _BLOCK.sub("", text, count=1)
