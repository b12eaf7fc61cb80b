"""An exploration: started once, found again by whoever calls, and settled when it has ended.

It changes nothing that the loop goes by: no phase, no score, no file but its own attempt's.
"""

import hashlib
from dataclasses import dataclass
from typing import Literal

from ...errors import DocumentError, OutOfOrder
from ...evaluate.evaluation import require_weights
from ...jobs.job import JobStatus
from ...jobs.logs import tail
from ...project.attempts import Attempt
from ...project.disk import require_room
from ...project.failures import Failure, process_failure
from ...project.project import Project
from ...project.receipts import TrainReceipt, Verdict
from ...project.state import next_call
from ...project.turn import Turn, turn
from ...project.version import Version
from ...rules.reading import Rules
from ...store import journal
from ...store.records import Record, load, save
from ...train.progress import Progress, progress_of
from .exploration_job import SNIPPET, clean_up, prepare
from .findings import Findings, findings
from .user_python.run_snippet import NOT_HIDDEN, TRAINED

MAX_CODE_CHARACTERS = 20_000
_LOG_BYTES = 16_384
_TRAINS = "look at data, predictions and features, or fit in closed form; what is to be trained is an action"


class ExplorePlan(Record):
    """What was asked, and of which weights: the same once more has the same answer."""

    code_sha256: str
    checkpoint_sha256: str


@dataclass(frozen=True)
class ExploreStatus:
    """`already_done`: the same snippet had run on these weights before this call."""

    state: Literal["running", "done", "failed"]
    attempt: Attempt
    progress: Progress | None = None
    verdict: Verdict | None = None
    findings: Findings | None = None
    already_done: bool = False


def explore(project: Project, number: int, code: str, *, attach: int | None = None) -> ExploreStatus:
    """Starts the snippet on a trained version, or attaches to where it runs, or gives what it found.

    Returns at once. `attach` waits for that attempt, and starts none. Raises `OutOfOrder`, `DocumentError` for code
    that is empty or too long, `LoopError` without a sandbox, and what `require_weights` raises.
    """
    if not code.strip() or len(code) > MAX_CODE_CHARACTERS:
        raise DocumentError(
            f"is empty, or longer than {MAX_CODE_CHARACTERS:,} characters", where="code", hint="send a short snippet"
        )
    with turn(project, "explore", number) as t:
        if attach is not None:
            return _looked(t.version.attempt("explore", attach), t.rules, waited=True)
        plan = ExplorePlan(
            code_sha256=hashlib.sha256(code.encode()).hexdigest(),
            checkpoint_sha256=require_weights(t.version, _trained(t)),
        )
        for attempt in reversed(t.version.attempts("explore")):
            same, is_open = _plan(attempt) == plan, attempt.verdict is None
            found = _looked(attempt, t.rules) if same or is_open else None
            if found is not None and found.state == "running" and not same:
                raise OutOfOrder(
                    f"another snippet still runs on {t.version.id}",
                    hint="make that call again until it has ended, or end it with cancel_run",
                )
            # One that had failed before is tried again.
            if found is not None and same and (is_open or found.state != "failed"):
                return found
        return _started(t, code, plan)


def _trained(t: Turn) -> TrainReceipt:
    trained = t.version.receipt(TrainReceipt) if t.version.number in t.version.project.versions() else None
    if trained is None or t.state.loop is None:
        raise OutOfOrder(f"there is no trained version {t.version.number} to explore", hint=next_call(t.state))
    if t.state.phase in ("evaluating", "reporting"):  # two at once would measure each other's latency
        raise OutOfOrder("an evaluation runs, whose latency is being measured", hint=next_call(t.state))
    return trained


def _plan(attempt: Attempt) -> ExplorePlan | None:
    return load(attempt.project.workspace.tree, f"{attempt.relative}/plan.json", ExplorePlan)


def _started(t: Turn, code: str, plan: ExplorePlan) -> ExploreStatus:
    loop, version = t.state.loop, t.version
    assert loop is not None, "it is trained"
    require_room(version.project.workspace, t.rules.file.execution_config)
    with version.new_attempt("explore") as attempt:
        save(version.project.workspace.tree, f"{attempt.relative}/plan.json", plan)
        attempt.submit(prepare(attempt, t.rules, loop, code))
    version.record("explore_started", attempt=attempt.number, code_sha256=plan.code_sha256)
    return ExploreStatus("running", attempt, progress_of(attempt, attempt.status()))


def _looked(attempt: Attempt, rules: Rules, *, waited: bool = False) -> ExploreStatus:
    """How it stands; settles one that has ended. Needs the lock."""
    verdict, known = attempt.verdict, True
    if verdict is None:
        status = attempt.status()
        if status.state == "running":
            return ExploreStatus("running", attempt, progress_of(attempt, status))
        verdict, known = _settled(attempt, rules, attempt.swept(status)), False
    passed = verdict.status == "PASS"
    return ExploreStatus(
        "done" if passed else "failed",
        attempt,
        verdict=verdict,
        findings=findings(attempt),
        already_done=known and not waited,
    )


def _settled(attempt: Attempt, rules: Rules, status: JobStatus) -> Verdict:
    outcome = status.outcome
    wall = outcome.wall_seconds if outcome else None
    if failure := _of_process(attempt, rules, status):
        return settle_failure(attempt, failure, wall)
    verdict = Verdict(status="PASS", summary="explored", wall_seconds=wall, at=journal.now())
    return _recorded(attempt, verdict)


def settle_failure(attempt: Attempt, failure: Failure, wall: float | None) -> Verdict:
    """Records why it found nothing, or not all. Needs the lock."""
    return _recorded(attempt, failure.verdict(wall))


def _recorded(attempt: Attempt, verdict: Verdict) -> Verdict:
    attempt.save_verdict(verdict)
    clean_up(attempt)
    attempt.version.record("explored", attempt=attempt.number, ended_as=verdict.kind or "done")
    return verdict


def _of_process(attempt: Attempt, rules: Rules, status: JobStatus) -> Failure | None:
    if not attempt.submitted:
        return Failure("lost", "it was never started: the server ended in between", "")
    outcome, log = status.outcome, tail(attempt.log, _LOG_BYTES)
    rc = outcome.rc if outcome else None
    if rc == TRAINED:
        said = log.strip().rpartition("\n")[2]
        return Failure("rule violation", f"refused: {said}", "", _TRAINS)
    if rc == NOT_HIDDEN:
        hint = "move the test split out of the data set's folder: the user's to do"
        return Failure("limit", log.strip()[-300:], "", hint)
    minutes = rules.file.loop_config.max_explore_minutes
    failure = process_failure(
        outcome, log, limit_minutes=minutes, requested=attempt.cancel_requested, detail=status.detail
    )
    hints = {
        "code error": "mend the snippet and send it again",
        "timeout": "look at fewer samples, or at less of each",
        "limit": "write less, start no processes",
        "out of memory": "look at fewer samples at once",
    }
    return None if failure is None else Failure(failure.kind, failure.summary, "", hints.get(failure.kind, ""))


def explored(version: Version) -> tuple[tuple[Attempt, str, Findings], ...]:
    """Every snippet that ran to its end on the version, oldest first, with its code and what it found."""
    tree = version.project.workspace.tree
    done = [one for one in version.attempts("explore") if (verdict := one.verdict) and verdict.status == "PASS"]
    return tuple((one, tree.read(f"{one.relative}/{SNIPPET}").decode(), findings(one)) for one in done)
