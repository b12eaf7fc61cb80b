"""Which evaluation output counts, and how it is published: checked, the evaluator accepted, then copied whole."""

import hashlib
from dataclasses import replace

from ..errors import EvaluationError
from ..jobs.job import JobStatus
from ..project.attempts import Attempt
from ..project.evaluation_protocol import FROZEN, MAX_FROZEN_BYTES, RECEIPT, dataset_digest, evaluator_hashes, packages
from ..project.integrity import score_bytes
from ..project.notices import Notice
from ..project.receipts import Acceptance, EvalPlan, EvalReceipt, LoopFile, Verdict
from ..project.version import Version
from ..rules.reading import Rules
from ..store import journal
from ..store.paths import version_id
from ..store.records import save
from ..train.artifacts import checkpoint_hash
from . import hardest
from .checks.checkpoint_clashes import checkpoint_warnings, weights
from .checks.evaluator_trial import judge, require_same_samples, training_data_warnings
from .checks.output import MAX_SAMPLE_BYTES, Evaluated, check_output, other_targets
from .checks.own_word import differences, notices, require_own_word, said_by, told
from .evaluation_job import AGAIN, OUT, clean_up, trial
from .evaluator_files import takes_protocol
from .seed_repeats import collect, repeats


def checked(attempt: Attempt, rules: Rules, loop: LoopFile, plan: EvalPlan) -> Evaluated:
    """The output, once it is whole and its evaluator is accepted; an evaluator's first output accepts it.

    Raises `EvaluationError` naming what is wrong with the output, the checkpoint or the evaluator, `UnsafePath`, and
    `StillReading` where the checkpoint has to be read again.
    """
    version, tree = attempt.version, attempt.project.workspace.tree
    evaluated = check_output(
        tree,
        f"{attempt.relative}/{OUT}",
        dataset_id=loop.dataset_id,
        val_samples=loop.val_samples,
        wanted=rules.metric_names,
        primary=rules.file.eval_config.primary_metric,
        most=rules.file.eval_config.infer_samples,
    )
    if version.gone("best.ckpt") or checkpoint_hash(version, "best.ckpt") != plan.checkpoint_sha256:
        raise EvaluationError("was changed while it was scored", where="best.ckpt", hint="put the trained file back")
    said = said_by(attempt, f"{attempt.relative}/{OUT}")
    other = differences(version, evaluated.score.metrics, said)
    if plan.accepting and said.formulas:
        inputs = said.inputs, said_by(attempt, f"{attempt.relative}/{AGAIN}").inputs
        require_same_samples(tree, trial(attempt), version.script_name, evaluated.score.num_samples, inputs)
        require_own_word(other)
    warnings = (*evaluated.warnings, *checkpoint_warnings(attempt), *_twin(attempt, plan), *_other_targets(attempt))
    warnings += (*notices(said), *told(other))
    if plan.accepting:
        warnings += _accept_evaluator(attempt, rules, loop)
    return replace(evaluated, warnings=warnings, formulas=said.formulas)


def publish(attempt: Attempt, plan: EvalPlan, evaluated: Evaluated, status: JobStatus) -> EvalReceipt:
    """Copies the checked output into place; the receipt comes last, so that a crash in between publishes again."""
    version, tree = attempt.version, attempt.project.workspace.tree
    scores = attempt.project.workspace.sample_scores(version.number)
    receipt = copy_output(attempt, plan, evaluated, f"{attempt.relative}/{OUT}", scores, version.artifacts)
    receipt = receipt.model_copy(update={"start": status.outcome.start if status.outcome else ""})
    tree.write(f"{version.artifacts}/eval_score.json", score_bytes(receipt, evaluated.score.dataset_id))
    version.save(receipt)
    wall = status.outcome.wall_seconds if status.outcome else None
    attempt.save_verdict(Verdict(status="PASS", summary="scored", wall_seconds=wall, at=journal.now()))
    clean_up(attempt)
    version.record("scored", attempt=attempt.number)
    return receipt


def copy_output(
    attempt: Attempt, plan: EvalPlan, evaluated: Evaluated, out: str, scores: str, shown: str
) -> EvalReceipt:
    """Copies samples.jsonl from `out` to the file `scores`, and infer_samples/ into the folder `shown`.

    Returns the receipt to save once eval_score.json is written, too.
    """
    tree = attempt.project.workspace.tree
    samples = tree.read(f"{out}/samples.jsonl", limit=MAX_SAMPLE_BYTES)
    tree.write(scores, samples)
    hardest.keep(tree, out, scores.rpartition("/")[0])
    tree.remove(f"{shown}/infer_samples")
    if evaluated.infer_samples:
        tree.copy(f"{out}/infer_samples", f"{shown}/infer_samples")
    return EvalReceipt(
        attempt=attempt.number,
        fingerprint=plan.fingerprint,
        checkpoint_sha256=plan.checkpoint_sha256,
        weights=weights(attempt, plan),
        samples_sha256=hashlib.sha256(samples).hexdigest(),
        num_samples=evaluated.score.num_samples,
        metrics=tuple(evaluated.score.metrics),
        latency_ms=evaluated.score.latency_ms,
        created_at=journal.now(),
        sandbox=plan.sandbox,
        side_by_side=attempt.side_by_side,
        formulas=evaluated.formulas,
        warnings=(*plan.noticed, *evaluated.warnings),
    )


def _accept_evaluator(attempt: Attempt, rules: Rules, loop: LoopFile) -> tuple[Notice, ...]:
    """Judges the evaluator's trial and records that it is accepted; its warnings. Raises `EvaluationError`."""
    project = attempt.project
    spread, warnings = judge(project.workspace.tree, trial(attempt), rules.file.eval_config.primary_metric)
    warnings += training_data_warnings(project)
    protocol = _keep_decided(attempt)
    accepted = Acceptance(
        files=evaluator_hashes(project),
        dataset_sha256=dataset_digest(project, loop),
        spread=spread,
        warnings=warnings,
        at=journal.now(),
        protocol=protocol,
        packages=packages(project, rules),
    )
    if repeats(rules):
        collect(attempt, rules, f"{attempt.relative}/{OUT}")
    # After everything that may refuse: from here on every score is made by this evaluator.
    save(project.workspace.tree, RECEIPT, accepted)
    journal.record(project.workspace, "evaluator_accepted", files=", ".join(accepted.files))
    return warnings


def _keep_decided(attempt: Attempt) -> str | None:
    """Keeps what the loop's own evaluator decided on the first version; its hash, None for another evaluator."""
    tree, found = attempt.project.workspace.tree, f"{attempt.relative}/{OUT}/{FROZEN.rpartition('/')[2]}"
    if not takes_protocol(attempt.project) or not tree.is_file(found):
        return None
    data = tree.read(found, limit=MAX_FROZEN_BYTES)
    tree.write(FROZEN, data)
    return hashlib.sha256(data).hexdigest()


def _twin(attempt: Attempt, plan: EvalPlan) -> tuple[Notice, ...]:
    """A warning where an earlier version has the very same weights."""
    project, ours = attempt.project, weights(attempt, plan)
    for number in project.versions():
        receipt = Version(project, number).receipt(EvalReceipt) if number < attempt.version.number else None
        if receipt is not None and receipt.weights == ours:
            return (Notice.of("same_weights", version=version_id(number)),)
    return ()


def _other_targets(attempt: Attempt) -> tuple[Notice, ...]:
    """A warning where the targets differ from the first scored version's: a version's own code makes them."""
    project, workspace = attempt.project, attempt.project.workspace
    earlier = (number for number in project.versions() if number < attempt.version.number)
    first = next((number for number in earlier if Version(project, number).receipt(EvalReceipt)), None)
    if first is None:
        return ()
    samples = workspace.sample_scores(first)
    differing, shared, _ = other_targets(workspace.tree, f"{attempt.relative}/{OUT}/samples.jsonl", samples)
    warning = Notice.of("other_targets", differing=differing, shared=shared, version=version_id(first))
    return (warning,) if differing else ()
