"""Lightning's metrics.csv, however long: read once from its beginning, from then on only what was added to it."""

import csv
import io
import math
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

from ..store.tree import Tree

Values = Mapping[str, float]
_CHUNK_BYTES = 1 << 20
_MOST_LINE_BYTES = 1 << 20
_END_BYTES = 256
_HEAD_BYTES = 64 * 1024
_TAIL_BYTES = 256 * 1024


class Newest(NamedTuple):
    """`values` are the last ones of the last epoch, as far as the file's end tells."""

    first_epoch: int
    last_epoch: int
    values: Values


class _Reading(NamedTuple):
    """What a file held up to `offset`, and by what to tell that it still does."""

    device: int
    inode: int
    header: bytes
    end: bytes
    offset: int
    epochs: Mapping[int, Values]


def by_epoch(tree: Tree, relative: str) -> Mapping[int, Values] | None:
    """Epoch -> the last value of each column in it; None where there is no file.

    Rows that don't parse, such as one half written, are passed over; what can't be a table's line ends the reading.
    """
    before = tree.known.recall_growing(relative, _Reading)
    try:
        with tree.opened(relative) as file:
            reading = before if before is not None and _continues(before, file) else _begun(file)
            if reading is None:
                return {}
            reading, rest = _read_on(reading, file)
    except FileNotFoundError:
        return None
    tree.known.keep_growing(relative, reading)
    if not rest:
        return reading.epochs
    table = _Table(reading.header, reading.epochs)
    with suppress(csv.Error):
        table.add(rest)
    return table.epochs


def newest(tree: Tree, relative: str) -> Newest | None:
    """Where a run is, from the file's two ends; None where there is no row yet."""
    try:
        with tree.opened(relative) as file:
            size = os.fstat(file).st_size
            header, first = _header(os.pread(file, _HEAD_BYTES, 0))
            start = max(len(header) + 1, size - _TAIL_BYTES)
            last = os.pread(file, _TAIL_BYTES, start)
    except FileNotFoundError:
        return None
    if start > len(header) + 1:
        last = last[last.find(b"\n") + 1 :]
    at_first, at_last = _Table(header, {}), _Table(header, {})
    with suppress(csv.Error):
        at_first.add(first[: first.rfind(b"\n") + 1] or first)
    with suppress(csv.Error):
        at_last.add(last)
    if not at_last.epochs:
        return None
    epoch = max(at_last.epochs)
    return Newest(min((*at_first.epochs, epoch)), epoch, at_last.epochs[epoch])


class _Table:
    """Rows under a header, gathered by epoch; what it is given at first stays as it is."""

    def __init__(self, header: bytes, epochs: Mapping[int, Values]) -> None:
        places: dict[str, int] = {}
        with suppress(csv.Error):  # a field longer than csv's own limit: no header, so no column
            names = next(csv.reader([header.decode(errors="replace")]), None) or ()
            places = {name: place for place, name in enumerate(names) if name}
        self._epoch = places.pop("epoch", None)
        places.pop("step", None)
        self._columns = tuple(places.items())
        self.epochs: dict[int, Values] = dict(epochs)
        self._own: dict[int, dict[str, float]] = {}

    def add(self, data: bytes) -> None:
        """Adds the rows; raises `csv.Error` at the first that can't be one."""
        at = self._epoch
        if at is None:
            return
        for row in csv.reader(io.StringIO(data.decode(errors="replace"), newline="")):
            epoch = _number(row[at]) if at < len(row) else None
            if epoch is None or not math.isfinite(epoch):
                continue
            values = self._values(int(epoch))
            for name, place in self._columns:
                if place < len(row) and (text := row[place]) and (value := _number(text)) is not None:
                    values[name] = value

    def _values(self, epoch: int) -> dict[str, float]:
        values = self._own.get(epoch)
        if values is None:
            values = self._own[epoch] = dict(self.epochs.get(epoch, {}))
            self.epochs[epoch] = values
        return values


def _begun(file: int) -> _Reading | None:
    """At the first row; None where there is no whole header."""
    status = os.fstat(file)
    start = os.pread(file, _MOST_LINE_BYTES, 0)
    header, _ = _header(start)
    if len(header) == len(start):
        return None
    return _Reading(status.st_dev, status.st_ino, header, b"", len(header) + 1, {})


def _header(data: bytes) -> tuple[bytes, bytes]:
    """The first row and what follows its line's end; a quoted name may have lines of its own."""
    end = data.find(b"\n")
    while end >= 0 and data.count(b'"', 0, end) % 2:
        end = data.find(b"\n", end + 1)
    return (data[:end], data[end + 1 :]) if end >= 0 else (data, b"")


def _continues(before: _Reading, file: int) -> bool:
    """Whether the file is the one that was read, and has only grown: Lightning writes it anew for a new column."""
    status = os.fstat(file)
    return (
        (status.st_dev, status.st_ino) == (before.device, before.inode)
        and status.st_size >= before.offset
        and os.pread(file, len(before.header) + 1, 0) == before.header + b"\n"
        and os.pread(file, len(before.end), before.offset - len(before.end)) == before.end
    )


def _read_on(reading: _Reading, file: int) -> tuple[_Reading, bytes]:
    """The reading with every whole line that was added, and the line that has no end yet."""
    table = _Table(reading.header, reading.epochs)
    offset, end, rest = reading.offset, reading.end, b""
    with suppress(csv.Error):
        while data := os.pread(file, _CHUNK_BYTES, offset + len(rest)):
            rest += data
            cut = rest.rfind(b"\n") + 1
            if not cut and len(rest) > _MOST_LINE_BYTES:
                break
            if cut:
                table.add(rest[:cut])
                end = (end + rest[:cut])[-_END_BYTES:]
                offset, rest = offset + cut, rest[cut:]
    return reading._replace(end=end, offset=offset, epochs=table.epochs), rest[:_MOST_LINE_BYTES]


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
