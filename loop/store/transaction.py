"""Several files that must appear together: the intent is written first, then carried out, also after a crash.

An intent is one durable file that holds every byte to be written. Once it is there the change happens, now or at the
next lock; before that nothing of it does.
"""

import uuid
from collections.abc import Mapping
from types import MappingProxyType

from pydantic import Field, ValidationError

from ..errors import ProjectError
from .paths import Workspace
from .records import Record, dump, parse, save


class Intent(Record):
    """`moved` goes first: what was built aside, to its place. `new` files must not exist with other text.

    `changed` ones are replaced; then come `records`. `revoked` goes last: records that say no more what is, to where
    they are kept. Until then whoever reads without the lock sees the state before.
    """

    moved: dict[str, str] = Field(default_factory=dict)
    new: dict[str, str]
    changed: dict[str, str]
    records: dict[str, str]
    revoked: dict[str, str] = Field(default_factory=dict)


def commit(
    workspace: Workspace,
    *,
    new: Mapping[str, str],
    changed: Mapping[str, str],
    records: Mapping[str, Record],
    moved: Mapping[str, str] = MappingProxyType({}),
    revoked: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Writes all of it or, if it can't begin, nothing. Hold the project's lock.

    Raises `ProjectError` if a `new` file exists with other text.
    """
    for relative, text in new.items():
        if workspace.tree.kind(relative) is not None and workspace.tree.read(relative) != text.encode():
            raise ProjectError("exists already, with other text", where=relative, hint="move it away, then call again")
    intent = Intent(
        moved=dict(moved),
        new=dict(new),
        changed=dict(changed),
        records={name: dump(record) for name, record in records.items()},
        revoked=dict(revoked),
    )
    name = f"{workspace.staging}/{uuid.uuid4().hex}.json"
    save(workspace.tree, name, intent)
    _apply(workspace, intent)
    workspace.tree.remove(name)


def finish(workspace: Workspace) -> None:
    """Finishes what a crash interrupted. Raises `ProjectError` for an intent that can't be read."""
    for name in workspace.tree.names(workspace.staging):
        relative = f"{workspace.staging}/{name}"
        _apply(workspace, _intent(workspace.tree.read(relative), relative))
        workspace.tree.remove(relative)


def _intent(data: bytes, relative: str) -> Intent:
    try:
        return Intent.model_validate_json(data)  # as the first release wrote it: without a schema and a seal
    except ValidationError:
        return parse(data, relative, Intent, hint="delete it: what it held was not begun")


def _apply(workspace: Workspace, intent: Intent) -> None:
    for source, target in intent.moved.items():
        workspace.tree.move(source, target)  # nothing there: it was moved before the crash
    for relative, text in intent.new.items():
        workspace.tree.create(relative, text.encode())
    for relative, text in (intent.changed | intent.records).items():
        workspace.tree.write(relative, text.encode())
    for source, target in intent.revoked.items():
        workspace.tree.move(source, target)
