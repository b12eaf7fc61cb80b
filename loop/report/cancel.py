"""Ending a running training or evaluation, or all that is being scored for a report, with its whole process tree."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from ..errors import Busy, OutOfOrder, RulesError, RunError
from ..evaluate import evaluation_job, external_model
from ..jobs.job import JobKind, JobStatus
from ..judge.exploration import exploration
from ..project.attempts import Attempt
from ..project.disk import give_up_reserve
from ..project.failures import Failure
from ..project.project import Project
from ..project.receipts import EvalReceipt
from ..project.state import derive, next_call
from ..project.version import Version
from ..rehearse import rehearsal
from ..store import journal
from ..store.paths import MAX_VERSION
from ..train import training
from .rescoring import open_attempts, scored_by

_AT_ONCE = 16
_RECORD_SECONDS = 1.0


@dataclass(frozen=True)
class Cancelled:
    """`nothing`: no job was running. `finished`: it had ended by itself and waits to be collected.

    `scorings` are the versions and models whose scoring for a report was ended; empty where it was a version's own job.
    """

    outcome: Literal["cancelled", "nothing", "finished"]
    kind: JobKind | None = None
    killed: tuple[str, ...] = ()
    scorings: tuple[str, ...] = ()


def cancel(version: Version) -> Cancelled:
    """Ends what a snippet explores of the version; else its rehearsal, training or first evaluation; else, where it has
    none of these, all that is scored for a report.

    Returns when nothing of it is left, whoever holds the project: ending a job takes no lock. Where somebody keeps it,
    the next call records the end. Raises `OutOfOrder` for a version that does not exist.
    """
    project = version.project
    kinds: tuple[JobKind, ...] = ("explore", "rehearse", "train", "eval")
    tried = [one for kind in kinds for one in version.attempts(kind)] if 1 <= version.number <= MAX_VERSION else []
    own = [attempt for attempt in tried if not attempt.verdict]
    if looking := [attempt for attempt in own if attempt.kind == "explore" and _is_alive(attempt)]:
        return _cancelled(looking)
    own = [attempt for attempt in own if attempt.kind != "explore"]
    if own and version.receipt(EvalReceipt) is None:
        return _cancelled(own[-1:])
    if version.number not in project.versions():
        hint = next_call(derive(project, project.rules()))
        raise OutOfOrder(f"there is no version {version.number}", hint=hint)
    return cancel_report(project)


def cancel_report(project: Project) -> Cancelled:
    """Ends everything that is scored for the report, and nothing else."""
    # One report, one wish: to end a single scoring of it would only stop the report at that one.
    return _cancelled(open_attempts(project), of_report=True)


def _cancelled(running: Sequence[Attempt], *, of_report: bool = False) -> Cancelled:
    if not running:
        return Cancelled("nothing")
    kind = running[0].kind
    ended = _ended([attempt for attempt in running if _is_alive(attempt)])
    if not ended:
        return Cancelled("finished", kind)
    killed = tuple(name for _, status in ended if status.outcome for name in status.outcome.killed)
    return Cancelled("cancelled", kind, killed, tuple(scored_by(attempt) for attempt, _ in ended) if of_report else ())


def _is_alive(attempt: Attempt) -> bool:
    """Also one that was "cancelled" before: by an earlier call, whose server ended before it could say so."""
    outcome = attempt.status().outcome
    return outcome is None or outcome.reason in ("cancelled", "lost")


def _ended(alive: Sequence[Attempt]) -> list[tuple[Attempt, JobStatus]]:
    """Ends them all and records it; without those that had exited by themselves.

    Raises `RunError` if one can't be reached, once the others are ended and recorded.
    """
    for attempt in alive:
        give_up_reserve(attempt.project.workspace)
        attempt.request_cancel()
    ended: list[tuple[Attempt, JobStatus]] = []
    unreached: list[RunError] = []
    with ThreadPoolExecutor(_AT_ONCE) as threads:  # each may take its time to end
        for attempt, result in [(attempt, threads.submit(_stopped, attempt)) for attempt in alive]:
            try:
                status = result.result()
            except RunError as error:
                unreached.append(error)
                continue
            if status.outcome is None or status.outcome.reason != "exited":
                ended.append((attempt, status))
    if ended:
        _record_all(ended)
    if unreached:
        raise unreached[0]
    return ended


def _stopped(attempt: Attempt) -> JobStatus:
    return attempt.project.executor.cancel(attempt.path) if attempt.submitted else attempt.status()


def _record_all(ended: Sequence[tuple[Attempt, JobStatus]]) -> None:
    """Records the ends, unless somebody keeps the project for longer, or has collected one meanwhile."""
    project = ended[0][0].project
    # Whoever collects the attempt, once that is possible, finds cancel.json beside it and records the same.
    with suppress(Busy, RulesError), project.mutation(wait_seconds=_RECORD_SECONDS):
        for attempt, status in ended:
            if attempt.verdict is None:
                _record(attempt, status)


def _record(attempt: Attempt, status: JobStatus) -> None:
    project = attempt.project
    wall = status.outcome.wall_seconds if status.outcome else None
    failure = Failure("cancelled", "cancelled on request", "")
    if attempt.kind == "train":
        training.fail(attempt, project.rules(), failure, wall)
        return
    if attempt.kind == "explore":
        exploration.settle_failure(attempt, failure, wall)
        return
    if attempt.kind == "rehearse":
        rehearsal.cancelled(attempt, failure, status)
        return
    attempt.save_verdict(failure.verdict(wall))
    if isinstance(attempt, external_model.ExternalAttempt):
        external_model.clean_up(attempt)
        journal.record(project.workspace, "external_cancelled", name=attempt.name, attempt=attempt.number)
    else:
        evaluation_job.clean_up(attempt)
        journal.record(project.workspace, "eval_cancelled", attempt.version.id, attempt=attempt.number)
