"""What lies in the project and isn't as the loop made it: scripts without a receipt, edits, weights that are gone."""

from collections.abc import Sequence

from ..errors import LoopError
from ..store.digest import sha256
from ..text import Told
from .project import Project
from .receipts import EvalReceipt, NextReceipt, TrainReceipt
from .state import LoopState
from .version import Version

_NAMED = 5  # of what may be a thousand
STRAY = Told("{names}: no Step made it. It is never run, scored, ranked or bundled; move it away, or keep it there")
_NEXT = Told(
    "{names}: no Step made it, so it is never run. Without diff, author_next_version takes it where it is the selected"
    " action and nothing else, as progressive-training adopt does; with a diff it is put aside"
)
_EDITED = Told(
    "{names}: edited outside the loop after it was trained. What was trained counts; its text is kept in"
    " .progressive-training/authored/. An edit of the newest version becomes the next one by author_next_version"
    " without diff"
)
_LOST = Told("{names}: gone, and no copy is kept; put it back")
LEFT_OUT = Told("{names}: best.ckpt is gone. The report leaves that version out, unless the file is put back")
BEFORE = Told("{names}: there before the loop. It is neither run nor scored nor ranked")


def remarks(project: Project, state: LoopState) -> tuple[Told, ...]:
    """What somebody should know of, and what to do about it; empty before the start. Changes nothing."""
    if state.loop is None:
        return ()
    versions = [Version(project, number) for number in project.versions()]
    following = versions[-1].child.script_name
    ahead = _there(project, [following])
    strays = [name for name in scripts_apart(project) if name != following]
    adoptable = state.phase not in ("done", "report", "reporting", "stuck")
    found = [
        (_NEXT, ahead if adoptable else []),
        (STRAY, strays if adoptable else [*ahead, *strays]),
        (_EDITED, [one.script_name for one in versions if _is_edited(one)]),
        (_LOST, [one.script_name for one in versions if _is_lost(one)]),
        (LEFT_OUT, [one.id for one in without_weights(project)]),
    ]
    return tuple(told_of(about, names) for about, names in found if names)


def told_of(about: Told, names: Sequence[str]) -> Told:
    """The remark about these, of which the first few are named."""
    more = f" … ({len(names)})" if len(names) > _NAMED else ""
    return Told(about.text, {"names": ", ".join(names[:_NAMED]) + more})


def scripts_apart(project: Project, *, before: bool = False) -> list[str]:
    """The scripts named like versions that no receipt tells of: those after the loop's first, or those `before` it."""
    versions = project.versions()
    numbers = [number for number in project.workspace.numbered_scripts() if number not in {*versions}]
    return [project.workspace.script(number) for number in numbers if (number < versions[0]) == before]


def without_weights(project: Project) -> list[Version]:
    """The scored versions whose best.ckpt is gone."""
    versions = (Version(project, number) for number in project.versions())
    return [one for one in versions if one.receipt(EvalReceipt) is not None and one.gone("best.ckpt")]


def _there(project: Project, names: Sequence[str]) -> list[str]:
    return [name for name in names if project.workspace.tree.known.stamp(name) is not None]


def _is_edited(version: Version) -> bool:
    """Of one that is trained: before that, the next call is about it."""
    authored = version.parent.receipt(NextReceipt) if version.parent else None
    if authored is not None and _hash(version) == authored.script_sha256:
        return False  # the usual case, without a look at each version's attempts
    return version.receipt(TrainReceipt) is not None and version.is_edited


def _hash(version: Version) -> str | None:
    try:
        return sha256(version.project.workspace.tree, version.script_name)
    except (LoopError, FileNotFoundError):
        return None


def _is_lost(version: Version) -> bool:
    tree = version.project.workspace.tree
    return tree.known.stamp(version.script_name) is None and version.kept() is None
