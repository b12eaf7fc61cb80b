"""An evaluator is tried once before its first score counts, and is left as it is from then on.

It must give the same score twice, and another one (or none) for the same weights in disorder: an evaluator that ignores
the model is refused.
"""

import ast
import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from ..errors import EvaluationError, UserDecision
from ..project.evaluation_protocol import dataset_manifest, evaluator_hashes
from ..project.project import Project
from ..project.receipts import Acceptance, Agreed, LoopFile, load
from ..script.source import read_script
from ..store.paths import EVAL_SCRIPT, STATE
from ..store.tree import Tree
from .output import read_metrics

RECEIPT = f"{STATE}/receipts/evaluator.json"
_HINT = "correct 03_eval.py through write_eval"
# Two runs on one machine agree to the last bit or nearly so; what differs more is another measurement.
_SAME = 1e-9
_TOLERATED = 1e-3


_TRAINING_DATA = re.compile(r"(?:^|[/\\\\])train(?:ing)?(?:[/\\\\.]|$)|^train_dataloader$", re.I)


def acceptance(project: Project) -> Acceptance | None:
    return load(project.workspace.tree, RECEIPT, Acceptance)


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
    """What the user has to decide if the evaluator or the data set is no longer what was accepted.

    None if both are, or nothing was accepted yet. Between the user's yes and the next evaluation what they said yes to
    counts as accepted. `present` is what there is now, if the caller has looked.
    """
    tried = acceptance(project)
    accepted = tried or loop.agreed
    if accepted is None:
        return None
    now = present or present_protocol(project, loop)
    changed = sorted(name for name in {*now.files, *accepted.files} if now.files.get(name) != accepted.files.get(name))
    if now.dataset_sha256 != accepted.dataset_sha256:
        changed.append(f"the data set {loop.dataset_id}")
    if not changed:
        return None
    return UserDecision(
        ", ".join(changed),
        f"{'the first score' if tried else 'you accepted it'}, and scores compare only under one protocol",
        subject="protocol",
        versions=(dict(accepted.files), accepted.dataset_sha256, dict(now.files), now.dataset_sha256),
        after="; every version is then scored again",
    )


def require_protocol(project: Project, loop: LoopFile) -> None:
    """Raises the `UserDecision` of `protocol_decision`, if there is one."""
    if decision := protocol_decision(project, loop):
        raise decision


def training_data_warnings(project: Project) -> tuple[str, ...]:
    """Says where the evaluator names the training data: allowed (its statistics may be needed), and to be known."""
    script = read_script(project.workspace.root / EVAL_SCRIPT)
    words = [
        node.attr if isinstance(node, ast.Attribute) else node.value
        for node in ast.walk(script.tree)
        if isinstance(node, ast.Attribute) or (isinstance(node, ast.Constant) and isinstance(node.value, str))
    ]
    named = sorted({str(word) for word in words if _TRAINING_DATA.search(str(word))})
    if not named:
        return ()
    return (f"{EVAL_SCRIPT} names training data ({', '.join(named)[:200]}): a score on it says nothing of new samples",)


@dataclass(frozen=True)
class Trial:
    """The three runs of an acceptance, as the child left them: folders, and exit codes (None: not run)."""

    first: str
    again: str
    disordered: str
    codes: tuple[int | None, ...]


def judge(tree: Tree, trial: Trial, primary: str) -> tuple[float, tuple[str, ...]]:
    """The spread between two runs, and warnings. Raises `EvaluationError` if the evaluator can't be accepted."""
    again_code, disordered_code = (*trial.codes, None, None)[1:3]
    if again_code != 0:
        raise EvaluationError("fails when it is run a second time", where=EVAL_SCRIPT, hint=_HINT)
    first = read_metrics(tree, trial.first)
    spread = _spread(first, read_metrics(tree, trial.again))
    if spread > _TOLERATED:
        raise EvaluationError(
            f"scores the same weights differently each time (up to {spread:.2g} apart, relative)",
            where=EVAL_SCRIPT,
            hint=f"{_HINT}: fix every seed, and score without dropout or sampling",
        )
    warnings = [f"two runs of the evaluator differ by {spread:.2g} (relative)"] if spread > _SAME else []
    if disordered_code is None:
        return spread, (*warnings, "the checkpoint holds no weights that could be put in disorder")
    if disordered_code == 0:
        warnings += _require_moved(tree, trial, first, primary)
    return spread, tuple(warnings)


def _require_moved(tree: Tree, trial: Trial, first: Mapping[str, float], primary: str) -> list[str]:
    moved = read_metrics(tree, trial.disordered)
    if primary in first and moved.get(primary) != first[primary]:
        return []
    ignored = EvaluationError(
        "gives the same score for the weights in disorder, so it doesn't measure the model",
        where=EVAL_SCRIPT,
        hint=f"{_HINT}: load --checkpoint into the model and score its predictions",
    )
    before, after = _sample_scores(tree, trial.first), _sample_scores(tree, trial.disordered)
    if primary in first and before == after:
        raise ignored
    if moved == first and before == after:
        raise ignored
    # A model that always says the same class may keep its accuracy by luck; its losses can't.
    return [f"{primary} stayed the same for weights in disorder; only other scores moved"]


def _sample_scores(tree: Tree, out: str) -> str:
    """A digest of every sample's scores, without what may differ between runs."""
    digest = hashlib.sha256()
    try:
        for line in tree.read(f"{out}/samples.jsonl", limit=4 << 30).splitlines():
            digest.update(_scores_of(line))
    except FileNotFoundError:
        return ""
    return digest.hexdigest()


def _scores_of(line: bytes) -> bytes:
    """A line's scores; the line itself where it has none that can be read, since it is compared and no more."""
    try:
        content: object = json.loads(line)
    except (ValueError, RecursionError):
        return line
    scores = cast("dict[object, object]", content).get("scores") if isinstance(content, dict) else None
    return json.dumps(scores, sort_keys=True).encode()


def _spread(first: Mapping[str, float], again: Mapping[str, float]) -> float:
    """The largest relative difference of any metric; infinite if one is missing."""
    if first.keys() != again.keys():
        return math.inf
    return max((abs(first[name] - again[name]) / max(abs(first[name]), 1e-12) for name in first), default=math.inf)
