"""A finished loop of two versions, grown to any number of them: each with receipts, curves and documents of its own.

    python -m support.many_versions FINISHED_PROJECT TARGET VERSIONS

The versions alternate between those of the finished project, with scores that wander; nothing is trained.
"""

import json
import random
import shutil
import sys
from pathlib import Path
from typing import TypeVar

from progressive_training.loop.judge.labels import Judgements
from progressive_training.loop.project.integrity import accept_rules
from progressive_training.loop.project.project import Project
from progressive_training.loop.project.receipts import (
    ActionReceipt,
    AnalysisReceipt,
    EvalReceipt,
    NextReceipt,
    TrainReceipt,
)
from progressive_training.loop.store.paths import STATE, version_id
from progressive_training.loop.store.records import Record, dump, load

_STEPS: tuple[tuple[str, type[Record]], ...] = (
    ("train", TrainReceipt),
    ("eval", EvalReceipt),
    ("analysis", AnalysisReceipt),
    ("action", ActionReceipt),
    ("next", NextReceipt),
)
R = TypeVar("R", bound=Record)


def grow(finished: Path, target: Path, versions: int) -> None:
    """Copies the project to `target`, which must not exist, and gives it `versions` versions."""
    shutil.copytree(finished, target, symlinks=True)
    rules = json.loads((target / "user_defined_rules.json").read_text(encoding="utf-8"))
    rules["loop_config"] = {**rules.get("loop_config", {}), "max_versions": versions}
    (target / "user_defined_rules.json").write_text(json.dumps(rules, indent=2), encoding="utf-8")
    (target / STATE / "receipts" / "report.json").unlink(missing_ok=True)
    project, chance = Project(target), random.Random(1)
    accept_rules(project)
    models = project.workspace.numbered_scripts()
    for cur in range(1, versions + 1):
        # After its own two, the second version's successors are copies of one or the other.
        model = models[(cur - 1) % len(models)]
        _receipts(project, model, cur, chance, authored=cur < versions)
        if cur not in models:
            _files(project, model, cur)


def _receipts(project: Project, model: int, cur: int, chance: random.Random, *, authored: bool) -> None:
    for step, kind in _STEPS:
        # The last one of the finished loop has no successor, and here it gets one.
        model = 1 if step == "next" else model
        if step == "next" and not authored:
            continue
        record = load(project.workspace.tree, project.workspace.receipt(model, step), kind)
        where = project.workspace.tree.path(project.workspace.receipt(cur, step))
        if record is None or where.exists():
            continue
        if isinstance(record, EvalReceipt):
            wander = chance.uniform(-0.02, 0.02)
            moved = [metric.model_copy(update={"value": metric.value + wander}) for metric in record.metrics]
            record = record.model_copy(update={"metrics": tuple(moved)})
        where.parent.mkdir(parents=True, exist_ok=True)
        where.write_text(dump(record), encoding="utf-8")


def _files(project: Project, model: int, cur: int) -> None:
    tree = project.workspace.tree
    shutil.copyfile(tree.path(project.workspace.script(model)), tree.path(project.workspace.script(cur)))
    target = tree.path(project.workspace.artifacts(cur))
    shutil.copytree(tree.path(project.workspace.artifacts(model)), target, copy_function=_linked)
    shutil.copytree(tree.path(project.workspace.attempts(model)), tree.path(project.workspace.attempts(cur)))
    shutil.copytree(tree.path(project.workspace.snapshot(model)), tree.path(project.workspace.snapshot(cur)))
    known = load(tree, f"{STATE}/scores/{version_id(model)}/noise.json", Judgements)
    scores = tree.path(f"{STATE}/scores/{version_id(cur)}")
    scores.mkdir(parents=True, exist_ok=True)
    if known is not None:
        parent = version_id(cur - 1)
        verdicts = tuple(
            type(verdict)(**{**vars(verdict), "against": parent}) for verdict in known.verdicts if verdict.delta
        )
        (scores / "noise.json").write_text(dump(Judgements(key=known.key, verdicts=verdicts)), encoding="utf-8")


def _linked(source: str, target: str) -> None:
    Path(target).hardlink_to(source)


if __name__ == "__main__":
    grow(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
