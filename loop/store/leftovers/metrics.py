"""Lightning's metrics.csv by epochs; runs in the helper alone. Standard library only."""

import csv
import io
import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from .forms import chunk

Epochs = dict[int, dict[str, float]]
_CHUNK_BYTES = 1 << 20
_MOST_LINE_BYTES = 1 << 20
_HEAD_BYTES = 64 * 1024
_TAIL_BYTES = 256 * 1024
_MOST_EPOCH = 1 << 53


def by_epoch(files: Sequence[int], *, header: int, offset: int) -> dict[str, Any] | None:
    """The last value of each column in each epoch from `offset` on, or from the first row if that is 0.

    `header` is the first row's length, `offset` where the last whole line ends; `open` is what the line after that
    says. None where there is no whole header. Rows that don't parse, such as one half written, are passed over; what
    can't be a table's line ends the reading.
    """
    file = files[0]
    if not offset:
        start = chunk(file, 0, _MOST_LINE_BYTES)
        names, _ = _header(start)
        if len(names) == len(start):
            return None
        header, offset = len(names), len(names) + 1
    table, rest = _Table(chunk(file, 0, header)), b""
    with suppress(csv.Error):
        while data := chunk(file, offset + len(rest), _CHUNK_BYTES):
            rest += data
            cut = rest.rfind(b"\n") + 1
            if not cut and len(rest) > _MOST_LINE_BYTES:
                break
            if cut:
                table.add(rest[:cut])
                offset, rest = offset + cut, rest[cut:]
    last = _Table(chunk(file, 0, header))
    with suppress(csv.Error):
        last.add(rest[:_MOST_LINE_BYTES])
    return {"header": header, "offset": offset, "epochs": table.epochs, "open": last.epochs}


def both_ends(files: Sequence[int], *, size: int) -> dict[str, Any] | None:
    """The first and the last epoch and that one's newest values, by both ends of the file; None without a row."""
    file = files[0]
    header, first = _header(chunk(file, 0, _HEAD_BYTES))
    start = max(len(header) + 1, size - _TAIL_BYTES)
    last = chunk(file, start, _TAIL_BYTES)
    if start > len(header) + 1:
        last = last[last.find(b"\n") + 1 :]
    at_first, at_last = _Table(header), _Table(header)
    with suppress(csv.Error):
        at_first.add(first[: first.rfind(b"\n") + 1] or first)
    with suppress(csv.Error):
        at_last.add(last)
    if not at_last.epochs:
        return None
    epoch = max(at_last.epochs)
    return {"first": min((*at_first.epochs, epoch)), "last": epoch, "values": at_last.epochs[epoch]}


class _Table:
    """Rows under a header, gathered by epoch."""

    def __init__(self, header: bytes) -> None:
        places: dict[str, int] = {}
        with suppress(csv.Error):  # a field longer than csv's own limit: no header, so no column
            names = next(csv.reader([header.decode(errors="replace")]), None) or ()
            places = {name: place for place, name in enumerate(names) if name}
        self._epoch = places.pop("epoch", None)
        places.pop("step", None)
        self._columns = tuple(places.items())
        self.epochs: Epochs = {}

    def add(self, data: bytes) -> None:
        """Adds the rows; raises `csv.Error` at the first that can't be one."""
        at = self._epoch
        if at is None:
            return
        for row in csv.reader(io.StringIO(data.decode(errors="replace"), newline="")):
            epoch = _number(row[at]) if at < len(row) else None
            if epoch is None or not math.isfinite(epoch) or not 0 <= epoch < _MOST_EPOCH:
                continue
            values = self.epochs.setdefault(int(epoch), {})
            for name, place in self._columns:
                if place < len(row) and (text := row[place]) and (value := _number(text)) is not None:
                    values[name] = value


def _header(data: bytes) -> tuple[bytes, bytes]:
    """The first row and what follows its line's end; a quoted name may have lines of its own."""
    quotes, begin = 0, 0
    while (end := data.find(b"\n", begin)) >= 0:
        quotes += data.count(b'"', begin, end)
        if quotes % 2 == 0:
            return data[:end], data[end + 1 :]
        begin = end + 1
    return data, b""


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
