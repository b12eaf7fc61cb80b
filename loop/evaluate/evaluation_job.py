"""The job of one evaluation: the copy of the project that it runs in, its plan, and the folders of its runs.

user_python/run_evaluator.py carries the plan out, in the user's interpreter.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from ..errors import EvaluationError
from ..jobs.job import Job
from ..jobs.placing import Needs, confined
from ..jobs.warm.next_jobs import ISOLATED
from ..project.attempts import Attempt
from ..project.evaluation_protocol import PROTOCOL, frozen_folder
from ..project.receipts import EvalPlan, LoopFile
from ..project.version import Version
from ..record.injection import CHECKPOINT_FACTS
from ..rules.reading import Rules
from ..store.paths import EVAL_SCRIPT
from ..train import artifacts as training_artifacts
from ..train import training
from .checks.checkpoint_clashes import CHECKPOINTS
from .checks.evaluator_trial import Trial
from .checks.own_word import fit_of_best
from .evaluator_files import compile_parts, takes_protocol
from .evaluator_parts.project_copy import make_stage
from .seed_repeats import Repeat, lay_out, repeats

# Names that tell an evaluator nothing about which of its runs is the trial with disordered weights.
OUT, AGAIN, DISORDERED = "out-1", "out-2", "out-3"
STAGE, SAID = "stage", "said"
RUNS, SPOILT = f"{SAID}/runs.json", f"{SAID}/best.ckpt"
SCRATCH = (STAGE, OUT, AGAIN, DISORDERED, SPOILT)
_CODES = TypeAdapter(tuple[int | None, ...])
_HERE = Path(__file__).resolve().parent / "user_python"


def prepare(attempt: Attempt, rules: Rules, loop: LoopFile, plan: EvalPlan) -> Job:
    """Lays the attempt out and returns its job, which runs in a copy of the project that holds this version's code."""
    project, version = attempt.project, attempt.version
    workspace, config = project.workspace, rules.file.execution_config
    python, again = project.interpreter(rules), repeats(rules) if plan.accepting else ()
    workspace.tree.make_folder(f"{attempt.relative}/{SAID}")
    make_stage(workspace.root, workspace.tree.path(version.snapshot), attempt.path / STAGE)
    # Copied beside the attempt: the user's interpreter may lack this package, or have another release of it.
    compile_parts(workspace.tree)
    for source in (_HERE / "run_evaluator.py", _HERE / "read_checkpoint.py", CHECKPOINT_FACTS):
        shutil.copyfile(source, attempt.path / source.name)
    coming = training.next_jobs(version, rules)
    content = {
        "evaluator": str(workspace.root / EVAL_SCRIPT),
        "arguments": _arguments(attempt, rules, loop),
        "imports": coming.eval_imports(),
        "runs": _runs(attempt, again, python, rules.file.seed, accepting=plan.accepting),
        "checkpoints": {name: _artifact(version, name) for name in training_artifacts.CHECKPOINTS},
        "checkpoints_out": str(attempt.path / CHECKPOINTS),
        "runs_out": str(attempt.path / RUNS),
    }
    where = f"{attempt.relative}/eval.json"
    workspace.tree.write(where, json.dumps(content, ensure_ascii=False, indent=1).encode())
    job = Job(
        kind="eval",
        version_id=version.id,
        attempt=attempt.number,
        argv=(python, *ISOLATED, str(attempt.path / "run_evaluator.py"), str(workspace.tree.path(where))),
        cwd=str(attempt.path / STAGE),
        env=project.environment(rules),
        timeout_seconds=_limit(rules, len(again)),
        imports=coming.eval_preload(),
    )
    outs = (OUT, AGAIN, DISORDERED) if plan.accepting else (OUT,)
    outs = tuple(name for name in outs if workspace.tree.kind(f"{attempt.relative}/{name}") is not None)
    outs += tuple(name for repeat in again for name in (repeat.stage, repeat.out))
    writable = tuple(f"{attempt.relative}/{name}" for name in (STAGE, SAID, *outs))
    return confined(job, attempt.path, workspace, config, Needs(loop.dataset_id, writable, scored(attempt)))


def scored(attempt: Attempt) -> tuple[str, ...]:
    """What an evaluation reads of what no other job sees: its own folder, the weights, and what the first one froze."""
    return (attempt.relative, attempt.version.artifacts, PROTOCOL)


def _arguments(attempt: Attempt, rules: Rules, loop: LoopFile) -> dict[str, object]:
    """The evaluator's options, but for those that each run has of its own (docs/contract.md)."""
    options: dict[str, object] = {
        "version": attempt.version.id,
        "project": str(attempt.project.workspace.root),
        "source": str(attempt.path / STAGE),
        "samples": rules.file.eval_config.infer_samples,
        "seed": rules.file.seed,
        "dataset-id": loop.dataset_id,
    }
    return options | decided(attempt.version)


def decided(version: Version) -> dict[str, object]:
    """The loop's own evaluator's options that say what was decided before, and which fit left best.ckpt."""
    project = version.project
    if not takes_protocol(project):
        return {}
    folder, fit = frozen_folder(project), fit_of_best(version)
    protocol: dict[str, object] = {"protocol": str(project.workspace.tree.path(folder))} if folder else {}
    return protocol | ({"fit": fit} if fit > 1 else {})


def _runs(
    attempt: Attempt, again: Sequence[Repeat], python: str, seed: int, *, accepting: bool
) -> list[dict[str, object]]:
    """The score's own run; an evaluator on trial is run a second time, with weights in disorder, and for each repeat.

    The score's run is the first: if that fails, the others are spared. The loop's own disorders the weights itself, and
    its second run lets the script begin with other random numbers: what it doesn't seed is another one there.
    """
    best = _artifact(attempt.version, "best.ckpt")
    runs = [_run(attempt, OUT, best)]
    if accepting:
        runs.append(_run(attempt, AGAIN, best))
        if takes_protocol(attempt.project):
            runs[-1] |= {"again": True, "arguments": {"script-seed": seed ^ 1}}
        else:
            runs.append({**_run(attempt, DISORDERED, str(attempt.path / SPOILT)), "disordered": True})
        runs += [lay_out(attempt, repeat, python) for repeat in again]
    return runs


def _artifact(version: Version, name: str) -> str:
    return str(version.project.workspace.tree.path(f"{version.artifacts}/{name}"))


def _limit(rules: Rules, repeats: int) -> float | None:
    """Seconds for the whole job; each repeat trains as well, and has a training's time on top."""
    train, evaluate = rules.file.loop_config.max_train_minutes, rules.file.loop_config.max_eval_minutes
    if evaluate is None or (repeats and train is None):
        return None
    return 60 * (evaluate + repeats * (evaluate + (train or 0)))


def _run(attempt: Attempt, name: str, checkpoint: str) -> dict[str, object]:
    folder = f"{attempt.relative}/{name}"
    attempt.project.workspace.tree.make_folder(folder)
    return {"out": str(attempt.path / name), "checkpoint": checkpoint, "disordered": False}


def clean_up(attempt: Attempt) -> None:
    """Removes what is of no more use once a score is published or refused."""
    tree = attempt.project.workspace.tree
    repeated = [name for name in tree.names(attempt.relative) if name.startswith(("repeat-", "out-repeat-"))]
    for leftover in (*SCRATCH, *repeated):
        tree.remove(f"{attempt.relative}/{leftover}")


def trial(attempt: Attempt) -> Trial:
    """The runs of an acceptance, as the child recorded them. Raises `EvaluationError` if that is gone or damaged."""
    where = f"{attempt.relative}/{RUNS}"
    try:
        codes = _CODES.validate_json(attempt.project.workspace.tree.read(where))
    except (FileNotFoundError, ValidationError) as error:
        raise EvaluationError("is missing or damaged", where=where, hint="call run_eval again") from error
    return Trial(
        first=f"{attempt.relative}/{OUT}",
        again=f"{attempt.relative}/{AGAIN}",
        disordered=f"{attempt.relative}/{DISORDERED}",
        codes=codes,
        inside=takes_protocol(attempt.project),
    )
