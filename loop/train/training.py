"""A training: started once, attached to again by anyone, and judged by what it leaves (T1-T4)."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Literal

from ..errors import UnsafePath
from ..jobs.job import Job, JobStatus
from ..jobs.logs import tail
from ..jobs.placing import command, confined, level
from ..project.attempts import Attempt, failure_of
from ..project.disk import prune_trash, require_room
from ..project.failures import Failure, process_failure
from ..project.integrity import require_intact
from ..project.project import Project
from ..project.receipts import LoopFile, Plan, TrainReceipt, Verdict
from ..project.scripts import require_modules, take_snapshot
from ..project.state import LoopState, derive, next_call, require
from ..project.version import Version
from ..rules.checks import check_script
from ..rules.reading import Rules
from ..script import Script
from ..script.settings import settings
from ..store import journal
from ..store.digest import sha256
from ..store.durable import make_durable
from ..store.paths import version_id
from ..store.records import save
from ..store.tree import Tree
from . import next_jobs, resume
from .artifacts import CHECKPOINTS, missing, touched, untouchable, used_values
from .curves import epochs_trained, read_curves
from .measured import recording
from .progress import EPOCHS, Progress, progress_of
from .retry_report import write_retry_report

LOG_TAIL_BYTES = 16_384


@dataclass(frozen=True)
class TrainStatus:
    """`already_done`: the version was finished before this call."""

    state: Literal["running", "done", "failed"]
    attempt: int
    progress: Progress | None = None
    receipt: TrainReceipt | None = None
    verdict: Verdict | None = None
    already_done: bool = False


def train(project: Project, cur: int, *, attach: int | None = None, resumed: bool = False) -> TrainStatus:
    """Starts the version's training, or attaches to the one that runs, or collects the one that ended.

    Returns at once. With `attach`, the failure of that attempt is told also when somebody else has cancelled or
    collected it: whoever waits for a training never starts another. `resumed` starts
    it from the checkpoint that an interrupted attempt left.
    Raises `OutOfOrder`, `RuleViolation` (the script breaks a rule: nothing was started), `RunError`.
    """
    rules = project.rules()
    with project.mutation():
        state = derive(project, rules)
        if 1 <= cur <= state.cur and (receipt := Version(project, cur).receipt(TrainReceipt)):
            return TrainStatus("done", receipt.attempt, receipt=receipt, already_done=True)
        if attach is not None and (failure := failure_of(Version(project, cur).attempt("train", attach))):
            return TrainStatus("failed", attach, verdict=failure, already_done=True)
        loop = require(state, "run_train", cur, "train", "training", *(("repair",) if resumed else ()))
        attempt = state.running or _start(project, rules, state, resumed=resumed)
        status = attempt.status()
        if status.state == "running":
            return TrainStatus("running", attempt.number, progress=progress_of(project, attempt, status))
        # Judged by the rules that it was started under: a script may have written others in the meantime.
        project.require_unchanged_rules(rules, loop)
        return _settle(project, rules, loop, attempt, status)


def _script_text(project: Project, cur: int) -> str:
    return project.workspace.tree.read(project.workspace.script(cur)).decode("utf-8-sig")


def _start(project: Project, rules: Rules, state: LoopState, *, resumed: bool) -> Attempt:
    assert state.loop is not None, "require() lets only a started loop through"
    require_intact(project, rules, state.loop)
    cur, workspace = state.cur, project.workspace
    Version(project, cur).require_authored()
    require_modules(Version(project, cur))
    check_script(Script.parse(_script_text(project, cur), workspace.script(cur)), rules)
    python = project.interpreter(rules)
    sandbox = level(rules.file.execution_config)
    require_room(workspace, rules.file.execution_config)
    kept = resume.require_kept(project, cur, next_call(state)) if resumed else None
    with Version(project, cur).new_attempt("train") as attempt:
        # Whatever lies there is not this attempt's: a stale checkpoint must never be taken for a new one.
        discard_artifacts(project, attempt)
        snapshot = take_snapshot(Version(project, cur))
        write_retry_report(project, cur)
        attempt.save_plan(
            Plan(
                script_sha256=snapshot[workspace.script(cur)],
                snapshot=snapshot,
                untouchable=untouchable(workspace, cur, state.loop.dataset_id, confined=sandbox.confined),
                sandbox=sandbox.name,
                confined=sandbox.confined,
                resumed_from=kept.attempt if kept else None,
            )
        )
        project.workspace.tree.make_folder(attempt.facts)
        job = _job(project, rules, attempt, python, resumed=resumed)
        attempt.submit(job)
    next_jobs.expect_after(project, rules, cur, job)
    journal.record(
        workspace, "train_started", version_id(cur), attempt=attempt.number, resumed_from=kept.attempt if kept else None
    )
    return attempt


def _job(project: Project, rules: Rules, attempt: Attempt, python: str, *, resumed: bool) -> Job:
    config, minutes = rules.file.execution_config, rules.file.loop_config.max_train_minutes
    environment = project.environment(rules)
    if resumed:
        environment[resume.VARIABLE] = resume.checkpoint(project, attempt.version.number)
    job = Job(
        kind="train",
        version_id=attempt.version.id,
        attempt=attempt.number,
        argv=command(config, python, attempt.version.script_name),
        cwd=str(project.workspace.root),
        env=environment,
        timeout_seconds=None if minutes is None else minutes * 60,
        imports=next_jobs.train_usable(project, rules, attempt.version.number),
        recording=recording(attempt),
    )
    writable = (attempt.version.artifacts, attempt.facts)
    return confined(job, attempt.path, project.workspace, rules.file.execution_config, writable)


def expect_first(project: Project, rules: Rules, cur: int) -> None:
    """Tells the executor that the version's training comes next, and then its evaluation."""
    attempt = Version(project, cur).attempt("train", 1)

    def job() -> Job:
        return _job(project, rules, attempt, project.interpreter(rules), resumed=False)

    next_jobs.expect(project, rules, cur, job, ("train", "eval"))


def discard_artifacts(project: Project, attempt: Attempt) -> None:
    """Moves the version's artifact folder to the trash and makes a fresh one."""
    workspace = project.workspace
    artifacts = attempt.version.artifacts
    if workspace.tree.names(artifacts):
        aside = f"{workspace.trash}/{attempt.version.id}-{attempt.kind}-{attempt.number:03d}"
        workspace.tree.remove(aside)
        workspace.tree.move(artifacts, aside)
        prune_trash(workspace, project.rules().file.execution_config)
    workspace.tree.make_folder(artifacts)


def _settle(project: Project, rules: Rules, loop: LoopFile, attempt: Attempt, status: JobStatus) -> TrainStatus:
    status = attempt.swept(status)
    try:
        failure = _failure(project, rules, loop, attempt, status)
    except UnsafePath as error:
        failure = Failure("missing artifacts", f"{error.where}: {error.what}", "")
    wall = status.outcome.wall_seconds if status.outcome else None
    if failure is not None:
        return fail(project, attempt, failure, wall)
    assert status.outcome is not None, "a run without an outcome has failed"
    receipt = _receipt(project, rules, attempt, status)
    make_durable(project.workspace.tree, attempt.version.artifacts)
    attempt.save_verdict(Verdict(status="PASS", summary="trained", wall_seconds=wall, at=journal.now()))
    write_retry_report(project, attempt.version.number)
    save(project.workspace.tree, project.workspace.receipt(attempt.version.number, "train"), receipt)
    journal.record(project.workspace, "trained", attempt.version.id, attempt=attempt.number)
    resume.discard(project, attempt.version.number)
    return TrainStatus("done", attempt.number, receipt=receipt)


def fail(project: Project, attempt: Attempt, failure: Failure, wall: float | None) -> TrainStatus:
    """Wipes the version's artifacts, which are kept in the trash, and records why (T4)."""
    verdict = resume.keep(attempt, failure).verdict(wall)
    discard_artifacts(project, attempt)
    attempt.save_verdict(verdict)
    write_retry_report(project, attempt.version.number)
    journal.record(project.workspace, "train_failed", attempt.version.id, attempt=attempt.number, kind=failure.kind)
    return TrainStatus("failed", attempt.number, verdict=verdict)


def _monitors(project: Project, cur: int) -> tuple[str, ...]:
    """What the script chooses its best checkpoint by; validation loss is the normal case, and on record."""
    script = Script.parse(_script_text(project, cur), project.workspace.script(cur))
    found = (setting.value for setting in settings(script) if setting.name == "monitor")
    return tuple(dict.fromkeys(value for value in found if isinstance(value, str)))


def _hashes(tree: Tree, artifacts: str) -> dict[str, str]:
    """Of several gigabytes each at worst, so side by side."""
    names = (*CHECKPOINTS, "spec.json")
    with ThreadPoolExecutor(len(names)) as threads:
        found = threads.map(partial(sha256, tree), [f"{artifacts}/{name}" for name in names])
        return dict(zip(names, found, strict=True))


def _same_weights(project: Project, cur: int, weights: str) -> str | None:
    for other in project.workspace.versions():
        if other < cur and Version(project, other).trained_weights == weights:
            return version_id(other)
    return None


def revoke(project: Project, cur: int, failure: Failure) -> None:
    """Takes a finished training back: its receipt goes, and its last attempt counts as failed."""
    last = Version(project, cur).attempts("train")[-1]
    wall = last.verdict.wall_seconds if last.verdict else None
    last.save_verdict(failure.verdict(wall))
    project.workspace.tree.remove(project.workspace.receipt(cur, "train"))
    fail(project, last, failure, wall)


def _failure(project: Project, rules: Rules, loop: LoopFile, attempt: Attempt, status: JobStatus) -> Failure | None:
    """The first reason to reject the run, the process's own word first, then what it left."""
    tree, artifacts = project.workspace.tree, attempt.version.artifacts
    plan = attempt.plan
    if plan is None:
        return Failure("lost", "it was never started: the server ended in between", "")
    log = tail(attempt.log, LOG_TAIL_BYTES)
    now = untouchable(project.workspace, attempt.version.number, loop.dataset_id, confined=plan.confined)
    if changed := touched(plan.untouchable, now):
        return Failure("evaluation output", f"training created or changed {', '.join(changed[:5])}", "")
    limit = rules.file.loop_config.max_train_minutes
    if failure := process_failure(
        status.outcome, log, limit_minutes=limit, requested=attempt.cancel_requested, detail=status.detail
    ):
        return failure
    resume.put_back(attempt)
    curves = read_curves(tree, artifacts)
    if curves is not None and curves.not_finite:
        return Failure("diverged", f"{', '.join(curves.not_finite)} became NaN or infinite", "")
    if lacking := missing(tree, artifacts):
        return Failure("missing artifacts", f"it exited with 0 but left no {', no '.join(lacking)}", "")
    return _rule_failure(project, rules, attempt)


def _rule_failure(project: Project, rules: Rules, attempt: Attempt) -> Failure | None:
    tree, artifacts = project.workspace.tree, attempt.version.artifacts
    if used := used_values(tree, artifacts, rules.fixed, rules.file.synonyms):
        said = "; ".join(f"{clash.place} says {clash.found}, {clash.rule} fixes {clash.allowed!r}" for clash in used)
        return Failure("rule violation", said, "")
    epochs = next((rule.value for rule in rules.fixed if rule.name.lower() in EPOCHS), None)
    trained = epochs_trained(tree, artifacts)
    if type(epochs) is int and trained is not None and trained != epochs:
        return Failure("rule violation", f"it trained {trained} epochs, the rules fix {epochs}", "")
    return None


def _receipt(project: Project, rules: Rules, attempt: Attempt, status: JobStatus) -> TrainReceipt:
    tree, artifacts = project.workspace.tree, attempt.version.artifacts
    outcome, plan = status.outcome, attempt.plan
    assert outcome is not None and plan is not None, "a run without them has failed"
    warnings = [f"had to end what it left running: {', '.join(outcome.killed)}"] if outcome.killed else []
    warnings += resume.put_back(attempt)
    hashes = _hashes(tree, artifacts)
    if twin := _same_weights(project, attempt.version.number, hashes["best.ckpt"]):
        warnings.append(f"best.ckpt is byte for byte that of {twin}: the change had no effect, or weights were copied")
    return TrainReceipt(
        attempt=attempt.number,
        script_sha256=plan.script_sha256,
        snapshot=plan.snapshot,
        artifacts=hashes,
        epochs=epochs_trained(tree, artifacts),
        wall_seconds=outcome.wall_seconds or 0.0,
        peak_memory_bytes=outcome.peak_memory_bytes,
        gpu_peak_memory_bytes=outcome.gpu_peak_memory_bytes,
        gpu_utilisation=outcome.gpu_utilisation,
        monitors=_monitors(project, attempt.version.number),
        sandbox=plan.sandbox,
        start=outcome.start,
        resumed_from=plan.resumed_from,
        warnings=tuple(warnings),
        at=journal.now(),
    )
