"""What an exploration found: its text and its pictures, bounded, from what it left."""

from dataclasses import dataclass

from ...errors import LoopError
from ...evaluate.infer_samples import is_moderate
from ...jobs.logs import tail
from ...project.attempts import Attempt
from ...text import clean
from .exploration_job import OUT

MAX_TEXT = 8_000
MAX_PICTURES, MAX_PICTURE_BYTES = 4, 400_000
_LOG_BYTES = 1 << 17


@dataclass(frozen=True)
class Findings:
    """`pictures` are PNG files, by their path in the project; `left_out` says which were not taken, and why."""

    text: str
    pictures: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def findings(attempt: Attempt) -> Findings:
    """What is shown of an exploration that has ended. Each picture is a PNG of a moderate size."""
    tree, folder = attempt.project.workspace.tree, f"{attempt.relative}/{OUT}"
    pictures: list[str] = []
    left_out: list[str] = []
    for name in tree.names(folder)[:200]:
        why = "" if len(pictures) < MAX_PICTURES else f"more than {MAX_PICTURES}"
        why = why or _unfit(attempt, f"{folder}/{name}")
        if why:
            left_out.append(f"{clean(name, 60)} ({why})")
        else:
            pictures.append(f"{folder}/{name}")
    return Findings(_shortened(tail(attempt.log, _LOG_BYTES).strip()), tuple(pictures), tuple(left_out[:5]))


def _unfit(attempt: Attempt, where: str) -> str:
    """Why it is not shown; "" where it is."""
    try:
        data = attempt.project.workspace.tree.read(where, limit=MAX_PICTURE_BYTES)
    except (LoopError, FileNotFoundError):
        return f"no plain file of at most {MAX_PICTURE_BYTES // 1000} kB"
    return "" if is_moderate(data) else "no PNG of at most 2048 pixels a side"


def _shortened(text: str) -> str:
    """Beginning and end of a long text: what was asked first, and what came of it."""
    if len(text) > MAX_TEXT:
        head, end = MAX_TEXT * 2 // 3, MAX_TEXT // 3
        text = f"{text[:head]}\n[… {len(text) - head - end:,} characters left out …]\n{text[-end:]}"
    return "\n".join(clean(line, MAX_TEXT) for line in text.split("\n"))
