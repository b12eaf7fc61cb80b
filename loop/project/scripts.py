"""A version's local modules and settings files: the check that its parent had the same ones, and a snapshot of all."""

import hashlib

from ..errors import GuardError
from ..store.digest import sha256
from .receipts import TrainReceipt
from .version import Version


def require_modules(version: Version) -> None:
    """Raises `GuardError` if a local module is not the one that the parent was trained with: no diff shows that change.

    Nor a copy of a settings file that bears a version's name. What else a script reads is the user's to change.
    The first version has no parent to compare with; what a repair changed is allowed.
    """
    workspace, parent = version.project.workspace, version.parent
    trained = parent.receipt(TrainReceipt) if parent else None
    if parent is None or trained is None:
        return
    expected = dict(trained.snapshot)
    for attempt in (*version.attempts("rehearse"), *version.attempts("train")):
        expected |= attempt.repair.files if attempt.repair else {}
    for name in (*(modules := version.code_files()[1:]), *version.config_copies()):
        if name not in expected and name in modules:
            raise GuardError(
                f"imports {name}, which {parent.script_name} did not have: its code stands in no diff",
                where=version.script_name,
                hint="the new code belongs into the script; ask the user to remove the module, or to have it in v001",
            )
        if name not in expected:
            raise GuardError(
                f"reads {name}, which {parent.script_name} did not: its values stand in no diff",
                where=version.script_name,
                hint="keep the file that its parent reads, and set the new value in the script",
            )
        if sha256(workspace.tree, name) != expected[name]:
            raise GuardError(
                f"was edited since {parent.script_name} was trained, so that two things would change at once",
                where=name,
                hint=f"copy {parent.snapshot}/{name} back over it; changes go through the script's diff",
            )


def take_snapshot(version: Version) -> dict[str, str]:
    """Copies the version's script and local modules aside; relative path -> sha256. Replaces an earlier snapshot."""
    workspace = version.project.workspace
    names = (*version.code_files(), *version.config_copies())
    workspace.tree.remove(version.snapshot)
    hashes: dict[str, str] = {}
    for name in names:
        data = workspace.tree.read(name)
        workspace.tree.write(f"{version.snapshot}/{name}", data)
        hashes[name] = hashlib.sha256(data).hexdigest()
    return hashes
