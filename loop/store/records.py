"""Records: JSON files with a model and a seal, so that one that was edited by hand is found out."""

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from typing import ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from ..errors import ProjectError
from .tree import Tree


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
    """The record, or None where there is none. Raises `ProjectError` for one that is damaged."""
    stamp = tree.known.stamp(relative)
    if (known := tree.known.recall(relative, model, stamp)) is not None:
        return known
    try:
        data = tree.read(relative)
    except FileNotFoundError:
        return None
    damaged = ProjectError(
        "is damaged or was edited by hand",
        where=relative,
        hint="restore it from a backup, or delete it: the step that wrote it is then done again",
    )
    try:
        sealed = _Sealed.model_validate_json(data)
        record = model.model_validate(sealed.record)
    except ValidationError as error:
        raise damaged from error
    if _seal(sealed.record) != sealed.seal:
        raise damaged
    tree.known.keep(relative, record, stamp, briefly=not model.scanned)
    return record


def save(tree: Tree, relative: str, record: Record) -> None:
    tree.write(relative, dump(record).encode())


def dump(record: Record) -> str:
    """The record as it stands on disk, with its seal.

    The seal shows edits and damage. It is no secret: a process that means to forge a record can.
    """
    content = record.model_dump(mode="json")
    sealed = _Sealed(record=content, seal=_seal(content))
    return sealed.model_dump_json(indent=2) + "\n"


class _Sealed(Record):
    record: dict[str, JsonValue]
    seal: str


def _seal(content: Mapping[str, JsonValue]) -> str:
    # Of what stands in the file: a field that a later version adds, with a default, breaks no older record.
    return hashlib.sha256(json.dumps(content, ensure_ascii=False, sort_keys=True).encode()).hexdigest()
