"""Lightning's metrics.csv, however long: read once from its beginning, from then on only what was added to it."""

import os
from collections.abc import Mapping
from typing import NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import Unreadable
from ..store.leftovers.reading import ask
from ..store.tree import Tree

Values = Mapping[str, float]
_END_BYTES = 256


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


class _Said(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)


S = TypeVar("S", bound=_Said)


class _Added(_Said):
    """`open`: what the line says that has no end yet."""

    header: int = Field(ge=0)
    offset: int = Field(ge=0)
    epochs: dict[int, dict[str, float]]
    open: dict[int, dict[str, float]]


class _Ends(_Said):
    first: int
    last: int
    values: dict[str, float]


def by_epoch(tree: Tree, relative: str) -> Mapping[int, Values] | None:
    """Epoch -> the last value of each column in it; None where there is no file.

    Rows that don't parse, such as one half written, are passed over; what can't be a table's line ends the reading.
    Raises `UnsafePath`, `Unreadable`.
    """
    before = tree.known.recall_growing(relative, _Reading)
    try:
        with tree.opened(relative) as file:
            if before is None or not _continues(before, file):
                status = os.fstat(file)
                before = _Reading(status.st_dev, status.st_ino, b"", b"", 0, {})
            said = ask("metrics", [file], relative, header=len(before.header), offset=before.offset)
            if said is None:
                return {}
            added = _shaped(_Added, said, relative)
            reading = before._replace(
                header=os.pread(file, added.header, 0),
                end=os.pread(file, min(_END_BYTES, added.offset), max(0, added.offset - _END_BYTES)),
                offset=added.offset,
                epochs=_merged(before.epochs, added.epochs),
            )
    except FileNotFoundError:
        return None
    tree.known.keep_growing(relative, reading)
    return _merged(reading.epochs, added.open)


def newest(tree: Tree, relative: str) -> Newest | None:
    """Where a run is, from the file's two ends; None where there is no row yet. Raises `UnsafePath`, `Unreadable`."""
    try:
        with tree.opened(relative) as file:
            said = ask("metrics_ends", [file], relative, size=os.fstat(file).st_size)
    except FileNotFoundError:
        return None
    if said is None:
        return None
    ends = _shaped(_Ends, said, relative)
    return Newest(ends.first, ends.last, ends.values)


def _shaped(shape: type[S], said: object, relative: str) -> S:
    try:
        return shape.model_validate(said)
    except ValidationError as error:
        raise Unreadable("can't be read: its reader gave no answer that can be used", where=relative) from error


def _merged(before: Mapping[int, Values], added: Mapping[int, Values]) -> Mapping[int, Values]:
    return {**before, **{epoch: {**before.get(epoch, {}), **values} for epoch, values in added.items()}}


def _continues(before: _Reading, file: int) -> bool:
    """Whether the file is the one that was read, and has only grown: Lightning writes it anew for a new column."""
    status = os.fstat(file)
    return (
        (status.st_dev, status.st_ino) == (before.device, before.inode)
        and status.st_size >= before.offset
        and os.pread(file, len(before.header) + 1, 0) == before.header + b"\n"
        and os.pread(file, len(before.end), before.offset - len(before.end)) == before.end
    )
