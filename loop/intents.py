"""Several files that must appear together: said first, then done, and done again after a crash.

An intent is one durable file that holds every byte to be written. Once it is there the change happens, now or at the
next lock; before that nothing of it does.
"""

import uuid
from collections.abc import Mapping

from pydantic import ValidationError

from .errors import ProjectError
from .receipts import Record, dump
from .workspace import Workspace


class Intent(Record):
    """`new` files are created and must not exist with other text; `changed` ones are replaced; `records` come last."""

    new: dict[str, str]
    changed: dict[str, str]
    records: dict[str, str]


def commit(
    workspace: Workspace, *, new: Mapping[str, str], changed: Mapping[str, str], records: Mapping[str, Record]
) -> None:
    """Writes all of it or, if it can't begin, nothing; call it with the lock held.

    Raises `ProjectError` if a `new` file exists with other text.
    """
    for relative, text in new.items():
        if workspace.tree.kind(relative) is not None and workspace.tree.read(relative) != text.encode():
            raise ProjectError("exists already, with other text", where=relative, hint="move it away, then call again")
    intent = Intent(
        new=dict(new),
        changed=dict(changed),
        records={name: dump(record) for name, record in records.items()},
    )
    name = f"{workspace.staging}/{uuid.uuid4().hex}.json"
    workspace.tree.write(name, intent.model_dump_json().encode())
    _apply(workspace, intent)
    workspace.tree.remove(name)


def finish(workspace: Workspace) -> None:
    """Does what a crash left undone."""
    for name in workspace.tree.names(workspace.staging):
        relative = f"{workspace.staging}/{name}"
        try:
            intent = Intent.model_validate_json(workspace.tree.read(relative))
        except ValidationError as error:
            raise ProjectError("is damaged", where=relative, hint="delete it: what it held was not begun") from error
        _apply(workspace, intent)
        workspace.tree.remove(relative)


def _apply(workspace: Workspace, intent: Intent) -> None:
    for relative, text in intent.new.items():
        workspace.tree.create(relative, text.encode())
    for relative, text in (intent.changed | intent.records).items():
        workspace.tree.write(relative, text.encode())
