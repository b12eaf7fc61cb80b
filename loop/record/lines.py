"""Which of the lines that were asked for ran, by the flags that the recorders of all processes left."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

VARIABLE = "PROGRESSIVE_TRAINING_LINES"
_MAX_FILES = 256


class Ran(NamedTuple):
    """`lines` are those that ran on any host; `whole`: all of the run was watched, so that the others did not."""

    lines: frozenset[int]
    whole: bool


def asked(script: Path, lines: Sequence[int]) -> dict[str, str]:
    """The variable that has these lines of a script watched; none for no lines."""
    return {VARIABLE: f"{script}:{','.join(map(str, lines))}"} if lines else {}


def ran(folder: Path, lines: Sequence[int]) -> Ran | None:
    """None where nothing was left, or something else than the recorder leaves. Never raises for what lies there."""
    found: set[int] = set()
    whole, flags = True, [_flags(path, len(lines) + 1) for path in sorted(folder.glob("lines-*.bin"))[:_MAX_FILES]]
    if not flags or None in flags:
        return None
    for one in flags:
        assert one is not None
        whole = whole and not one[0]
        found.update(line for line, flag in zip(lines, one[1:], strict=True) if flag)
    return Ran(frozenset(found), whole)


def _flags(path: Path, size: int) -> bytes | None:
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        status = os.fstat(file)
        return os.read(file, size) if stat.S_ISREG(status.st_mode) and status.st_size == size else None
    finally:
        os.close(file)
