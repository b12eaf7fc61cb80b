"""The evaluation protocol's fingerprint: which evaluator, settings, data and seed made a score (R2)."""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

from ..errors import EvaluationError, UserDecision
from ..jobs.sandbox import interpreter_folders
from ..rules.reading import Rules
from ..script.imports import code_files
from ..store.digest import sha256
from ..store.manifest import hashes
from ..store.paths import EVAL_SCRIPT, EVALUATOR_PARTS, STATE
from ..store.records import load
from .project import Project
from .receipts import Acceptance, Agreed, LoopFile

# Whose numbers scores are made of. By name: which packages a run imports isn't known before it runs.
_INSTALLED = re.compile(r"(torch|torchmetrics|lightning|pytorch_lightning|numpy|scipy)-([^-]+)\.dist-info")
_MACHINERY = Path(__file__).resolve().parent.parent / "evaluate" / EVALUATOR_PARTS
RECEIPT = f"{STATE}/receipts/evaluator.json"
MAX_FROZEN_BYTES = 4 << 30
PROTOCOL = f"{STATE}/protocol"
FROZEN = f"{PROTOCOL}/protocol.bin"
"""What the loop's own evaluator decided on the first version: targets, reading, formulas."""


def fingerprint(project: Project, rules: Rules, loop: LoopFile) -> str:
    """Hash over 03_eval.py with its local imports, eval_config, the data set's files, the seed, and package versions.

    Not over these where an older release has accepted the evaluator.

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
    accepted = acceptance(project)
    if accepted is None or accepted.packages is not None:
        parts["packages"] = packages(project, rules)
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def packages(project: Project, rules: Rules) -> dict[str, str]:
    """Name -> version of what scores are computed with, as installed for the user's interpreter; it isn't started."""
    found: dict[str, str] = {}
    for folder in interpreter_folders(project.interpreter(rules)):
        for place in folder.glob("lib*/python3*/*-packages/*.dist-info"):
            match = _INSTALLED.fullmatch(place.name)
            if match:
                found.setdefault(match[1].replace("_", "-"), match[2])
    return found


def evaluator_hashes(project: Project) -> dict[str, str]:
    """03_eval.py and the local modules that it imports: relative path -> sha256."""
    workspace = project.workspace
    if not workspace.tree.is_file(EVAL_SCRIPT):
        raise EvaluationError(
            "is missing",
            where=EVAL_SCRIPT,
            hint="call write_eval with a whole script or, for the loop's own, with settings",
        )
    parts = workspace.root / EVALUATOR_PARTS

    def is_ours(path: Path) -> bool:
        """Whether it is the machinery as it is installed, which imports nothing else of the project's."""
        if parts not in path.parents:
            return False
        installed = _MACHINERY / path.relative_to(parts)
        return installed.is_file() and installed.read_bytes() == path.read_bytes()

    names = sorted({*code_files(EVAL_SCRIPT, workspace.root, ends_at=is_ours), *_parts(project)})
    return {name: hashlib.sha256(workspace.tree.read(name)).hexdigest() for name in names}


def _parts(project: Project) -> Iterator[str]:
    """The machinery's files, also those that no import statement names: a compiled module goes before its source."""
    folder = project.workspace.root / EVALUATOR_PARTS
    if folder.is_dir() and not folder.is_symlink():
        found = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        yield from (path.relative_to(project.workspace.root).as_posix() for path in found)


def dataset_manifest(project: Project, dataset_id: str) -> dict[str, str]:
    """Every file of the data set: path below it -> hash. Only files whose size, times or inode changed are read again.

    Raises `StillReading` as long as a large one isn't read to its end.
    """
    folder = project.workspace.root / project.workspace.dataset(dataset_id)
    cache = f"{STATE}/cache/dataset-{hashlib.sha256(dataset_id.encode()).hexdigest()[:16]}.json"
    return hashes(project.workspace.tree, cache, files_below(folder), what=f"the data set {dataset_id}")


def files_below(folder: Path) -> Iterator[tuple[str, Path]]:
    """Every file, also where a link leads to one, by its path below `folder`, in order; linked folders are left out."""
    found = (Path(here, name) for here, _, names in os.walk(folder) for name in names)
    yield from sorted((path.relative_to(folder).as_posix(), path) for path in found if path.is_file())


def acceptance(project: Project) -> Acceptance | None:
    return load(project.workspace.tree, RECEIPT, Acceptance)


def frozen_folder(project: Project) -> str | None:
    """The folder of what was decided when the evaluator was accepted; None before, and for an evaluator of one's own.

    Raises the `UserDecision` of `protocol_decision` if it isn't what it was.
    """
    accepted = acceptance(project)
    if accepted is None or accepted.protocol is None:
        return None
    if _frozen(project) != accepted.protocol:
        raise _decision([FROZEN], accepted, Agreed(files=accepted.files, dataset_sha256=accepted.dataset_sha256), "")
    return PROTOCOL


def _frozen(project: Project) -> str:
    """The hash of what was decided; "" where it is gone."""
    tree = project.workspace.tree
    return sha256(tree, FROZEN) if tree.is_file(FROZEN) else ""


def dataset_digest(project: Project, loop: LoopFile) -> str:
    manifest = dataset_manifest(project, loop.dataset_id)
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def present_protocol(project: Project, loop: LoopFile) -> Agreed:
    """The evaluator and the data set as they are; no files where the evaluator can't be read."""
    try:
        files = evaluator_hashes(project)
    except EvaluationError:
        files = {}
    return Agreed(files=files, dataset_sha256=dataset_digest(project, loop))


def protocol_decision(project: Project, loop: LoopFile, present: Agreed | None = None) -> UserDecision | None:
    """What the user has to decide if the evaluator or the data set differs from what was accepted.

    None if neither does, or nothing was accepted yet. From the user's yes until the next evaluation, what they agreed
    to counts as accepted. Pass `present` if you have read the present state already.
    """
    tried = acceptance(project)
    accepted = tried or loop.agreed
    if accepted is None:
        return None
    now = present or present_protocol(project, loop)
    changed = sorted(name for name in {*now.files, *accepted.files} if now.files.get(name) != accepted.files.get(name))
    if now.dataset_sha256 != accepted.dataset_sha256:
        changed.append(f"the data set {loop.dataset_id}")
    frozen = _frozen(project) if tried is not None and tried.protocol is not None else ""
    if tried is not None and frozen != (tried.protocol or ""):
        changed.append(FROZEN)
    return _decision(changed, accepted, now, frozen) if changed else None


def _decision(changed: list[str], accepted: Acceptance | Agreed, now: Agreed, frozen: str) -> UserDecision:
    since = "the first score" if isinstance(accepted, Acceptance) else "you accepted it"
    return UserDecision(
        ", ".join(changed),
        f"{since}, and scores compare only under one protocol",
        subject="protocol",
        versions=(dict(accepted.files), accepted.dataset_sha256, dict(now.files), now.dataset_sha256, frozen),
        after="; every version is then scored again",
    )


def decisions(project: Project, rules: Rules, loop: LoopFile) -> Iterator[UserDecision]:
    """What the user has to decide before the loop can go on."""
    for decision in (project.rules_decision(rules, loop), protocol_decision(project, loop)):
        if decision is not None:
            yield decision


def require_protocol(project: Project, loop: LoopFile) -> None:
    """Raises the `UserDecision` of `protocol_decision`, if there is one."""
    if decision := protocol_decision(project, loop):
        raise decision
