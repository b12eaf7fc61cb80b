"""The evaluation of one external model as a job: laid out, and its output checked as a version's is (R4)."""

import hashlib
from dataclasses import dataclass
from typing import cast

from ..jobs.job import Job
from ..jobs.placing import confined
from ..project.attempts import Attempt
from ..project.integrity import score_bytes
from ..project.notices import Notice
from ..project.project import Project
from ..project.receipts import EvalPlan, EvalReceipt, LoopFile
from ..rules.reading import Rules
from ..store import journal
from ..store.paths import ARTIFACTS, EVAL_SCRIPT, EXTERNAL, STATE, version_id
from ..store.records import load, save
from .output import check_output, parse_strict
from .user_python.project_copy import make_stage

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
    return f"{ARTIFACTS}/external/{name}"


def attempts_folder(name: str) -> str:
    return f"{STATE}/attempts/external-{name}"


def receipt_file(name: str) -> str:
    return f"{STATE}/receipts/external/{name}.json"


def _samples(name: str) -> str:
    return f"{STATE}/scores/external-{name}/samples.jsonl"


def prepare(project: Project, rules: Rules, loop: LoopFile, attempt: ExternalAttempt) -> Job:
    workspace, cur, stage = project.workspace, attempt.version.number, attempt.path / _STAGE
    workspace.tree.make_folder(f"{attempt.relative}/{_OUT}")
    make_stage(workspace.root, workspace.tree.path(workspace.snapshot(cur)), stage)
    options = {
        "version": version_id(cur),
        "project": workspace.root,
        "source": stage,
        "checkpoint": workspace.tree.path(f"{workspace.artifacts(cur)}/best.ckpt"),
        "out": attempt.path / _OUT,
        "samples": rules.file.eval_config.infer_samples,
        "seed": rules.file.seed,
        "dataset-id": loop.dataset_id,
        "external": workspace.root / EXTERNAL / attempt.name,
    }
    evaluator = str(workspace.root / EVAL_SCRIPT)
    job = Job(
        kind="eval",
        version_id=version_id(cur),
        attempt=attempt.number,
        argv=(
            project.interpreter(rules),
            "-I",
            "-B",
            evaluator,
            *(f"--{key}={value}" for key, value in options.items()),
        ),
        cwd=str(stage),
        env=project.environment(rules),
        timeout_seconds=60 * minutes(rules),
    )
    writable = tuple(f"{attempt.relative}/{name}" for name in (_STAGE, _OUT))
    return confined(job, attempt.path, project.workspace, rules.file.execution_config, writable)


def minutes(rules: Rules) -> float:
    """The time limit."""
    return rules.file.loop_config.max_eval_minutes or MINUTES


def clean_up(attempt: ExternalAttempt) -> None:
    for leftover in (_STAGE, _OUT):
        attempt.project.workspace.tree.remove(f"{attempt.relative}/{leftover}")


def publish(
    project: Project, rules: Rules, loop: LoopFile, attempt: ExternalAttempt, plan: ExternalPlan
) -> EvalReceipt:
    """Checks the output as a version's, and copies it into place; the receipt comes last."""
    tree, out, name = project.workspace.tree, f"{attempt.relative}/{_OUT}", attempt.name
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
    score = evaluated.score.model_copy(update={"created_at": journal.now()})
    samples = tree.read(f"{out}/samples.jsonl", limit=4 << 30)
    tree.write(_samples(name), samples)
    tree.remove(artifacts(name))
    if evaluated.infer_samples:
        tree.copy(f"{out}/infer_samples", f"{artifacts(name)}/infer_samples")
    receipt = EvalReceipt(
        attempt=attempt.number,
        fingerprint=plan.fingerprint,
        checkpoint_sha256=plan.checkpoint_sha256,
        samples_sha256=hashlib.sha256(samples).hexdigest(),
        num_samples=score.num_samples,
        metrics=tuple(score.metrics),
        latency_ms=score.latency_ms,
        created_at=score.created_at,
        sandbox=plan.sandbox,
        side_by_side=attempt.side_by_side,
        warnings=(*evaluated.warnings, *_not_hidden(attempt)),
    )
    tree.write(f"{artifacts(name)}/eval_score.json", score_bytes(receipt, loop.dataset_id))
    save(tree, receipt_file(name), receipt)
    return receipt


def _not_hidden(attempt: ExternalAttempt) -> tuple[Notice, ...]:
    """Says it where the evaluator could not keep the data set from the model, or did not say that it could."""
    where = f"{attempt.relative}/{_OUT}/external.json"
    tree = attempt.project.workspace.tree
    content = parse_strict(tree.read(where), where) if tree.is_file(where) else None
    if not isinstance(content, dict):
        return (Notice.of("own_evaluator"),)
    reason = cast("dict[str, object]", content).get("not_hidden")
    return () if reason is None else (Notice.of("not_hidden", reason=str(reason)[:200]),)
