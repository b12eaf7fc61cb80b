"""The job of a rehearsal: two copies of the project to run in, the limits, and the plan.

user_python/run_rehearsal.py carries the plan out, in the user's interpreter.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from ..evaluate.evaluator_files import write_parts
from ..evaluate.evaluator_parts.project_copy import make_stage
from ..jobs.job import DEFAULT_ROOT_VARIABLE, Job
from ..jobs.placing import Needs, command, confined
from ..jobs.warm.next_jobs import ISOLATED
from ..project.attempts import Attempt
from ..project.receipts import LoopFile
from ..record import injection
from ..rules.reading import Rules
from ..store.paths import EVAL_SCRIPT, EVALUATOR_PARTS
from ..train import training

SECONDS = 100.0
"""For all of it. The job's own limit is a little later, for a child that can't be ended."""
TRAIN_SECONDS = 75.0
_LAST_SECONDS, _GRACE_SECONDS = 110.0, 5.0
LIMITS = {
    "train_batches": 20,
    "train_seconds": 15,
    "validation_seconds": 15,
    "walk_seconds": 8,
    "steps": 200,
    "step_seconds": 20,
}
STAGE, AGAIN, SCORED = "stage", "stage-again", "stage-scored"
FACTS, AGAIN_FACTS, OUT, SAID = "facts", "facts-again", "out", "said"
SAID_FILE, EVALUATOR_LOG = f"{SAID}/said.json", f"{SAID}/evaluator.txt"
SCORED_CHECKPOINT = f"{SAID}/best.ckpt"
_WRITABLE = (SCORED, FACTS, AGAIN_FACTS, OUT, SAID)
_RUNNER = Path(__file__).resolve().parent / "user_python" / "run_rehearsal.py"


def prepare(attempt: Attempt, rules: Rules, loop: LoopFile, evaluator: str | None) -> Job:
    """Lays the attempt out and returns its job. `evaluator` is the text of a 03_eval.py; None where there is none."""
    project, version = attempt.project, attempt.version
    workspace, config, tree = project.workspace, rules.file.execution_config, project.workspace.tree
    python, env = project.interpreter(rules), project.environment(rules)
    for name in (FACTS, AGAIN_FACTS, OUT, SAID):
        tree.make_folder(f"{attempt.relative}/{name}")
    for stage in (STAGE, AGAIN, SCORED):
        make_stage(workspace.root, tree.path(version.snapshot), attempt.path / stage)
    shutil.copyfile(_RUNNER, attempt.path / _RUNNER.name)
    place = f"{attempt.relative}/{EVAL_SCRIPT}"
    if evaluator is not None:
        tree.write(place, evaluator.encode())
        write_parts(tree, attempt.relative)
    # Its processes are the launcher's, where one machine is enough; srun would ask for the whole allocation.
    script = command(config, python, version.script_name) if config.launched_by == "torchrun" else None
    argv = script or (python, version.script_name)
    plan = {
        "seconds": SECONDS,
        "train_seconds": min(TRAIN_SECONDS, 60 * (rules.file.loop_config.max_train_minutes or TRAIN_SECONDS)),
        "train": _run(attempt, argv, env, STAGE, FACTS, LIMITS),
        "again": {
            **_run(attempt, argv, env, AGAIN, AGAIN_FACTS, {**LIMITS, "train_batches": 1, "ends_with_fit": True}),
            "log": str(attempt.path / SAID / "again.txt"),
            "install": None if script else injection.late_install(attempt.path / AGAIN_FACTS),
        },
        "evaluator": str(tree.path(place)) if evaluator is not None else None,
        "evaluator_log": str(attempt.path / EVALUATOR_LOG),
        "arguments": {
            "version": version.id,
            "project": str(attempt.path / STAGE),
            # Not where it trained: a logger that begins anew deletes what was logged there.
            "source": str(attempt.path / SCORED),
            "checkpoint": str(attempt.path / SCORED_CHECKPOINT),
            "out": str(attempt.path / OUT),
            "samples": 2,
            "seed": rules.file.seed,
            "dataset-id": loop.dataset_id,
        },
        "imports": training.next_jobs(version, rules).eval_imports(),
        "artifacts": str(attempt.path / STAGE / version.artifacts),
        "facts": str(attempt.path / FACTS),
        "said": str(attempt.path / SAID_FILE),
    }
    where = f"{attempt.relative}/rehearsal.json"
    tree.write(where, json.dumps(plan, ensure_ascii=False, indent=1).encode())
    job = Job(
        kind="rehearse",
        version_id=version.id,
        attempt=attempt.number,
        argv=(python, *ISOLATED, str(attempt.path / _RUNNER.name), str(tree.path(where))),
        cwd=str(attempt.path / STAGE),
        env=env,
        timeout_seconds=_LAST_SECONDS,
        grace_seconds=_GRACE_SECONDS,
    )
    return confined(job, attempt.path, workspace, config, sandbox_needs(attempt, loop))


def sandbox_needs(attempt: Attempt, loop: LoopFile) -> Needs:
    """Of the copies that it trains in only what a training may write, so that a write elsewhere fails here already."""
    artifacts = attempt.version.artifacts
    writable = (f"{STAGE}/{artifacts}", f"{AGAIN}/{artifacts}", *_WRITABLE)
    return Needs(loop.dataset_id, tuple(f"{attempt.relative}/{name}" for name in writable), (attempt.relative,))


def _run(
    attempt: Attempt, argv: tuple[str, ...], env: dict[str, str], stage: str, facts: str, limits: Mapping[str, int]
) -> dict[str, object]:
    variables = injection.variables(env, attempt.path / facts) | {injection.REHEARSAL: json.dumps(limits)}
    root = str(attempt.path / stage / attempt.version.artifacts)
    variables[DEFAULT_ROOT_VARIABLE] = env.get(DEFAULT_ROOT_VARIABLE, root)
    return {"argv": argv, "cwd": str(attempt.path / stage), "variables": variables}


def clean_up(attempt: Attempt) -> None:
    """Removes the copies of the project and what the evaluator wrote; log and facts stay."""
    for name in (STAGE, AGAIN, SCORED, OUT, SCORED_CHECKPOINT, EVAL_SCRIPT, EVALUATOR_PARTS):
        attempt.project.workspace.tree.remove(f"{attempt.relative}/{name}")
