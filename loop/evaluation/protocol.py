"""The evaluation protocol's fingerprint: which evaluator, settings, data and seed made a score (R2)."""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from ..errors import EvaluationError, UnsafePath
from ..files import Tree
from ..project import Project
from ..receipts import LoopFile
from ..rules import Rules
from ..scripts import local_imports
from ..workspace import EVAL_SCRIPT, STATE


class _Known(BaseModel):
    """A file's hash as of a size and modification time, so that an unchanged data set is read once."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    size: int
    mtime_ns: int
    ctime_ns: int
    sha256: str


def fingerprint(project: Project, rules: Rules, loop: LoopFile) -> str:
    """Hash over 03_eval.py with its local imports, eval_config, the data set's files, and the seed.

    Raises `EvaluationError` if there is no 03_eval.py.
    """
    config = rules.file.eval_config.model_dump(mode="json")
    parts = {
        "evaluator": evaluator_hashes(project),
        "eval_config": {name: config[name] for name in sorted(config)},
        "dataset": dataset_manifest(project, loop.dataset_id),
        "dataset_id": loop.dataset_id,
        "seed": rules.file.seed,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def evaluator_hashes(project: Project) -> dict[str, str]:
    """03_eval.py and the local modules that it imports: relative path -> sha256."""
    workspace = project.workspace
    if not workspace.tree.is_file(EVAL_SCRIPT):
        raise EvaluationError("is missing", where=EVAL_SCRIPT, hint="call run_eval or write_eval")
    root = workspace.root
    names = [EVAL_SCRIPT, *(path.relative_to(root).as_posix() for path in local_imports(root / EVAL_SCRIPT, root))]
    return {name: hashlib.sha256(workspace.tree.read(name)).hexdigest() for name in sorted(set(names))}


def dataset_manifest(project: Project, dataset_id: str) -> dict[str, str]:
    """Every file of the data set: path below it -> sha256. Only files whose size or time changed are read again."""
    folder = project.workspace.root / project.workspace.dataset(dataset_id)
    cache = f"{STATE}/cache/dataset-{hashlib.sha256(dataset_id.encode()).hexdigest()[:16]}.json"
    known = _load(project.workspace.tree, cache)
    current = {name: _hash(path, known.get(name)) for name, path in _files(folder)}
    if current != known:
        text = json.dumps({name: entry.model_dump() for name, entry in current.items()})
        project.workspace.tree.write(cache, text.encode())
    return {name: entry.sha256 for name, entry in current.items()}


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.relative_to(folder).as_posix(), path


def _hash(path: Path, known: _Known | None) -> _Known:
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        # The change time as well: whoever edits a file can set its modification time back, and not that one.
        times = (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        if known is not None and (known.size, known.mtime_ns, known.ctime_ns) == times:
            return known
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return _Known(size=status.st_size, mtime_ns=status.st_mtime_ns, ctime_ns=status.st_ctime_ns, sha256=digest)


def _load(tree: Tree, cache: str) -> dict[str, _Known]:
    try:
        content: object = json.loads(tree.read(cache, limit=1 << 30))
        if isinstance(content, dict):
            return {str(name): _Known.model_validate(entry) for name, entry in content.items()}  # pyright: ignore
    except (FileNotFoundError, UnsafePath, ValueError, ValidationError, RecursionError):
        # A cache that is absent or damaged is made anew; it holds nothing that the data does not say.
        return {}
    return {}
