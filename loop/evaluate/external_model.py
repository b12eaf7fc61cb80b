"""The evaluation of one external model: its attempt, its job, and its output, checked as a version's is (R4)."""

from dataclasses import dataclass, replace
from typing import cast

from ..jobs.job import Job
from ..jobs.placing import Needs, confined
from ..jobs.warm.next_jobs import ISOLATED
from ..project.attempts import Attempt
from ..project.integrity import score_bytes
from ..project.notices import Notice
from ..project.receipts import EvalPlan, EvalReceipt, LoopFile
from ..rules.reading import Rules
from ..store.paths import ARTIFACTS, EVAL_SCRIPT, EXTERNAL, STATE
from ..store.records import load, save
from .checks.output import check_output, read_strict
from .evaluation_job import decided, scored
from .evaluator_parts.project_copy import make_stage
from .publication import copy_output

#: How long one may take if loop_config.max_eval_minutes doesn't say: a report must not wait for ever.
MINUTES = 30.0
_STAGE, _OUT = "stage", "out"


class ExternalPlan(EvalPlan):
    """`checkpoint_sha256` is the hash of the model's folder; a failure counts for the report after `last_version`."""

    last_version: int


@dataclass(frozen=True)
class ExternalAttempt(Attempt):
    """One scoring of the external model `name`; `version` is the one whose validation set it is scored on."""

    name: str = ""

    @property
    def relative(self) -> str:
        return f"{attempts_folder(self.name)}/eval-{self.number:03d}"

    @property
    def external_plan(self) -> ExternalPlan | None:
        return load(self.project.workspace.tree, f"{self.relative}/plan.json", ExternalPlan)


def artifacts(name: str) -> str:
    """The folder of what is published of the external model `name`."""
    return f"{ARTIFACTS}/external/{name}"


def attempts_folder(name: str) -> str:
    """The folder of its evaluations."""
    return f"{STATE}/attempts/external-{name}"


def receipt_file(name: str) -> str:
    """The receipt of its newest score."""
    return f"{STATE}/receipts/external/{name}.json"


def _samples(name: str) -> str:
    return f"{STATE}/scores/external-{name}/samples.jsonl"


def prepare(attempt: ExternalAttempt, rules: Rules, loop: LoopFile) -> Job:
    """Lays the attempt out and returns its job: the evaluator itself, once, which starts the model as its child."""
    project, version, stage = attempt.project, attempt.version, attempt.path / _STAGE
    workspace = project.workspace
    workspace.tree.make_folder(f"{attempt.relative}/{_OUT}")
    make_stage(workspace.root, workspace.tree.path(version.snapshot), stage)
    options = {
        "version": version.id,
        "project": workspace.root,
        "source": stage,
        "checkpoint": workspace.tree.path(f"{version.artifacts}/best.ckpt"),
        "out": attempt.path / _OUT,
        "samples": rules.file.eval_config.infer_samples,
        "seed": rules.file.seed,
        "dataset-id": loop.dataset_id,
        "external": workspace.root / EXTERNAL / attempt.name,
        **decided(version),
    }
    python, evaluator = project.interpreter(rules), str(workspace.root / EVAL_SCRIPT)
    job = Job(
        kind="eval",
        version_id=version.id,
        attempt=attempt.number,
        argv=(python, *ISOLATED, evaluator, *(f"--{key}={value}" for key, value in options.items())),
        cwd=str(stage),
        env=project.environment(rules),
        timeout_seconds=60 * minutes(rules),
    )
    writable = tuple(f"{attempt.relative}/{name}" for name in (_STAGE, _OUT))
    needs = Needs(loop.dataset_id, writable, (*scored(attempt), f"{EXTERNAL}/{attempt.name}"))
    return confined(job, attempt.path, workspace, rules.file.execution_config, needs)


def minutes(rules: Rules) -> float:
    """The time limit of one model's evaluation."""
    return rules.file.loop_config.max_eval_minutes or MINUTES


def clean_up(attempt: ExternalAttempt) -> None:
    """Removes the copy of the project and the unpublished output."""
    for leftover in (_STAGE, _OUT):
        attempt.project.workspace.tree.remove(f"{attempt.relative}/{leftover}")


def publish(attempt: ExternalAttempt, rules: Rules, loop: LoopFile, plan: ExternalPlan) -> EvalReceipt:
    """Checks the output as a version's, and copies it into place; the receipt comes last.

    Raises `EvaluationError`, `UnsafePath`.
    """
    tree, out, name = attempt.project.workspace.tree, f"{attempt.relative}/{_OUT}", attempt.name
    evaluated = check_output(
        tree,
        out,
        dataset_id=loop.dataset_id,
        val_samples=loop.val_samples,
        # Where the loss is more than a formula of answers and targets, only a version of the loop has one.
        wanted=tuple(name for name in rules.metric_names if name != "loss"),
        primary=rules.file.eval_config.primary_metric,
        most=rules.file.eval_config.infer_samples,
    )
    evaluated = replace(evaluated, warnings=(*evaluated.warnings, *_not_hidden(attempt)))
    tree.remove(artifacts(name))
    receipt = copy_output(attempt, plan, evaluated, out, _samples(name), artifacts(name))
    tree.write(f"{artifacts(name)}/eval_score.json", score_bytes(receipt, loop.dataset_id))
    save(tree, receipt_file(name), receipt)
    return receipt


def _not_hidden(attempt: ExternalAttempt) -> tuple[Notice, ...]:
    """A warning where the evaluator could not keep the data set from the model, or did not say that it could."""
    where = f"{attempt.relative}/{_OUT}/external.json"
    tree = attempt.project.workspace.tree
    content = read_strict(tree, where) if tree.is_file(where) else None
    if not isinstance(content, dict):
        return (Notice.of("own_evaluator"),)
    reason = cast("dict[str, object]", content).get("not_hidden")
    return () if reason is None else (Notice.of("not_hidden", reason=str(reason)[:200]),)
