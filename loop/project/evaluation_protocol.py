"""The evaluation protocol's fingerprint: which evaluator, settings, data and seed made a score (R2)."""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from ..errors import EvaluationError
from ..evaluate.user_python.project_copy import LEFT_OUT
from ..rules.reading import Rules
from ..script import local_imports
from ..store.manifest import hashes
from ..store.paths import EVAL_SCRIPT, EXTERNAL, STATE
from .project import Project
from .receipts import LoopFile


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
    """Every file of the data set: path below it -> hash. Only files whose size, times or inode changed are read again.

    Raises `StillReading` as long as a large one isn't read to its end.
    """
    folder = project.workspace.root / project.workspace.dataset(dataset_id)
    cache = f"{STATE}/cache/dataset-{hashlib.sha256(dataset_id.encode()).hexdigest()[:16]}.json"
    return hashes(project.workspace.tree, cache, _files(folder), what=f"the data set {dataset_id}")


def external_digest(project: Project, name: str) -> str:
    """Hash over the files of a folder of Models/external/, also of those that links lead to; environments aside."""
    folder = project.workspace.root / EXTERNAL / name
    cache = f"{STATE}/cache/external-{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"
    files = [(below, path) for below, path in _files(folder) if not LEFT_OUT.intersection(below.split("/"))]
    found = hashes(project.workspace.tree, cache, files, what=f"the external model {name}")
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Every file, also where a link leads to one, by its path below `folder`, in order; linked folders are left out."""
    found = (Path(here, name) for here, _, names in os.walk(folder) for name in names)
    yield from sorted((path.relative_to(folder).as_posix(), path) for path in found if path.is_file())
