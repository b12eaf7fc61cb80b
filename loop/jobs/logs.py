"""In the server: what to show of a job's log, such as its cleaned end, or the one line that says what went wrong.

A log is untrusted text. Cleaning takes away what could act on a terminal or hide words; it doesn't make them true.
"""

import os
import re
from pathlib import Path

from ..errors import UnsafePath
from ..text import as_printed
from .runner.attempt_files import open_regular

# torchrun's own traceback and report come last, and say of every rank how it ended.
_TORCHRUN = re.compile(
    r"^Traceback \(most recent call last\):\n(?:(?!Traceback \(most recent).*\n)*?.*\bChildFailedError:[\s\S]*?"
    r"^Root Cause \(first observed failure\):\n(?P<report>[\s\S]*)",
    re.MULTILINE,
)
_TORCHRUN_RANK = re.compile(r"^\s*rank\s*: (\d+) ", re.MULTILINE)
_SIGNAL = re.compile(r"Signal \d+ \(SIG\w+\) received by PID \d+")
_RANKS = r"\d{1,9}(?:-\d{1,9})?"
_SRUN = re.compile(rf"^srun: error: \S+: tasks? (?P<ranks>{_RANKS}(?:,{_RANKS})*)\S*: (?P<how>.*)$", re.MULTILINE)
_ABOUT_A_RANK = re.compile(r"^\[rank:? ?(?P<rank>\d{1,9})\]")


MAX_TRACEBACK_LINES = 80

# torchrun's `[rank0]: ` and an exception group's `  | ` go before each line of a traceback.
_HEADER = re.compile(r"^(?P<before>(?:\[[^\]\n]*\]:? ?)*[ |+]*)(?:\w+ ){0,2}?Traceback \(most recent call last\):\s*$")
_BARE_LOCATION = re.compile(r'^  File ".*", line \d+$')  # a SyntaxError in the script itself has no header
_FATAL = re.compile(r"^Fatal Python error: ")
_ERROR_NAME = re.compile(r"^[A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit)\b")
_ERROR_WORDS = re.compile(r"error|exception|killed|out of memory|no space left|abort|fatal|not found|failed", re.I)


def tail(path: Path, max_bytes: int = 8192) -> str:
    """The last `max_bytes` of a log as plain text, of which only that much is read; "" when there is no log yet.

    Terminal escapes, control and hidden characters are gone, a progress bar is in its last state, invalid UTF-8 is
    replaced, and a first line that was cut is dropped. Raises: UnsafePath when `path` is not a plain file.
    """
    try:
        descriptor = open_regular(path)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise UnsafePath(
            "the log can't be read as a plain file", where=str(path), hint="look at what is there"
        ) from error
    with os.fdopen(descriptor, "rb") as file:
        start = max(0, os.fstat(file.fileno()).st_size - max_bytes)
        file.seek(start)
        data = file.read(max_bytes)
    # One line may be longer than all of this: then its end is what there is to show.
    if start and 0 <= (newline := data.find(b"\n")) < len(data) - 1:
        data = data[newline + 1 :]
    elif start:
        data = data.lstrip(bytes(range(0x80, 0xC0)))  # the rest of a character that was cut
    return as_printed(data.decode(errors="replace"))


def last_traceback(text: str) -> str | None:
    """The last Python traceback with its message, or faulthandler's report when that comes later.

    At most 80 lines (of a longer one the beginning and the end). A chained exception counts by its last part.
    """
    lines = text.split("\n")
    start = _last_start(lines)
    if start is None:
        return None
    found = lines[start : _end_of(lines, start)]
    while found and not found[-1].strip():
        found.pop()
    if len(found) > MAX_TRACEBACK_LINES:
        half = MAX_TRACEBACK_LINES // 2
        found = [*found[: half - 1], f"  [... {len(found) - 2 * half + 1} lines left out ...]", *found[-half:]]
    return "\n".join(found)


def error_line(text: str) -> str | None:
    """The line that names the error: of the last traceback, else the last one that speaks of an error; else None.

    Of an error in a DataLoader worker it is the worker's own.
    """
    trace = last_traceback(text)
    if trace is not None:
        lines = trace.split("\n")
        if _FATAL.match(lines[0]):
            return lines[0]
        headers = [number for number, line in enumerate(lines) if _HEADER.match(line)] or [0]
        before = _before(lines[headers[-1]])
        for line in lines[headers[-1] + 1 :]:
            bare = line.removeprefix(before)
            if bare and not bare[0].isspace():
                return bare
    worded = (line.strip() for line in reversed(text.split("\n")) if _ERROR_WORDS.search(line))
    return next(worded, None)


def _before(line: str) -> str:
    match = _HEADER.match(line)
    return match["before"].replace("+", "|") if match else ""


def _last_start(lines: list[str]) -> int | None:
    """Where the last traceback begins; one within another's message (a worker's) belongs to that one."""
    start = None
    end = 0
    for number, line in enumerate(lines):
        if number < end:
            continue
        if _HEADER.match(line) or _FATAL.match(line) or _is_bare(lines, number):
            start, end = number, _end_of(lines, number)
    return start


def _is_bare(lines: list[str], number: int) -> bool:
    return bool(_BARE_LOCATION.match(lines[number])) and any(
        _ERROR_NAME.match(line) for line in lines[number + 1 : number + 5]
    )


def _end_of(lines: list[str], start: int) -> int:
    """The line after the traceback at `start`: its frames, its message, and what of that follows without a gap."""
    if _FATAL.match(lines[start]):
        return len(lines)
    before = _before(lines[start])
    for number in range(start + 1, len(lines)):
        line = lines[number]
        if not line.startswith(before) or not line.removeprefix(before).strip():
            return number
    return len(lines)


def of_first_failure(log: str) -> str:
    """The log without what a launcher and the other ranks say of a failure; as it is where they say nothing of one."""
    if found := _TORCHRUN.search(log):
        rank = _TORCHRUN_RANK.search(found["report"])
        signal = _SIGNAL.search(found["report"])
        lines = [line for line in log[: found.start()].split("\n") if "torch/distributed/elastic/" not in line]
        return _without_others(lines, rank[1] if rank else None, [signal[0]] if signal else [])
    if found := _SRUN.search(log):
        lines = [line for line in log.split("\n") if not line.startswith(("srun: ", "slurmstepd"))]
        killed = [] if found["how"].startswith("Exited with exit code") else [found[0]]
        return _without_others(lines, _first_of(lines, found["ranks"]), killed)
    return log


def _first_of(lines: list[str], ranks: str) -> str:
    """The rank that failed first. srun names those that ended together in one breath, whoever began it (`0-2,5`)."""
    ends = [[int(end) for end in part.split("-")] for part in ranks.split(",")]
    for line in lines:
        if (match := _ABOUT_A_RANK.match(line)) and _HEADER.match(line):
            rank = int(match["rank"])
            if any(part[0] <= rank <= part[-1] for part in ends):
                return match["rank"]
    return str(ends[0][0])


def _without_others(lines: list[str], rank: str | None, said: list[str]) -> str:
    kept = (line for line in lines if not (match := _ABOUT_A_RANK.match(line)) or rank in (None, match["rank"]))
    return "\n".join((*kept, *said))
