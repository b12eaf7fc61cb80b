"""What the loop's own evaluator leaves of the samples that a version errs on most: their inputs, and pictures."""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, JsonValue, TypeAdapter, ValidationError

from ..errors import LoopError
from ..project.version import Version
from ..store.tree import Tree
from .infer_samples import is_moderate

_INPUTS, _PICTURES = "hardest.json", ("hardest.png", "errors.png")
_MAX_INPUTS, _MAX_PICTURE = 64 * 1024, 400_000


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    id: str
    input: JsonValue


_ENTRIES = TypeAdapter(tuple[_Entry, ...])


def keep(tree: Tree, out: str, folder: str) -> None:
    """Copies what is sound of it from an evaluation's output into `folder`, and removes what was there before."""
    for name in (_INPUTS, *_PICTURES):
        tree.remove(f"{folder}/{name}")
        data = _read(tree, f"{out}/{name}", _MAX_INPUTS if name == _INPUTS else _MAX_PICTURE)
        if is_moderate(data) if name in _PICTURES else _entries(data):
            tree.write(f"{folder}/{name}", data)


def inputs(version: Version) -> Mapping[str, JsonValue]:
    """What went in, by sample id and in the order of the picture's tiles; empty where an evaluator leaves none."""
    data = _read(version.project.workspace.tree, f"{_folder(version)}/{_INPUTS}", _MAX_INPUTS)
    return {one.id: one.input for one in _entries(data)}


def pictures(version: Version) -> tuple[bytes, ...]:
    """Small PNG pictures: the hardest samples side by side, predictions over targets; as far as there are any."""
    tree, folder = version.project.workspace.tree, _folder(version)
    found = (_read(tree, f"{folder}/{name}", _MAX_PICTURE) for name in _PICTURES)
    return tuple(data for data in found if is_moderate(data))


def _folder(version: Version) -> str:
    return version.project.workspace.sample_scores(version.number).rpartition("/")[0]


def _read(tree: Tree, where: str, limit: int) -> bytes:
    """Nothing where there is none, or none that can be used: it only adds to what is known."""
    try:
        return tree.read(where, limit=limit)
    except (LoopError, FileNotFoundError):
        return b""


def _entries(data: bytes) -> tuple[_Entry, ...]:
    try:
        return _ENTRIES.validate_json(data)
    except ValidationError:
        return ()
