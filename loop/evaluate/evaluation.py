"""An evaluation: run apart from the project, checked, then published whole (E1-E4, R2)."""

import hashlib
from dataclasses import dataclass, replace
from typing import Literal

from ..errors import EvaluationError, GuardError, OutOfOrder, UnsafePath
from ..jobs.job import Job, JobStatus
from ..jobs.logs import tail
from ..jobs.placing import level
from ..project.attempts import Attempt, failure_of
from ..project.disk import require_room
from ..project.evaluation_protocol import RECEIPT, acceptance, dataset_digest, evaluator_hashes, fingerprint
from ..project.failures import Failure, process_failure
from ..project.integrity import require_intact, score_bytes
from ..project.project import Project
from ..project.receipts import Acceptance, EvalPlan, EvalReceipt, LoopFile, TrainReceipt, Verdict
from ..project.state import derive, require
from ..project.version import Version
from ..rules.reading import Rules
from ..script.fixed import in_words
from ..store import journal
from ..store.digest import sha256
from ..store.paths import version_id
from ..store.records import save
from ..train import training
from ..train.next_jobs import expect_after
from ..train.progress import Progress, progress_of
from .acceptance import judge, training_data_warnings
from .checkpoint_clashes import checkpoint_clashes, unreadable
from .job import OUT, clean_up, prepare, trial
from .output import Evaluated, check_output, other_targets
from .repeats import collect, repeats

_LOG_TAIL_BYTES = 16_384


@dataclass(frozen=True)
class EvalStatus:
    state: Literal["running", "done", "failed"]
    attempt: int
    progress: Progress | None = None
    receipt: EvalReceipt | None = None
    verdict: Verdict | None = None
    already_done: bool = False


def evaluate(project: Project, cur: int, *, attach: int | None = None) -> EvalStatus:
    """Starts the version's first evaluation, or attaches to the one that runs, or publishes what it found.

    Returns at once; needs a 03_eval.py. `attach` is as in `train`. Later ones are the report's (report/rescoring.py).
    Raises `OutOfOrder`, `EvaluationError`, `GuardError` (weights changed after training), `RunError`.
    """
    rules = project.rules()
    with project.mutation():
        state = derive(project, rules)
        receipt = Version(project, cur).receipt(EvalReceipt) if 1 <= cur <= state.cur else None
        if receipt:
            return EvalStatus("done", receipt.attempt, receipt=receipt, already_done=True)
        if attach is not None and (failure := failure_of(Version(project, cur).attempt("eval", attach))):
            return EvalStatus("failed", attach, verdict=failure, already_done=True)
        loop = require(state, "run_eval", cur, "evaluate", "evaluating")
        require_intact(project, rules, loop)
        attempt = open_attempt(project, cur)
        if attempt is None:
            attempt, job = start(project, rules, loop, cur)
            expect_after(project, rules, cur, job)
        status = attempt.status()
        if status.state == "running":
            return EvalStatus("running", attempt.number, progress=progress_of(project, attempt, status))
        return settle(project, rules, loop, attempt, status)


def open_attempt(project: Project, cur: int) -> Attempt | None:
    """The version's evaluation that runs or waits to be collected."""
    tried = Version(project, cur).attempts("eval")
    return tried[-1] if tried and tried[-1].verdict is None else None


def start(project: Project, rules: Rules, loop: LoopFile, cur: int, *, side_by_side: int = 1) -> tuple[Attempt, Job]:
    """Submits an evaluation, as one of so many on this machine; call it with the lock held, and none open.

    Raises as `evaluate` does.
    """
    trained = Version(project, cur).receipt(TrainReceipt)
    if trained is None:
        raise OutOfOrder(f"version {cur} is not trained", hint="call next_step")
    config = rules.file.execution_config
    sandbox = level(config)
    require_room(project.workspace, config)
    plan = EvalPlan(
        fingerprint=fingerprint(project, rules, loop),
        checkpoint_sha256=require_weights(project, cur, trained),
        accepting=acceptance(project) is None,
        sandbox=sandbox.name,
    )
    if Version(project, cur).receipt(EvalReceipt) is None:
        require_weights(project, cur, trained, "last.ckpt")  # it says how many epochs there were
    with Version(project, cur).new_attempt("eval") as attempt:
        attempt.save_plan(plan)
        attempt.save_company(side_by_side)
        job = prepare(project, rules, loop, attempt, plan)
        attempt.submit(job)
    journal.record(project.workspace, "eval_started", version_id(cur), attempt=attempt.number)
    return attempt, job


def require_weights(project: Project, cur: int, trained: TrainReceipt, name: str = "best.ckpt") -> str:
    """The checkpoint's hash. Raises `EvaluationError` if it is gone, `GuardError` if it is not what was trained."""
    where = f"{project.workspace.artifacts(cur)}/{name}"
    try:
        found = sha256(project.workspace.tree, where)
    except FileNotFoundError as error:
        hint = "put the trained file back; a copy may be in the report or a backup"
        raise EvaluationError("is missing, though training left it", where=where, hint=hint) from error
    if found != trained.artifacts[name]:
        hint = "put the trained file back; weights that the loop did not train are not scored"
        raise GuardError("was changed after training", where=where, hint=hint)
    return found


def settle(project: Project, rules: Rules, loop: LoopFile, attempt: Attempt, status: JobStatus) -> EvalStatus:
    """Publishes what an evaluation that has ended found, or says why it failed; call it with the lock held."""
    status = attempt.swept(status)
    wall = status.outcome.wall_seconds if status.outcome else None
    plan = attempt.eval_plan
    limit = rules.file.loop_config.max_eval_minutes
    failure = process_failure(
        status.outcome,
        tail(attempt.log, _LOG_TAIL_BYTES),
        limit_minutes=limit,
        requested=attempt.cancel_requested,
        detail=status.detail,
    )
    if plan is None:
        failure = failure or Failure("lost", "it was never started: the server ended in between", "")
    if failure is None and plan is not None:
        try:
            if found := checkpoint_clashes(attempt, rules):
                said = in_words(found)
                return _revoke(project, attempt, Failure("rule violation", f"its checkpoint says: {said}", ""), wall)
            evaluated = _checked(project, rules, loop, attempt, plan)
            return EvalStatus("done", attempt.number, receipt=_publish(attempt, plan, evaluated, status))
        except (EvaluationError, UnsafePath) as error:  # a link or a FIFO where a file belongs
            failure = Failure("invalid score", f"{error.where}: {error.what}", "")
    assert failure is not None, "an attempt without a plan has failed"
    return _fail(project, attempt, failure, wall)


def _fail(project: Project, attempt: Attempt, failure: Failure, wall: float | None) -> EvalStatus:
    verdict = failure.verdict(wall)
    attempt.save_verdict(verdict)
    clean_up(attempt)
    journal.record(project.workspace, "eval_failed", attempt.version.id, attempt=attempt.number, kind=failure.kind)
    return EvalStatus("failed", attempt.number, verdict=verdict)


def _revoke(project: Project, attempt: Attempt, failure: Failure, wall: float | None) -> EvalStatus:
    """What only the checkpoint could tell: the training broke a rule, so it counts as failed after all (T1, T4)."""
    status = _fail(project, attempt, failure, wall)
    training.revoke(project, attempt.version.number, failure)
    return status


def _checked(project: Project, rules: Rules, loop: LoopFile, attempt: Attempt, plan: EvalPlan) -> Evaluated:
    """The output, once it is whole and the evaluator is accepted."""
    tree, primary = project.workspace.tree, rules.file.eval_config.primary_metric
    evaluated = check_output(
        tree,
        f"{attempt.relative}/{OUT}",
        dataset_id=loop.dataset_id,
        val_samples=loop.val_samples,
        wanted=rules.metric_names,
        primary=primary,
        most=rules.file.eval_config.infer_samples,
    )
    if sha256(tree, f"{attempt.version.artifacts}/best.ckpt") != plan.checkpoint_sha256:
        raise EvaluationError("was changed while it was scored", where="best.ckpt", hint="put the trained file back")
    warnings = (*evaluated.warnings, *unreadable(attempt), *_other_targets(project, attempt))
    if plan.accepting:
        spread, found_warnings = judge(tree, trial(attempt), primary)
        found_warnings += training_data_warnings(project)
        accepted = Acceptance(
            files=evaluator_hashes(project),
            dataset_sha256=dataset_digest(project, loop),
            spread=spread,
            warnings=found_warnings,
            at=journal.now(),
        )
        if repeats(rules):
            collect(project, rules, attempt, f"{attempt.relative}/{OUT}")
        save(tree, RECEIPT, accepted)
        journal.record(project.workspace, "evaluator_accepted", files=", ".join(accepted.files))
        warnings = (*warnings, *found_warnings)
    return replace(evaluated, warnings=warnings)


def _other_targets(project: Project, attempt: Attempt) -> tuple[str, ...]:
    """Says it where a version is measured by other targets than the first scored one: its own code makes them."""
    workspace, cur = project.workspace, attempt.version.number
    first = next(
        (one for one in workspace.versions() if one < cur and Version(project, one).receipt(EvalReceipt)), None
    )
    if first is None:
        return ()
    samples = workspace.sample_scores(first)
    differing, shared = other_targets(workspace.tree, f"{attempt.relative}/{OUT}/samples.jsonl", samples)
    told = f"{differing} of {shared} targets are not those of {version_id(first)}: the scores don't compare"
    return (told,) if differing else ()


def _publish(attempt: Attempt, plan: EvalPlan, evaluated: Evaluated, status: JobStatus) -> EvalReceipt:
    """Copies the checked output into place; the receipt comes last, so a crash in between publishes again."""
    project = attempt.project
    workspace, cur = project.workspace, attempt.version.number
    tree, artifacts, out = workspace.tree, workspace.artifacts(cur), f"{attempt.relative}/{OUT}"
    score = evaluated.score.model_copy(update={"created_at": journal.now()})
    samples, shown = tree.read(f"{out}/samples.jsonl", limit=4 << 30), f"{artifacts}/infer_samples"
    tree.write(workspace.sample_scores(cur), samples)
    tree.remove(shown)
    if evaluated.infer_samples:
        tree.copy(f"{out}/infer_samples", shown)
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
        start=status.outcome.start if status.outcome else "",
        side_by_side=attempt.side_by_side,
        warnings=evaluated.warnings,
    )
    tree.write(f"{artifacts}/eval_score.json", score_bytes(receipt, score.dataset_id))
    save(tree, workspace.receipt(cur, "eval"), receipt)
    attempt.save_verdict(Verdict(status="PASS", summary="scored", at=journal.now()))
    clean_up(attempt)
    journal.record(workspace, "scored", version_id(cur), attempt=attempt.number)
    return receipt
