"""In the runner: what a training's recorder and its metrics.csv say while it runs, and whether that ends it.

Standard library only: the runner's interpreter knows no package. Both files are the script's to write: what can't be
read says nothing. Time that nothing new came in is added up look by look, so that a machine that slept, or a runner
that was stopped, has not waited.
"""

import csv
import io
import json
import math
import os
import re
import time
from pathlib import Path
from typing import Any, NamedTuple

from . import attempt_files

WATCH_SECONDS = 1.0
MOST_SECONDS = 5.0  # between two looks; more is a sleep of ours
TIMES_USUAL, TIMES_LONGEST = 10, 2
_SHARE = 50  # a look may take a fiftieth of the time
_MOST_BYTES, _MOST_HEADER = 16 << 20, 1 << 20
_MOST_FILES = 1024
_LOG_FOLDER = re.compile(r"version_(\d+)")
_SUFFIX = ".live"


class Stall(NamedTuple):
    """No new step: for how long, how long it usually takes, and in what."""

    seconds: float
    usual: float
    kind: str

    def __str__(self) -> str:
        return f"no new step for {self.seconds:.0f} s, in {self.kind}; usually {self.usual:.3g} s"


class _Seen(NamedTuple):
    content: bytes
    quiet: float


class Watch:
    """Looks now and then; `order` is the job's `watching`, None where nothing is to be watched."""

    def __init__(self, order: dict[str, Any] | None) -> None:
        self._order = order
        self._seen: dict[str, _Seen] = {}
        self._looked: float | None = None
        self._metrics = _Metrics()
        self.next_look = float("inf") if order is None else 0.0
        self.stall: Stall | None = None

    def look(self, now: float) -> tuple[str, str] | None:
        """Why the run ends, as an outcome's reason and in words; None while it goes on. Not before `next_look`."""
        if self._order is None or now < self.next_look:
            return None
        began = time.monotonic()
        found = self._judged(now)
        self.next_look = now + max(WATCH_SECONDS, _SHARE * (time.monotonic() - began))
        return found

    def diverged(self) -> bool:
        """Whether one of its processes ended itself since its loss was no number any more."""
        return self._order is not None and any(one.get("diverged") is True for one in self._live(0.0))

    def _judged(self, now: float) -> tuple[str, str] | None:
        assert self._order is not None
        passed = 0.0 if self._looked is None else min(now - self._looked, MOST_SECONDS)
        self._looked = now
        live = self._live(passed)
        if any(one.get("diverged") is True for one in live):
            return "diverged", ""
        self.stall = _stall(live, self._order["stalled_seconds"])
        if self.stall is not None and self._order["stop_stalled"]:
            return "stalled", str(self.stall)
        conditions = self._order["stop_when"]
        said = self._metrics.met(Path(self._order["logs"]), conditions) if conditions else None
        return None if said is None else ("stopped", said)

    def _live(self, passed: float) -> list[dict[str, Any]]:
        """What each process says; `quiet` is for how long it has said nothing new."""
        assert self._order is not None
        folder, found = Path(self._order["facts"]), list[dict[str, Any]]()
        try:
            names = [name for name in os.listdir(folder) if name.endswith(_SUFFIX)]  # noqa: PTH208 - names alone
        except OSError:
            return []
        for name in names[:_MOST_FILES]:
            try:
                content = attempt_files.read_text(folder / name).encode()
                value = json.loads(content)
            except (OSError, ValueError):
                continue
            before = self._seen.get(name)
            quiet = before.quiet + passed if before is not None and before.content == content else 0.0
            self._seen[name] = _Seen(content, quiet)
            if isinstance(value, dict):
                found.append({**value, "quiet": quiet})
        return found


def _stall(live: list[dict[str, Any]], least: float) -> Stall | None:
    """The shortest silence, if all processes are silent for longer than they ever should be."""
    stalls: list[Stall] = []
    for one in live:
        usual, longest = one.get("usual"), one.get("longest")
        if one.get("ended") is True:
            continue
        if one.get("kind") == "outside" or not isinstance(usual, float | int) or not isinstance(longest, float | int):
            return None
        if one["quiet"] <= max(least, TIMES_USUAL * usual, TIMES_LONGEST * longest):
            return None
        stalls.append(Stall(one["quiet"], usual, str(one.get("kind"))[:20]))
    return min(stalls, default=None)


class _Metrics:
    """A run's metrics.csv: what was added since the last look, or all of it where it was written anew."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._inode = self._offset = 0
        self._header = b""

    def met(self, logs: Path, conditions: list[dict[str, Any]]) -> str | None:
        """In words, where and how one of the conditions is met."""
        found = (said for row in self._new_rows(logs) for one in conditions if (said := _met(row, one)))
        return next(found, None)

    def _new_rows(self, logs: Path) -> list[dict[str, str]]:
        path = _metrics_file(logs)
        try:
            file = attempt_files.open_regular(path) if path is not None else None
        except OSError:
            file = None
        if file is None:
            return []
        with os.fdopen(file, "rb") as opened:
            status, header = os.fstat(opened.fileno()), opened.readline(_MOST_HEADER)
            known = (path, status.st_ino, header) == (self._path, self._inode, self._header)
            if not known or status.st_size < self._offset:
                self._path, self._inode, self._header, self._offset = path, status.st_ino, header, len(header)
            opened.seek(self._offset)
            added = opened.read(_MOST_BYTES)
        whole = added[: added.rfind(b"\n") + 1]
        self._offset += len(whole)
        try:
            return list(csv.DictReader(io.StringIO((header + whole).decode(errors="replace"), newline="")))
        except csv.Error:
            return []


def _met(row: dict[str, str], condition: dict[str, Any]) -> str | None:
    epoch, value = _number(row.get("epoch")), _number(row.get(condition["metric"]))
    if epoch is None or value is None or not math.isfinite(epoch):
        return None
    number, first, last = int(epoch) + 1, condition["first"], condition["last"]
    within = first <= number and (last is None or number <= last)
    if not within or not _holds(value, condition["sign"], condition["limit"]):
        return None
    return f"{condition['metric']} was {value:.6g} in epoch {number}, and the rules end it at {condition['told']}"


def _metrics_file(logs: Path) -> Path | None:
    """As the server looks for it (train/curves.py): that of version_0, else of the newest."""
    try:
        numbers = [int(match[1]) for name in os.listdir(logs) if (match := _LOG_FOLDER.fullmatch(name))]  # noqa: PTH208
    except (OSError, ValueError):
        return None
    if not numbers:
        return None
    return logs / f"version_{0 if 0 in numbers else max(numbers)}" / "metrics.csv"


def _holds(value: float, sign: str, limit: float) -> bool:
    return {">": value > limit, ">=": value >= limit, "<": value < limit, "<=": value <= limit}[sign]


def _number(text: object) -> float | None:
    try:
        return float(text) if isinstance(text, str) and text else None
    except ValueError:
        return None
