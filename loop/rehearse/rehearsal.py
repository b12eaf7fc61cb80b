"""A rehearsal: started once, found again by whoever calls, and collected when it has ended.

Any process may make any of these calls, since all state is in the attempt's folder. Whatever it finds, the loop may go
on: a finding is advice before the first hour is spent, and no gate.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ..errors import LoopError
from ..jobs.job import JobStatus
from ..jobs.placing import level
from ..project.attempts import Attempt, failure_of
from ..project.disk import require_room
from ..project.failures import Failure, process_failure
from ..project.integrity import take_snapshot
from ..project.project import Project
from ..project.receipts import Finding, LoopFile, RehearsalReceipt, TrainReceipt, Verdict
from ..project.turn import Turn, turn
from ..project.version import Version
from ..rules.reading import Rules
from ..store import journal
from ..store.digest import sha256
from ..store.paths import EVAL_SCRIPT
from ..text import words
from ..train.progress import Progress, progress_of
from . import data, night, outcome, scores
from .job import clean_up, prepare
from .observed import Observed
from .page import PAGE, page

Evaluator = Callable[[LoopFile], str | None]
"""Gives the text of the evaluator that is to be tried; None where there is none."""


@dataclass(frozen=True)
class RehearsalStatus:
    """`off`: none is wanted, or it is too late for one. `unable`: why it could not be started.

    `already_done`: it had ended before this call.
    """

    state: Literal["off", "running", "done", "failed"]
    attempt: int = 0
    progress: Progress | None = None
    receipt: RehearsalReceipt | None = None
    verdict: Verdict | None = None
    unable: str = ""
    already_done: bool = False


def rehearse(project: Project, number: int, evaluator: Evaluator, *, attach: int | None = None) -> RehearsalStatus:
    """Starts the version's rehearsal, or attaches to the one that runs, or collects the one that ended.

    Returns at once. One that is over isn't repeated, unless the script was repaired since, or it was cut off from
    outside. `attach` is as in `train`.
    """
    with turn(project, "start_loop", number) as t:
        loop, tried = t.state.loop, t.version.attempts("rehearse")
        assert loop is not None, "start_loop has started it"
        last = tried[-1] if tried else None
        if last is not None and last.verdict is None:
            status = last.status()
            if status.state == "running":
                return RehearsalStatus("running", last.number, progress=progress_of(last, status))
            return _collected(last, t.rules, loop, last.swept(status))
        if attach is not None and (failure := failure_of(t.version.attempt("rehearse", attach))):
            return RehearsalStatus("failed", attach, verdict=failure, already_done=True)
        receipt = t.version.receipt(RehearsalReceipt)
        if receipt is not None and not (last is not None and last.repair is not None):
            return RehearsalStatus("done", receipt.attempt, receipt=receipt, already_done=True)
        if attach is not None or not _is_wanted(t, loop):
            return RehearsalStatus("off", receipt=receipt)
        return _started(t, loop, evaluator)


def is_repairable(version: Version) -> Attempt | None:
    """The rehearsal after which an untrained version may be repaired: the last one, if it found a problem."""
    tried, receipt = version.attempts("rehearse"), version.receipt(RehearsalReceipt)
    if not tried or version.attempts("train") or receipt is None or receipt.attempt != tried[-1].number:
        return None
    return None if receipt.ok else tried[-1]


def _is_wanted(t: Turn, loop: LoopFile) -> bool:
    first = t.version.number == loop.first_version == t.state.cur
    untrained = t.version.receipt(TrainReceipt) is None and not t.version.attempts("train")
    return t.rules.file.rehearse and first and untrained


def _started(t: Turn, loop: LoopFile, evaluator: Evaluator) -> RehearsalStatus:
    version, rules, workspace = t.version, t.rules, t.version.project.workspace
    try:
        level(rules.file.execution_config)
        require_room(workspace, rules.file.execution_config)
        text = evaluator(loop)
        take_snapshot(version)
        with version.new_attempt("rehearse") as attempt:
            attempt.submit(prepare(attempt, rules, loop, text))
    except LoopError as error:  # the loop is started all the same; its training will say it again
        return RehearsalStatus("off", unable=str(error))
    version.record("rehearsal_started", attempt=attempt.number)
    return RehearsalStatus("running", attempt.number, progress=progress_of(attempt, attempt.status()))


def _collected(attempt: Attempt, rules: Rules, loop: LoopFile, status: JobStatus) -> RehearsalStatus:
    if failure := _of_process(attempt, status):
        return cancelled(attempt, failure, status)
    version, workspace = attempt.version, attempt.project.workspace
    has_evaluator = workspace.tree.is_file(f"{attempt.relative}/{EVAL_SCRIPT}")
    observed = Observed(attempt, rules, loop, status.outcome, has_evaluator)
    receipt = RehearsalReceipt(
        attempt=attempt.number,
        script_sha256=sha256(workspace.tree, f"{version.snapshot}/{version.script_name}"),
        seconds=round(observed.seconds, 2),
        findings=findings(observed),
        at=journal.now(),
    )
    workspace.tree.write(
        f"{version.artifacts}/{PAGE}", page(version.id, receipt, words(rules.file.report_language)).encode()
    )
    version.save(receipt)
    summary = "rehearsed" if receipt.ok else "rehearsed, with problems"
    attempt.save_verdict(Verdict(status="PASS", summary=summary, wall_seconds=observed.seconds, at=journal.now()))
    clean_up(attempt)
    version.record("rehearsed", attempt=attempt.number, ok=receipt.ok)
    return RehearsalStatus("done", attempt.number, receipt=receipt)


def findings(observed: Observed) -> tuple[Finding, ...]:
    """All that one rehearsal found, in the order of its page."""
    return (
        *outcome.findings(observed),
        *outcome.rule_findings(observed),
        *data.findings(observed),
        *scores.findings(observed),
        *night.findings(observed),
    )


def cancelled(attempt: Attempt, failure: Failure, status: JobStatus) -> RehearsalStatus:
    """Records that it was cut off from outside; it found nothing, and may be started again. Needs the lock."""
    wall = status.outcome.wall_seconds if status.outcome else None
    verdict = failure.verdict(wall)
    attempt.save_verdict(verdict)
    clean_up(attempt)
    attempt.version.record("rehearsal_failed", attempt=attempt.number, kind=failure.kind)
    return RehearsalStatus("failed", attempt.number, verdict=verdict)


def _of_process(attempt: Attempt, status: JobStatus) -> Failure | None:
    """Why nothing is known of it; None for a job that ended by itself or at its time limit."""
    if not attempt.submitted:
        return Failure("lost", "it was never started: the server ended in between", "")
    if status.outcome is not None and (status.outcome.rc == 0 or status.outcome.reason == "timeout"):
        return None
    return process_failure(
        status.outcome, "", limit_minutes=None, requested=attempt.cancel_requested, detail=status.detail
    )
