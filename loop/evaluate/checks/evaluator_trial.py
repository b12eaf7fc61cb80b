"""The trial of an evaluator: before its first score counts it is run again, and judged by what comes out.

It must give the same score twice, and another one (or none) for the same weights in disorder: an evaluator that ignores
the model is refused. The loop's own disorders each version's weights itself, so that it is run twice and others thrice.
In its second run the script begins with other random numbers: a validation set that nobody seeds is another one then.
"""

import ast
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ...errors import EvaluationError
from ...project.notices import Notice
from ...project.project import Project
from ...script.source import read_script
from ...store.paths import EVAL_SCRIPT
from ...store.tree import Tree
from .output import other_targets, read_metrics, scores_digest

_HINT = "correct 03_eval.py through write_eval"
_SEED = "let the script seed what it draws for its data and its model, with repair_version"
_SPLIT = (
    "seed the split of the data (random_state, generator, or a seed before it), or keep the split in a file that the"
    " script reads, with repair_version; the version is then trained again"
)
# Two runs on one machine agree to the last bit or nearly so; what differs more is another measurement.
_SAME = 1e-9
_TOLERATED = 1e-3
_TRAINING_DATA = re.compile(r"(?:^|[/\\\\])train(?:ing)?(?:[/\\\\.]|$)|^train_dataloader$", re.I)


def training_data_warnings(project: Project) -> tuple[Notice, ...]:
    """A warning where the evaluator names the training data, which is allowed: its statistics may be needed."""
    script = read_script(project.workspace.root / EVAL_SCRIPT)
    words = [
        node.attr if isinstance(node, ast.Attribute) else node.value
        for node in ast.walk(script.tree)
        if isinstance(node, ast.Attribute) or (isinstance(node, ast.Constant) and isinstance(node.value, str))
    ]
    named = sorted({str(word) for word in words if _TRAINING_DATA.search(str(word))})
    if not named:
        return ()
    return (Notice.of("training_data", script=EVAL_SCRIPT, names=", ".join(named)[:200]),)


@dataclass(frozen=True)
class Trial:
    """The runs of an acceptance, as the child left them: folders, and exit codes (None: not run).

    `inside`: the evaluator disorders the weights by itself, and has no third run.
    """

    first: str
    again: str
    disordered: str
    codes: tuple[int | None, ...]
    inside: bool = False


def require_same_samples(tree: Tree, trial: Trial, script: str, samples: int, inputs: tuple[str, str]) -> None:
    """Raises `EvaluationError` (`samples_differ`) where the script draws another validation set in each process.

    It would be scored on what it was trained on. A sample is told by its place in the data set and its target, which no
    augmentation changes; where these differ, all `inputs` together, as digests of both runs, may still be the same ones
    in another order. Nothing is seen where targets are all alike, places say nothing, and inputs are random.
    """
    if (*trial.codes, None, None)[1] != 0 or inputs[0] == inputs[1]:
        return
    differing, _, lone = other_targets(tree, f"{trial.again}/samples.jsonl", f"{trial.first}/samples.jsonl")
    others = differing + (lone + 1) // 2
    if others:
        raise EvaluationError(
            f"at least {others} of {samples} validation samples are others in a second process, which began with other"
            " random numbers: each draws a validation set of its own, so the version would be scored on samples that it"
            " was trained on",
            where=script,
            hint=_SPLIT,
            code="samples_differ",
        )


def judge(tree: Tree, trial: Trial, primary: str) -> tuple[float, tuple[Notice, ...]]:
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
            hint=_SEED if trial.inside else f"{_HINT}: fix every seed, and score without dropout or sampling",
        )
    warnings = [Notice.of("spread", spread=spread)] if spread > _SAME else []
    if trial.inside:
        return spread, tuple(warnings)
    if disordered_code is None:
        return spread, (*warnings, Notice.of("no_weights"))
    if disordered_code == 0:
        warnings += _require_moved(tree, trial, first, primary)
    return spread, tuple(warnings)


def _require_moved(tree: Tree, trial: Trial, first: Mapping[str, float], primary: str) -> list[Notice]:
    try:
        moved = read_metrics(tree, trial.disordered)
    except EvaluationError:
        return []  # NaN, such as a variance out of order gives, is no JSON: another score than the first one
    if primary in first and moved.get(primary) != first[primary]:
        return []
    ignored = EvaluationError(
        "gives the same score for the weights in disorder, so it doesn't measure the model",
        where=EVAL_SCRIPT,
        hint=f"{_HINT}: load --checkpoint into the model and score its predictions",
    )
    before, after = (scores_digest(tree, f"{out}/samples.jsonl") for out in (trial.first, trial.disordered))
    if primary in first and before == after:
        raise ignored
    if moved == first and before == after:
        raise ignored
    # A model that always says the same class may keep its accuracy by luck; its losses can't.
    return [Notice.of("unmoved", metric=primary)]


def _spread(first: Mapping[str, float], again: Mapping[str, float]) -> float:
    """The largest relative difference of any metric; infinite if one is missing."""
    if first.keys() != again.keys():
        return math.inf
    return max((abs(first[name] - again[name]) / max(abs(first[name]), 1e-12) for name in first), default=math.inf)
