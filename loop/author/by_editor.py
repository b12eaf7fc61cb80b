"""What somebody wrote with an editor in place of a call: as the change that it makes of what the loop keeps."""

from dataclasses import dataclass

from ..errors import DiffError
from ..project.notices import Notice
from ..project.version import Version
from ..script.source import Script, decode_script
from ..script.version import with_version, without_header
from ..store.digest import sha256
from .patch import unified_diff


@dataclass(frozen=True)
class Change:
    """A script before and after, and the diff between: sent by a client, or made of two files."""

    old: Script
    text: str
    diff: str
    notes: tuple[Notice, ...] = ()


def left_by_editor(version: Version) -> Change:
    """What makes the next version: its script as it lies there or, where there is none, an edit of this version's.

    Raises `DiffError` where there is neither, `UnsafePath` for a link, `ScriptError` for what can't be read, and
    `GuardError` where both are there.
    """
    tree, child = version.project.workspace.tree, version.child
    if tree.kind(child.script_name) is not None:
        old, place, written_as = version.script(), child.script_name, child.id
    elif version.is_edited:
        old, place, written_as = kept_script(version), version.script_name, version.id
    else:
        raise DiffError(
            f"there is no diff, and no {child.script_name} that could be taken instead",
            where="diff",
            hint=f"send the selected action's diff against {version.script_name}",
        )
    text = decode_script(tree.read(place), place)
    text = without_header(with_version(text, old=written_as, new=version.id)[0])
    diff = unified_diff(without_header(old.text), text, name=version.script_name)
    return Change(old, text, diff, (Notice.of("by_editor", name=place),))


def kept_script(version: Version) -> Script:
    """The version's script as the loop made it, whatever lies there. Raises `ProjectError` where no copy is kept."""
    return Script.parse(decode_script(version.require_kept(), version.script_name), version.script_name)


def edited_files(version: Version) -> dict[str, tuple[Script, str]]:
    """The version's script and local modules that were edited since its last run: how each was, and its text now.

    Raises `DiffError` where none was.
    """
    tree, found = version.project.workspace.tree, dict[str, tuple[Script, str]]()
    if version.is_edited:
        found[version.script_name] = (kept_script(version), _text(version, version.script_name))
    for name in version.code_files()[1:]:
        was = f"{version.snapshot}/{name}"
        if tree.is_file(was) and sha256(tree, was) != sha256(tree, name):
            found[name] = (Script.parse(decode_script(tree.read(was), name), name), _text(version, name))
    if not found:
        raise DiffError(
            f"there is no diff, and neither {version.script_name} nor a module of it was edited since its last run",
            where="diff",
            hint="send the diff that removes the cause of the failure",
        )
    return found


def _text(version: Version, name: str) -> str:
    return decode_script(version.project.workspace.tree.read(name), name)
