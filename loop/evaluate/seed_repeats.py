"""How far a metric moves by the seed alone: the first scored version trained again with other seeds, on request.

The repeats are a measure of noise. They are never used to choose a version.
"""

from dataclasses import dataclass
from pathlib import Path
from statistics import stdev

from ..errors import EvaluationError
from ..project.attempts import Attempt
from ..project.receipts import SeedNoise
from ..rules.reading import Rules
from ..script.fixed import Fixed, materialise
from ..script.source import Script, decode_script
from ..store.paths import STATE
from ..store.records import load, save
from ..store.tree import Tree
from .checks.output import read_metrics
from .evaluator_parts.project_copy import make_stage

RECEIPT = f"{STATE}/receipts/seed_noise.json"


@dataclass(frozen=True)
class Repeat:
    """One more training of the version: its stage, where its checkpoint comes to lie, and where its score goes."""

    number: int
    seed: int
    stage: str
    out: str


def repeats(rules: Rules) -> tuple[Repeat, ...]:
    """The trainings beside the version's own; none unless `eval_config.repeats` is 2 or more."""
    count = rules.file.eval_config.repeats
    numbers = range(1, count)
    return tuple(Repeat(n, rules.file.seed + n, f"repeat-{n}", f"out-repeat-{n}") for n in numbers)


def lay_out(attempt: Attempt, repeat: Repeat, python: str) -> dict[str, object]:
    """Stages the version with another seed, and returns the run that trains and scores it.

    Raises `EvaluationError` for a script that states no seed.
    """
    workspace = attempt.project.workspace
    stage, script = attempt.path / repeat.stage, attempt.version.script_name
    make_stage(workspace.root, workspace.tree.path(attempt.version.snapshot), stage)
    staged = Script.parse(decode_script((stage / script).read_bytes(), script), script)
    reseeded = materialise(staged, [Fixed("seed", "seed", repeat.seed)])
    if reseeded.missing:
        raise EvaluationError(
            "states no seed, so it can't be trained again with another one",
            where=script,
            hint="set eval_config.repeats to 1, or let the script state its seed",
        )
    (stage / script).write_bytes(reseeded.text.encode())
    workspace.tree.make_folder(f"{attempt.relative}/{repeat.out}")
    checkpoint = Path("Models", "Artifacts", attempt.version.id, "best.ckpt")
    return {
        "train": [python, script],
        "source": str(stage),
        "out": str(attempt.path / repeat.out),
        "checkpoint": str(stage / checkpoint),
        "disordered": False,
    }


def collect(attempt: Attempt, rules: Rules, first: str) -> None:
    """Records every metric's values over the repeats; `first` is the folder of the version's own score.

    Raises `EvaluationError` if one of them left no score.
    """
    tree = attempt.project.workspace.tree
    found = [read_metrics(tree, first)]
    found += [read_metrics(tree, f"{attempt.relative}/{repeat.out}") for repeat in repeats(rules)]
    names = set[str].intersection(*(set(values) for values in found))
    record = SeedNoise(
        version=attempt.version.id,
        seeds=(rules.file.seed, *(repeat.seed for repeat in repeats(rules))),
        values={name: tuple(values[name] for values in found) for name in sorted(names)},
    )
    save(tree, RECEIPT, record)


def seed_noise(tree: Tree, metric: str) -> tuple[float | None, int | None]:
    """The metric's standard deviation over the repeats, and how many there were; None where there are none."""
    record = load(tree, RECEIPT, SeedNoise)
    values = record.values.get(metric, ()) if record else ()
    return (stdev(values), len(values)) if len(values) >= 2 else (None, None)
