"""A version's training: started once, found again by whoever calls, and collected when it has ended (T1-T4).

Any process may make any of these calls, since all state is in the attempt's folder. result.py says if the run counts.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from ..errors import UnsafePath
from ..jobs.job import DEFAULT_ROOT_VARIABLE, Job, JobStatus
from ..jobs.placing import command, confined, level
from ..jobs.warm.next_jobs import NextJobs
from ..project.attempts import Attempt, failure_of
from ..project.confinement import packages_seen
from ..project.disk import prune_trash, require_room
from ..project.failures import Failure
from ..project.integrity import require_intact, require_modules, take_snapshot
from ..project.notices import Notice
from ..project.project import Project
from ..project.receipts import LoopFile, NextReceipt, Plan, TrainReceipt, Verdict
from ..project.state import next_call
from ..project.turn import Turn, turn
from ..project.version import Version
from ..rules.checks import check_script
from ..rules.reading import Rules
from ..script.source import Script
from ..store import journal
from ..store.paths import MAX_VERSION
from ..store.records import Record
from . import resume
from .artifacts import are_large, hashes, untouchable
from .changed_code import changed_lines, watched
from .measured import asked, needs, recording
from .progress import Progress, progress_of
from .result import judged
from .retry_report import write_retry_report
from .watching import watching

_REHEARSAL = "_tests/rehearsal.md"
"""Of the loop's own, and still true when a training is wiped."""


@dataclass(frozen=True)
class TrainStatus:
    """`already_done`: the version was finished before this call. `noticed` is what to say while it runs.

    `began`: the attempt that runs was started by this call.
    """

    state: Literal["running", "done", "failed"]
    attempt: int
    progress: Progress | None = None
    receipt: TrainReceipt | None = None
    verdict: Verdict | None = None
    already_done: bool = False
    began: bool = False
    noticed: tuple[Notice, ...] = ()


@dataclass(frozen=True)
class Revoked:
    """What one transaction moves, writes and revokes, so that a training counts as failed."""

    moved: Mapping[str, str]
    records: Mapping[str, Record]
    receipt: Mapping[str, str]


def train(project: Project, number: int, *, attach: int | None = None, resumed: bool = False) -> TrainStatus:
    """Starts the version's training, or attaches to the one that runs, or collects the one that ended.

    Returns at once. Whoever waits for attempt n passes `attach=n`: should somebody else have cancelled or collected it
    meanwhile, the call returns that failure and never starts another attempt. `resumed` starts the training from the
    checkpoint that an interrupted attempt left.
    Raises `OutOfOrder`, `RuleViolation` (the script breaks a rule: nothing was started), `RunError`, and `StillReading`
    while the large files of a finished one are read: call again.
    """
    _read_ahead(Version(project, number))
    with turn(project, "run_train", number) as t:
        if receipt := t.done(TrainReceipt):
            if not (t.state.phase == "train" and number == t.state.cur):
                return TrainStatus("done", receipt.attempt, receipt=receipt, already_done=True)
            t.begin("train")
            _take_back(t)  # what it left is gone, and nothing was scored by it
        if attach is not None and (failure := failure_of(t.version.attempt("train", attach))):
            return TrainStatus("failed", attach, verdict=failure, already_done=True)
        loop = t.legal("train", "training", *(("repair",) if resumed else ()))
        running = t.state.running
        attempt = running or _start(t, loop, resumed=resumed)
        status = attempt.status()
        if status.state == "running":
            noticed = attempt.plan.noticed if attempt.plan is not None else ()
            far = progress_of(attempt, status)
            return TrainStatus("running", attempt.number, progress=far, noticed=noticed, began=running is None)
        # Judged by the rules that it was started under: a script may have written others in the meantime.
        project.require_unchanged_rules(t.rules, loop)
        return _collect(attempt, t.rules, loop, attempt.swept(status))


def _read_ahead(version: Version) -> None:
    """Reads what a finished training left for its receipt: by turns, and while nobody has to wait for the lock."""
    tried = version.attempts("train") if 1 <= version.number <= MAX_VERSION else []
    if tried and tried[-1].verdict is None and tried[-1].status().state == "finished" and are_large(version):
        with suppress(UnsafePath):  # that is judged, and said, later
            hashes(version)


def next_jobs(version: Version, rules: Rules) -> NextJobs:
    """The jobs that may follow one of this version's."""
    return NextJobs(version.project.workspace, rules.file.execution_config, version.script_name)


def expect_after(version: Version, rules: Rules, job: Job) -> None:
    """Gets an interpreter ready for what comes after `job`, which has started; see NextJobs."""
    last = version.number >= rules.file.loop_config.max_versions
    next_jobs(version, rules).expect_after(version.project.executor, job, last=last)


def expect_first(version: Version, rules: Rules) -> None:
    """Gets interpreters ready for the version's training and then its evaluation, before either is called for."""

    def job() -> Job:
        return _job(version.attempt("train", 1), rules, version.project.interpreter(rules), resumed=False)

    next_jobs(version, rules).expect(version.project.executor, job, ("train", "eval"))


def _before(version: Version) -> Script:
    """What the script was made from; an adopted one has nothing before it."""
    parent = version.parent
    made = parent is not None and parent.receipt(NextReceipt) is not None
    return (parent if parent is not None and made else version).script(authored=False)


def _start(t: Turn, loop: LoopFile, *, resumed: bool) -> Attempt:
    version, rules = t.version, t.rules
    workspace, config = version.project.workspace, rules.file.execution_config
    require_intact(version.project, rules, loop)
    script = version.script()
    asked(version)  # a receipt that its verdict needs and nobody can read is said now, and not after an hour
    require_modules(version)
    check_script(script, rules, _before(version))
    python = version.project.interpreter(rules)
    sandbox = level(config)
    require_room(workspace, config)
    kept = resume.require_kept(version, next_call(t.state)) if resumed else None
    resumed_from = kept.attempt if kept else None
    changed = changed_lines(version)
    packages = packages_seen(version.project, rules)
    with version.new_attempt("train") as attempt:
        # Whatever is there is not this attempt's: a stale checkpoint must never be taken for a new one.
        _discard_artifacts(attempt, rules)
        snapshot = take_snapshot(version)
        write_retry_report(version, rules)
        attempt.save_plan(
            Plan(
                script_sha256=snapshot[version.script_name],
                snapshot=snapshot,
                untouchable=untouchable(version, loop.dataset_id, confined=sandbox.confined),
                sandbox=sandbox.name,
                confined=sandbox.confined,
                resumed_from=resumed_from,
                changed=changed,
                noticed=packages.noticed,
            )
        )
        workspace.tree.make_folder(attempt.facts)
        job = _job(attempt, rules, python, resumed=resumed, watched=watched(changed))
        attempt.submit(job)
    packages.keep(version.project)
    expect_after(version, rules, job)
    version.record("train_started", attempt=attempt.number, resumed_from=resumed_from)
    return attempt


def _job(attempt: Attempt, rules: Rules, python: str, *, resumed: bool, watched: Sequence[int] = ()) -> Job:
    version, project = attempt.version, attempt.project
    config, minutes = rules.file.execution_config, rules.file.loop_config.max_train_minutes
    environment = {
        DEFAULT_ROOT_VARIABLE: str(project.workspace.tree.path(version.artifacts)),
        **project.environment(rules),
    }
    if resumed:
        environment[resume.VARIABLE] = resume.checkpoint(version)
    job = Job(
        kind="train",
        version_id=version.id,
        attempt=attempt.number,
        argv=command(config, python, version.script_name),
        cwd=str(project.workspace.root),
        env=environment,
        timeout_seconds=None if minutes is None else minutes * 60,
        imports=next_jobs(version, rules).train_preload(),
        recording=recording(attempt, watched),
        watching=watching(attempt, rules),
    )
    return confined(job, attempt.path, project.workspace, config, needs(attempt, resumed=resumed))


def _collect(attempt: Attempt, rules: Rules, loop: LoopFile, status: JobStatus) -> TrainStatus:
    version, wall = attempt.version, status.outcome.wall_seconds if status.outcome else None
    before, receipt = attempt.verdict, judged(attempt, rules, loop, status)
    if isinstance(receipt, Failure):
        if before is not None and before.status == "PASS":  # what counted once and no more was taken from it since
            receipt = Failure("lost", f"it was trained, and then {receipt.summary}", "")
        return fail(attempt, rules, receipt, wall)
    attempt.save_verdict(Verdict(status="PASS", summary="trained", wall_seconds=wall, at=journal.now()))
    write_retry_report(version, rules)
    # Last of what counts: after a crash in between, the run is collected again.
    version.save(receipt)
    version.record("trained", attempt=attempt.number)
    resume.discard(version)
    return TrainStatus("done", attempt.number, receipt=receipt)


def fail(attempt: Attempt, rules: Rules, failure: Failure, wall: float | None) -> TrainStatus:
    """Wipes the version's artifacts, which are kept in the trash, and records why (T4); call it with the lock held."""
    verdict = resume.keep(attempt, failure).verdict(wall)
    _discard_artifacts(attempt, rules)
    attempt.save_verdict(verdict)
    write_retry_report(attempt.version, rules)
    attempt.version.record("train_failed", attempt=attempt.number, kind=failure.kind)
    return TrainStatus("failed", attempt.number, verdict=verdict)


def _take_back(t: Turn) -> None:
    if t.version.attempts("train"):
        revoke(
            t.version, t.rules, Failure("lost", f"{', '.join(t.version.gone())} was removed after it was trained", "")
        )
    else:
        t.version.project.workspace.tree.remove(t.version.receipt_file(TrainReceipt))


def revoke(version: Version, rules: Rules, failure: Failure) -> None:
    """Takes a finished training back: its receipt goes, and its last attempt counts as failed; with the lock held."""
    last = version.attempts("train")[-1]
    wall = last.verdict.wall_seconds if last.verdict else None
    last.save_verdict(failure.verdict(wall))
    version.project.workspace.tree.remove(version.receipt_file(TrainReceipt))
    fail(last, rules, failure, wall)


def revoked(version: Version, why: Verdict) -> Revoked:
    """What takes a finished training back together with other changes: commit these, then call `begin_anew`.

    `why` is the verdict of the evaluation that its code failed.
    """
    last = version.attempts("train")[-1]
    wall = last.verdict.wall_seconds if last.verdict else None
    failed = why.model_copy(
        update={"summary": f"its evaluation failed: {why.summary}", "wall_seconds": wall, "script_at_fault": False}
    )
    aside = _aside(last)
    version.project.workspace.tree.remove(aside)  # what lay there when that training began
    receipt = {version.receipt_file(TrainReceipt): f"{last.relative}/revoked.json"}
    return Revoked({version.artifacts: aside}, {f"{last.relative}/verdict.json": failed}, receipt)


def begin_anew(version: Version, rules: Rules) -> None:
    """Makes a fresh artifact folder after a training was taken back; with the lock held."""
    _fresh(version, _aside(version.attempts("train")[-1]), rules)
    write_retry_report(version, rules)


def _aside(attempt: Attempt) -> str:
    return f"{attempt.project.workspace.trash}/{attempt.version.id}-{attempt.kind}-{attempt.number:03d}"


def _discard_artifacts(attempt: Attempt, rules: Rules) -> None:
    """Moves the version's artifact folder to the trash and makes a fresh one."""
    workspace, artifacts, aside = attempt.project.workspace, attempt.version.artifacts, _aside(attempt)
    if workspace.tree.names(artifacts):
        workspace.tree.remove(aside)
        workspace.tree.move(artifacts, aside)
        _fresh(attempt.version, aside, rules)
    workspace.tree.make_folder(artifacts)


def _fresh(version: Version, aside: str, rules: Rules) -> None:
    workspace, artifacts = version.project.workspace, version.artifacts
    workspace.tree.make_folder(artifacts)
    if workspace.tree.is_file(f"{aside}/{_REHEARSAL}"):
        workspace.tree.make_folder(f"{artifacts}/_tests")
        workspace.tree.copy(f"{aside}/{_REHEARSAL}", f"{artifacts}/{_REHEARSAL}")
    prune_trash(workspace, rules.file.execution_config)
