"""Is a version's script still the one that the loop authored?"""

import hashlib

from ..errors import GuardError
from ..script import local_imports
from ..script.source import Script, decode_script
from ..store.digest import sha256
from ..store.records import load
from .attempts import attempts
from .project import Project
from .receipts import StartReceipt
from .state import next_receipt, train_receipt


def expected_script(project: Project, cur: int) -> str | None:
    """The sha256 that the version's script must have; None for one that was there before the loop."""
    workspace = project.workspace
    repairs = [repair for attempt in attempts(project, cur, "train") if (repair := attempt.repair)]
    for repair in reversed(repairs):
        if repaired := repair.files.get(workspace.script(cur)):
            return repaired
    if cur > 1 and (authored := next_receipt(project, cur - 1)):
        return authored.script_sha256
    start = load(workspace.tree, workspace.receipt(cur, "start"), StartReceipt)
    return start.script_sha256 if start else None


def require_authored(project: Project, cur: int) -> None:
    """Raises `GuardError` if the script was edited outside the loop, where no check saw the change."""
    workspace = project.workspace
    expected = expected_script(project, cur)
    script = workspace.script(cur)
    if expected is None or hashlib.sha256(workspace.tree.read(script)).hexdigest() == expected:
        return
    raise GuardError(
        "was edited outside the loop, so nobody checked the change against the action and the rules",
        where=script,
        hint=f"copy {workspace.authored}/{script} back over it; changes go through repair_version or the next action",
    )


def require_modules(project: Project, cur: int) -> None:
    """Raises `GuardError` if a local module is not the one that the parent was trained with: no diff shows that change.

    The first version's modules are what they are; a repair's change of one is known.
    """
    workspace = project.workspace
    trained = train_receipt(project, cur - 1) if cur > 1 else None
    if trained is None:
        return
    expected = dict(trained.snapshot)
    for attempt in attempts(project, cur, "train"):
        expected |= attempt.repair.files if attempt.repair else {}
    root = workspace.root
    for path in local_imports(root / workspace.script(cur), root):
        name = path.relative_to(root).as_posix()
        if name not in expected:
            raise GuardError(
                f"imports {name}, which {workspace.script(cur - 1)} did not have: its code stands in no diff",
                where=workspace.script(cur),
                hint="the new code belongs into the script; ask the user to remove the module, or to have it in v001",
            )
        if sha256(workspace.tree, name) != expected[name]:
            raise GuardError(
                f"was edited since {workspace.script(cur - 1)} was trained, so that two things would change at once",
                where=name,
                hint=f"copy {workspace.snapshot(cur - 1)}/{name} back over it; changes go through the script's diff",
            )


def script_of(project: Project, cur: int) -> Script:
    """The version's script as it stands in the project. Raises `ScriptError`."""
    name = project.workspace.script(cur)
    return Script.parse(decode_script(project.workspace.tree.read(name), name), name)


def take_snapshot(project: Project, cur: int) -> dict[str, str]:
    """Copies the version's script and local modules aside; relative path -> sha256. Replaces an earlier snapshot."""
    workspace = project.workspace
    script = workspace.script(cur)
    modules = local_imports(workspace.root / script, workspace.root)
    names = [script, *(path.relative_to(workspace.root).as_posix() for path in modules)]
    workspace.tree.remove(workspace.snapshot(cur))
    hashes: dict[str, str] = {}
    for name in dict.fromkeys(names):
        data = workspace.tree.read(name)
        workspace.tree.write(f"{workspace.snapshot(cur)}/{name}", data)
        hashes[name] = hashlib.sha256(data).hexdigest()
    return hashes
