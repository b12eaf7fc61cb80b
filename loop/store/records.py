"""Records: JSON files with a model, a schema version and a seal, which shows whether one was edited by hand.

    {"schema": 3, "release": "0.1.0", "record": {...}, "seal": "..."}

A release reads every record of its own schema and of those before it. Whoever gives a record another shape raises
`SCHEMA`, gives a new field a default, and lets a `model_validator(mode="before")` read what no default can.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from typing import ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from ..errors import NewerRecord, ProjectError, UnsafePath
from .tree import Tree

SCHEMA = 3
"""Of the shapes of all records that this release writes."""

_RELEASE = re.compile(r"[0-9A-Za-z.+!-]{1,40}")
_RESTORE = "restore it from a backup, or delete it: the step that wrote it is then done again"


class Record(BaseModel):
    """Strict, frozen, and closed: a hand-edited record with another shape is named, not half understood."""

    # defer_build, here and in other models: what a server at its start doesn't use yet isn't compiled yet.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null", defer_build=True)

    scanned: ClassVar[bool] = False
    """Whether one call reads that of every version: all are then kept in memory, and of the others the last few."""

    def model_post_init(self, context: object, /) -> None:
        # Nobody asks a record which fields it was given, and a set of its own is a quarter of its memory.
        object.__setattr__(self, "__pydantic_fields_set__", _given(type(self)))


@cache
def _given(model: type[Record]) -> set[str]:
    return set(model.model_fields)


R = TypeVar("R", bound=Record)


def load(tree: Tree, relative: str, model: type[R]) -> R | None:
    """The record, or None where there is none. Raises as `parse`."""
    stamp = tree.known.stamp(relative)
    if (known := tree.known.recall(relative, model, stamp)) is not None:
        return known
    try:
        data = tree.read(relative)
    except FileNotFoundError:
        return None
    except UnsafePath as error:  # said as the record's, which is nobody's output that could be refused
        raise ProjectError(error.what, where=error.where, hint=error.hint, code=error.code) from error
    record = parse(data, relative, model)
    tree.known.keep(relative, record, stamp, briefly=not model.scanned)
    return record


def parse(data: bytes, relative: str, model: type[R], *, hint: str = _RESTORE) -> R:
    """The record in a file's bytes.

    Raises `NewerRecord` for one of a later release, and `ProjectError` with `hint` for one that is damaged.
    """
    damaged = ProjectError("is damaged or was edited by hand", where=relative, hint=hint)
    try:
        sealed = _Sealed.model_validate_json(data)
        record = model.model_validate(sealed.record)
    except ValidationError as error:
        _refuse_newer(data, relative)
        raise damaged from error
    if sealed.number > SCHEMA:
        _refuse_newer(data, relative)
    if _seal(sealed.record) != sealed.seal:
        raise damaged
    return record


def _refuse_newer(data: bytes, relative: str) -> None:
    # Not a word of such a file is understood for certain, so that no shape and no seal would prove anything.
    try:
        head = _Head.model_validate_json(data)
    except ValidationError:
        return
    if head.number <= SCHEMA:
        return
    later = head.release if _RELEASE.fullmatch(head.release) else f"records of schema {head.number}"
    raise NewerRecord(
        f"was made by a newer progressive-training ({later}); this is {_release()}",
        where=relative,
        hint="update progressive-training, then call again; nothing is wrong with the file, so keep it",
    )


def save(tree: Tree, relative: str, record: Record) -> None:
    tree.write(relative, dump(record).encode())


def dump(record: Record) -> str:
    """The record as bytes for the disk, with its seal.

    The seal shows edits and damage. It is no secret: a process that means to forge a record can.
    """
    content = record.model_dump(mode="json")
    sealed = _Sealed(schema=SCHEMA, release=_release(), record=content, seal=_seal(content))
    return sealed.model_dump_json(indent=2, by_alias=True) + "\n"


class _Head(BaseModel):
    """What every release reads of any record's file. Those of schema 1 say neither of the two."""

    model_config = ConfigDict(strict=True, defer_build=True)

    number: int = Field(default=1, ge=1, alias="schema")
    release: str = ""


class _Sealed(_Head):
    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="null")

    record: dict[str, JsonValue]
    seal: str


@cache
def _release() -> str:
    return version("progressive-training")


def _seal(content: Mapping[str, JsonValue]) -> str:
    # Of what stands in the file: a field that a later version adds, with a default, breaks no older record.
    return hashlib.sha256(json.dumps(content, ensure_ascii=False, sort_keys=True).encode()).hexdigest()
