"""The job of one exploration: what the snippet has at hand, what it may not see, and its limits.

user_python/run_snippet.py carries it out, in the user's interpreter.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path

from ...errors import LoopError
from ...evaluate.checks.own_word import fit_of_best
from ...evaluate.evaluator_files import takes_protocol, write_parts
from ...evaluate.evaluator_parts.project_copy import make_stage
from ...jobs.job import Job
from ...jobs.placing import Needs, confined
from ...jobs.warm.next_jobs import ISOLATED
from ...project.attempts import Attempt
from ...project.dataset import held_out
from ...project.receipts import EvalReceipt, LoopFile
from ...rules.reading import Rules
from ...store.paths import EVALUATOR_PARTS

SNIPPET, OUT = "snippet.py", "out"
_STAGE = "stage"
_RUNNER = Path(__file__).resolve().parent / "user_python" / "run_snippet.py"
_LOG_BYTES = 64 * 1024
_DISK_BYTES = 256 * 1024 * 1024


def prepare(attempt: Attempt, rules: Rules, loop: LoopFile, code: str) -> Job:
    """Lays the attempt out and returns its job. Raises `LoopError` where nothing would keep the snippet in."""
    project, version = attempt.project, attempt.version
    workspace, tree = project.workspace, project.workspace.tree
    python = project.interpreter(rules)
    tree.write(f"{attempt.relative}/{SNIPPET}", code.encode())
    tree.make_folder(f"{attempt.relative}/{OUT}")
    make_stage(workspace.root, tree.path(version.snapshot), attempt.path / _STAGE)
    write_parts(tree, attempt.relative)
    shutil.copyfile(_RUNNER, attempt.path / _RUNNER.name)
    receipt, samples = version.receipt(EvalReceipt), workspace.sample_scores(version.number)
    own = (attempt.relative, version.artifacts, *([samples] if receipt else ()))
    writable = tuple(f"{attempt.relative}/{name}" for name in (_STAGE, OUT))
    data_set = tree.path(workspace.dataset(loop.dataset_id))
    plan = {
        "parts": str(attempt.path),
        "snippet": str(attempt.path / SNIPPET),
        "out": str(attempt.path / OUT),
        "samples": str(tree.path(samples)) if receipt else None,
        "scores": {metric.name: metric.value for metric in receipt.metrics} if receipt else {},
        # What the loop's own evaluator can read it can read as well; another's knows what nobody else does.
        "script": str(attempt.path / _STAGE / version.script_name) if takes_protocol(project) else None,
        "checkpoint": str(tree.path(f"{version.artifacts}/best.ckpt")),
        "fit": fit_of_best(version),
        "seed": rules.file.seed,
        "hidden": [str(path) for path in held_out(data_set)],
        "kept": [str(tree.path(name)) for name in own],
        "writable": [str(tree.path(name)) for name in writable],
    }
    where = f"{attempt.relative}/exploration.json"
    tree.write(where, json.dumps(plan, ensure_ascii=False, indent=1).encode())
    job = Job(
        kind="explore",
        version_id=version.id,
        attempt=attempt.number,
        argv=(python, *ISOLATED, str(attempt.path / _RUNNER.name), str(tree.path(where))),
        cwd=str(attempt.path / _STAGE),
        env=project.environment(rules),
        timeout_seconds=60 * rules.file.loop_config.max_explore_minutes,
        grace_seconds=1,
        log_limit_bytes=_LOG_BYTES,
    )
    job = confined(job, attempt.path, workspace, rules.file.execution_config, Needs(loop.dataset_id, writable, own))
    if not job.wrapper and job.landlock is None:
        raise LoopError(
            "nothing would keep the snippet from changing the project: no sandbox holds here",
            where="execution_config.sandbox",
            hint="go on by the brief and the resources; the user may install bubblewrap, or set the sandbox to auto or"
            " require",
        )
    return replace(job, max_file_bytes=_DISK_BYTES, max_watched_bytes=_DISK_BYTES)


def clean_up(attempt: Attempt) -> None:
    """Removes the copy of the project and the machinery; snippet, log and what it left stay."""
    for name in (_STAGE, EVALUATOR_PARTS, _RUNNER.name):
        attempt.project.workspace.tree.remove(f"{attempt.relative}/{name}")
