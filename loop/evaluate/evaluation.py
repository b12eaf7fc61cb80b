"""A version's evaluation: started once, found again by whoever calls, and published when it has ended (E1-E4, R2).

Any process may make any of these calls, since all state is in the attempt's folder. publication.py says what counts.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

from ..errors import EvaluationError, GuardError, OutOfOrder, UnsafePath
from ..jobs.job import Job, JobStatus
from ..jobs.logs import tail
from ..jobs.placing import level
from ..project.attempts import Attempt, failure_of
from ..project.confinement import packages_seen
from ..project.disk import require_room
from ..project.evaluation_protocol import acceptance, fingerprint
from ..project.failures import Failure, process_failure
from ..project.project import Project
from ..project.receipts import INFRASTRUCTURE, EvalPlan, EvalReceipt, LoopFile, TrainReceipt, Verdict
from ..project.turn import turn
from ..project.version import Version
from ..rules.reading import Rules
from ..script.fixed import in_words
from ..train import artifacts as training_artifacts
from ..train import training
from ..train.artifacts import checkpoint_hash, is_as_before
from ..train.progress import Progress, progress_of
from .checks.checkpoint_clashes import checkpoint_clashes
from .evaluation_job import clean_up, prepare
from .evaluator_parts.errors import SCRIPT_AT_FAULT
from .publication import checked, publish

_LOG_TAIL_BYTES = 16_384
_REPAIR = "mend the version's code with repair_version, and it is trained again"
_REWRITE = "correct 03_eval.py through write_eval, then call run_eval"
_USERS = (
    "03_eval.py stays as it is: only the user may replace it, or what it states at its top, and then accept that with"
    " progressive-training protocol accept"
)


@dataclass(frozen=True)
class EvalStatus:
    """`already_done`: the version was scored, or the awaited attempt had failed, before this call.

    `began`: the attempt that runs was started by this call.
    """

    state: Literal["running", "done", "failed"]
    attempt: int
    progress: Progress | None = None
    receipt: EvalReceipt | None = None
    verdict: Verdict | None = None
    already_done: bool = False
    began: bool = False


def evaluate(project: Project, number: int, *, attach: int | None = None) -> EvalStatus:
    """Starts the version's first evaluation, or attaches to the one that runs, or publishes what it found.

    Returns at once; needs a 03_eval.py. `attach` is as in `train`. Later evaluations are the report's
    (report/rescoring.py). Raises `OutOfOrder`, `StillReading` while large files are read, `EvaluationError`,
    `GuardError` (weights changed after training),
    `RunError`.
    """
    _read_ahead(project, number)
    with turn(project, "run_eval", number) as t:
        if receipt := t.done(EvalReceipt):
            return EvalStatus("done", receipt.attempt, receipt=receipt, already_done=True)
        if attach is not None and (failure := failure_of(t.version.attempt("eval", attach))):
            return EvalStatus("failed", attach, verdict=failure, already_done=True)
        loop = t.begin("evaluate", "evaluating", *(("repair",) if t.state.trained else ()))
        attempt = open_attempt(t.version)
        began = attempt is None
        if attempt is None:
            attempt, job = start(t.version, t.rules, loop)
            training.expect_after(t.version, t.rules, job)
        status = attempt.status()
        if status.state == "running":
            return EvalStatus("running", attempt.number, progress=progress_of(attempt, status), began=began)
        return settle(attempt, t.rules, loop, status)


def _read_ahead(project: Project, number: int) -> None:
    """Reads the checkpoints for their hashes, by turns and while nobody has to wait for the lock."""
    version = Version(project, number)
    waits = number in project.versions() and version.receipt(TrainReceipt) and not version.receipt(EvalReceipt)
    if waits and training_artifacts.are_large(version):
        with suppress(FileNotFoundError, UnsafePath):  # said under the lock
            for name in training_artifacts.CHECKPOINTS:
                checkpoint_hash(version, name)


def open_attempt(version: Version) -> Attempt | None:
    """The version's evaluation that runs or waits to be collected."""
    tried = version.attempts("eval")
    return tried[-1] if tried and tried[-1].verdict is None else None


def start(version: Version, rules: Rules, loop: LoopFile, *, side_by_side: int = 1) -> tuple[Attempt, Job]:
    """Submits an evaluation, as one of so many on this machine; call it with the lock held, and none open.

    Raises as `evaluate` does.
    """
    trained = version.receipt(TrainReceipt)
    if trained is None:
        raise OutOfOrder(f"version {version.number} is not trained", hint="call next_step")
    sandbox = level(rules.file.execution_config)
    require_room(version.project.workspace, rules.file.execution_config)
    packages = packages_seen(version.project, rules)
    plan = EvalPlan(
        fingerprint=fingerprint(version.project, rules, loop),
        checkpoint_sha256=require_weights(version, trained),
        accepting=acceptance(version.project) is None,
        sandbox=sandbox.name,
        trained=trained.attempt,
        noticed=packages.noticed,
    )
    if version.receipt(EvalReceipt) is None:
        require_weights(version, trained, "last.ckpt")  # it says how many epochs there were
    with version.new_attempt("eval") as attempt:
        attempt.save_plan(plan)
        attempt.save_company(side_by_side)
        job = prepare(attempt, rules, loop, plan)
        attempt.submit(job)
    packages.keep(version.project)
    version.record("eval_started", attempt=attempt.number)
    return attempt, job


def require_weights(version: Version, trained: TrainReceipt, name: str = "best.ckpt") -> str:
    """The checkpoint's hash, read by turns.

    Raises `EvaluationError` if it is gone, `GuardError` if it is not what was trained, `StillReading`.
    """
    where = f"{version.artifacts}/{name}"
    try:
        found = checkpoint_hash(version, name)
    except FileNotFoundError as error:
        hint = "put the trained file back; a copy may be in the report or a backup"
        raise EvaluationError("is missing, though training left it", where=where, hint=hint) from error
    if found != trained.artifacts[name] and not is_as_before(version, trained, name):
        hint = "put the trained file back, or remove this one: the version is then trained again or, once it is scored,"
        hint += " left out of the report; weights that the loop did not train are not scored"
        raise GuardError("was changed after training", where=where, hint=hint)
    return found


def settle(attempt: Attempt, rules: Rules, loop: LoopFile, status: JobStatus) -> EvalStatus:
    """Publishes what an evaluation that has ended found, or says why it failed; call it with the lock held."""
    status = attempt.swept(status)
    wall = status.outcome.wall_seconds if status.outcome else None
    plan = attempt.eval_plan
    if failure := _of_process(attempt, rules, status):
        return _failed(attempt, failure, loop, status)
    if plan is None:
        return _fail(attempt, Failure("lost", "it was never started: the server ended in between", ""), wall)
    try:
        if clashes := checkpoint_clashes(attempt, rules):
            said = in_words(clashes)
            return _revoke(attempt, rules, Failure("rule violation", f"its checkpoint says: {said}", ""), wall)
        receipt = publish(attempt, plan, checked(attempt, rules, loop, plan), status)
    except (EvaluationError, UnsafePath) as error:  # a link or a FIFO where a file belongs
        kind = "other samples" if error.code == "samples_differ" else "invalid score"
        found = Failure(kind, f"{error.where}: {error.what}", "", error.hint or "")
        return _failed(attempt, found, loop, status)
    return EvalStatus("done", attempt.number, receipt=receipt)


def _of_process(attempt: Attempt, rules: Rules, status: JobStatus) -> Failure | None:
    return process_failure(
        status.outcome,
        tail(attempt.log, _LOG_TAIL_BYTES),
        limit_minutes=rules.file.loop_config.max_eval_minutes,
        requested=attempt.cancel_requested,
        detail=status.detail,
    )


def _failed(attempt: Attempt, failure: Failure, loop: LoopFile, status: JobStatus) -> EvalStatus:
    """Records why, whether the version's own code is the cause, and the advice that fits."""
    outcome, plan = status.outcome, attempt.eval_plan
    wall = outcome.wall_seconds if outcome else None
    if failure.kind in INFRASTRUCTURE or plan is None:
        return _fail(attempt, failure, wall)
    # What has scored a version before can score one: the cause is what differs, and that is the version.
    at_fault = not plan.accepting or (outcome is not None and outcome.rc == SCRIPT_AT_FAULT)
    at_fault = at_fault or failure.kind == "other samples"
    own = attempt.version.number == loop.first_version and loop.agreed is None
    if attempt.version.receipt(EvalReceipt) is not None:  # for the report: its script is not repaired any more
        hint = _USERS if failure.kind in ("code error", "invalid score") else ""
    else:
        hint = _advice(failure, at_fault=at_fault, own=own)
    # Of an evaluator on trial the last words name what write_eval takes; where that is refused, they would lead astray.
    summary = failure.summary if own or not plan.accepting else failure.summary.partition(" Next: ")[0]
    return _fail(attempt, replace(failure, summary=summary, hint=hint), wall, script_at_fault=at_fault)


def _advice(failure: Failure, *, at_fault: bool, own: bool) -> str:
    """`own`: the evaluator may be replaced without the user."""
    rewrite = _REWRITE if own else _USERS
    if failure.kind == "other samples":
        return failure.advice
    if at_fault:
        return f"{_REPAIR}; {f'if it is 03_eval.py after all, {rewrite}' if own else rewrite}"
    if failure.kind == "invalid score" and own:
        return f"{failure.advice}; or, where its data or model is the cause, {_REPAIR}"
    return f"where the version's script is the cause, {_REPAIR}; where it is 03_eval.py, {rewrite}"


def _fail(attempt: Attempt, failure: Failure, wall: float | None, *, script_at_fault: bool = False) -> EvalStatus:
    verdict = failure.verdict(wall).model_copy(update={"script_at_fault": script_at_fault})
    attempt.save_verdict(verdict)
    clean_up(attempt)
    attempt.version.record("eval_failed", attempt=attempt.number, kind=failure.kind)
    return EvalStatus("failed", attempt.number, verdict=verdict)


def _revoke(attempt: Attempt, rules: Rules, failure: Failure, wall: float | None) -> EvalStatus:
    """What only the checkpoint could tell: the training broke a rule, so it counts as failed after all (T1, T4)."""
    status = _fail(attempt, failure, wall)
    training.revoke(attempt.version, rules, failure)
    return status
