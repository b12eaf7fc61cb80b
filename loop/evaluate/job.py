"""An evaluation as a job: the staged version, the child's plan, and where its runs leave what they found."""

import json
import shutil
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from ..errors import EvaluationError
from ..jobs.job import Job
from ..jobs.placing import confined
from ..project.attempts import Attempt
from ..project.project import Project
from ..project.receipts import EvalPlan, LoopFile
from ..rules.reading import Rules
from ..store.paths import EVAL_SCRIPT, version_id
from ..train.next_jobs import ISOLATED, eval_imports, usable
from .acceptance import Trial
from .repeats import lay_out, repeats
from .user_python.project_copy import make_stage

# Names that tell an evaluator nothing about which of its runs is the trial with disordered weights.
OUT, AGAIN, DISORDERED = "out-1", "out-2", "out-3"
STAGE, SAID = "stage", "said"
CHECKPOINTS, RUNS, SPOILT = f"{SAID}/checkpoints.json", f"{SAID}/runs.json", f"{SAID}/best.ckpt"
SCRATCH = (STAGE, OUT, AGAIN, DISORDERED, SPOILT)
_CODES = TypeAdapter(tuple[int | None, ...])
_HERE = Path(__file__).resolve().parent / "user_python"


def prepare(project: Project, rules: Rules, loop: LoopFile, attempt: Attempt, plan: EvalPlan) -> Job:
    """Lays the attempt out and returns its job. No code of the project runs in its place."""
    workspace, cur = project.workspace, attempt.version.number
    stage = attempt.path / STAGE
    workspace.tree.make_folder(f"{attempt.relative}/{SAID}")
    make_stage(workspace.root, workspace.tree.path(workspace.snapshot(cur)), stage)
    artifacts = workspace.tree.path(workspace.artifacts(cur))
    best = str(artifacts / "best.ckpt")
    runs: list[dict[str, object]] = [_run(attempt, OUT, best)]
    again = repeats(rules) if plan.accepting else ()
    python = project.interpreter(rules)
    if plan.accepting:
        spoilt = str(attempt.path / SPOILT)
        runs += [_run(attempt, AGAIN, best), {**_run(attempt, DISORDERED, spoilt), "disordered": True}]
        runs += [lay_out(project, attempt, repeat, python) for repeat in again]
    # The child's code is copied beside the attempt: the user's interpreter may lack this package, or have another one.
    for name in ("run_evaluator.py", "read_checkpoint.py"):
        shutil.copyfile(_HERE / name, attempt.path / name)
    imports = eval_imports(project, cur)
    content = {
        "evaluator": str(workspace.root / EVAL_SCRIPT),
        "arguments": {
            "version": version_id(cur),
            "project": str(workspace.root),
            "source": str(stage),
            "samples": rules.file.eval_config.infer_samples,
            "seed": rules.file.seed,
            "dataset-id": loop.dataset_id,
        },
        "imports": imports,
        "runs": runs,
        "checkpoints": {"best.ckpt": best, "last.ckpt": str(artifacts / "last.ckpt")},
        "checkpoints_out": str(attempt.path / CHECKPOINTS),
        "runs_out": str(attempt.path / RUNS),
    }
    where = f"{attempt.relative}/eval.json"
    workspace.tree.write(where, json.dumps(content, ensure_ascii=False, indent=1).encode())
    job = Job(
        kind="eval",
        version_id=version_id(cur),
        attempt=attempt.number,
        # -I: neither the project's json.py nor its sitecustomize stands in for a module that scores.
        argv=(python, *ISOLATED, str(attempt.path / "run_evaluator.py"), str(workspace.tree.path(where))),
        cwd=str(stage),
        env=project.environment(rules),
        timeout_seconds=_limit(rules, len(again)),
        imports=usable(rules, imports),
    )
    outs = (OUT, AGAIN, DISORDERED) if plan.accepting else (OUT,)
    outs += tuple(name for repeat in again for name in (repeat.stage, repeat.out))
    writable = tuple(f"{attempt.relative}/{name}" for name in (STAGE, SAID, *outs))
    return confined(job, attempt.path, workspace, rules.file.execution_config, writable)


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
    )
