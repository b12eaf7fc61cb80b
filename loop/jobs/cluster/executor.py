"""Jobs on a cluster: the scheduler says whether one lives, and the attempt's folder says everything else."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from ...errors import RunError
from ..job import LOST, Job, JobStatus, Outcome
from ..logs import tail
from ..records import check_startable, create_job, read_heartbeat, read_job, read_stall, submitted_before
from ..runner import attempt_files as files
from . import submission
from .scheduler import Scheduler, Seen
from .submission import Submission

_LATE_SECONDS = 30.0  # how long a network file system may hide a result that has been written
_POLL_SECONDS = 0.2
_OUTPUT_BYTES = 2000
# Longer than a scheduler's answer may be old: one that still waits then has not begun, and can't any more.
_WITHDRAWN_SECONDS = 2.0


class BatchExecutor:
    """Runs each job's runner where `scheduler` puts it. The project's folder has to be the same one there.

    `end_seconds` is what cancel() gives the scheduler beyond the job's grace.
    """

    def __init__(self, scheduler: Scheduler, *, end_seconds: float = 60.0) -> None:
        self._scheduler = scheduler
        self._end_seconds = end_seconds

    @property
    def name(self) -> str:
        return self._scheduler.name.lower()

    def submit(self, attempt: Path, job: Job) -> None:
        """Returns when the scheduler has taken the job; it may wait long before it begins. See Executor.submit."""
        assert job.placement is not None, "a job without a placement belongs on this machine"
        attempt = attempt.absolute()
        check_startable(job)
        asked = Submission.new(job.placement, job)
        try:
            attempt.mkdir(parents=True, exist_ok=True)
            if (attempt / files.JOB).exists():
                raise submitted_before(attempt)
            header = self._scheduler.header(asked.name, attempt / submission.OUTPUT, job.placement)
            script = submission.write_script(attempt, header, job.placement)
            asked.save(attempt)
            create_job(attempt, job)
        except OSError as error:
            raise RunError(f"the attempt can't be written: {error.strerror}", where=str(attempt)) from error
        try:
            accepted = self._scheduler.submit(asked.name, script, job.placement)
        except RunError:
            for name in (files.JOB, files.BATCH):
                (attempt / name).unlink()
            raise
        submission.save_id(attempt, accepted)

    def expect(self, jobs: Callable[[], Sequence[Job]], state: Path) -> None:
        """Nothing: an interpreter can't wait on a node that the scheduler has not given."""

    def poll(self, attempt: Path) -> JobStatus:
        """Queued and running by the scheduler's word; after that result.json counts, and without one the job is lost.

        The scheduler is asked first, since the script could write a result.json of its own while it runs.
        """
        if not (attempt / files.JOB).exists():
            raise RunError("no job was submitted here", where=str(attempt), hint="submit one")
        return self._status(attempt, self._look(attempt))

    def cancel(self, attempt: Path) -> JobStatus:
        """Asks the scheduler for the end and waits until nothing of the job is left there; see Executor.cancel.

        Some schedulers can't take back what waits, and a job that was given up as lost may turn up after all (its
        submitter died in mid-request): without its token the script ends at once, should it ever begin.
        """
        status = self.poll(attempt)
        if status.state == "finished":
            return status
        (attempt / submission.TOKEN).unlink(missing_ok=True)
        job = self._id(attempt)  # after that: what isn't known even now can't begin any more
        seen = None if job is None else self._scheduler.look(job, fresh=True)
        if job is not None and seen is not None and seen.state != "ended":
            self._scheduler.cancel(job)
            asked = time.monotonic()
            deadline = asked + (read_job(attempt) or Job).grace_seconds + self._end_seconds
            while (seen := self._scheduler.look(job, fresh=True)) is not None and seen.state != "ended":
                if seen.state == "queued" and time.monotonic() >= asked + _WITHDRAWN_SECONDS:
                    break
                if time.monotonic() >= deadline:
                    raise RunError(
                        f"{self._scheduler.name} has not ended job {job} yet: {seen.word}",
                        where=str(attempt),
                        hint="call cancel_run again, or end it with the scheduler's own command",
                    )
                time.sleep(_POLL_SECONDS)
        return self.poll(attempt)

    def _id(self, attempt: Path) -> str | None:
        """The scheduler's id of the job; asks by its name if whoever submitted it died before noting that."""
        try:
            if (known := submission.read_id(attempt)) is not None:
                return known
            asked = Submission.read(attempt)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(f"{files.BATCH} can't be used: {error}", where=str(attempt)) from error
        found = self._scheduler.find(asked.name) if asked else None
        if found is not None:
            submission.save_id(attempt, found)
        return found

    def _look(self, attempt: Path) -> Seen | None:
        job = self._id(attempt)
        # Signs that the end is near: the next look at all jobs needn't be waited for.
        fresh = (attempt / files.RESULT).exists() or _is_withdrawn(attempt)
        return None if job is None else self._scheduler.look(job, fresh=fresh)

    def _status(self, attempt: Path, seen: Seen | None) -> JobStatus:
        elapsed = _elapsed(attempt)
        withdrawn = _is_withdrawn(attempt) and elapsed is None
        if seen is not None and seen.state == "queued" and not withdrawn:
            words = _waiting(self._scheduler.name, seen)
            return JobStatus("running", None, None, waiting=words, waiting_for=seen.waiting_for)
        if seen is not None and seen.state == "running":
            return JobStatus("running", None, elapsed, stalled=read_stall(attempt))
        try:
            outcome = Outcome.from_json(files.read_text(attempt / files.RESULT))
        except FileNotFoundError:
            if withdrawn:
                outcome = replace(LOST, reason="cancelled", detail="it had not begun")
                return JobStatus("finished", outcome, None)
            return self._without_result(attempt, seen, elapsed)
        except (OSError, UnicodeDecodeError, RunError) as error:
            return _lost(f"{files.RESULT} can't be used: {error}", elapsed)
        if seen is not None:
            outcome = _as_ended(outcome, seen, self._scheduler.name)
        job = read_job(attempt)
        if outcome.reason == "timeout" and outcome.detail is None and job is not None and job.timeout_seconds:
            outcome = replace(outcome, detail=f"still running after {job.timeout_seconds / 60:g} minutes")
        return JobStatus("finished", outcome, outcome.wall_seconds)

    def _without_result(self, attempt: Path, seen: Seen | None, elapsed: float | None) -> JobStatus:
        name = self._scheduler.name
        if seen is None:
            return _lost(f"{name} knows nothing of the job any more, and it left no result", elapsed)
        if seen.ending in ("cancelled", "timeout", "out of memory"):
            reasons = {"cancelled": "cancelled", "timeout": "timeout", "out of memory": "exited"}
            outcome = replace(
                LOST, reason=reasons[seen.ending], wall_seconds=elapsed, detail=f"{name} ended it: {seen.word}"
            )
            if seen.ending == "out of memory":
                outcome = replace(outcome, signal=9, signal_name="SIGKILL", oom_kills=1)
            return JobStatus("finished", outcome, elapsed)
        if seen.ending != "by itself":
            return _lost(f"{name}: {seen.ending} ({seen.word})", elapsed)
        said = tail(attempt / submission.OUTPUT, _OUTPUT_BYTES).strip()
        if seen.exit_code == submission.NOT_SHARED:
            hint = "the project has to lie on a file system that the nodes share"
            return _lost(f"{said or 'the node does not see the project'}: {hint}", elapsed)
        if seen.exit_code == submission.NO_INTERPRETER:
            hint = "install the server where the nodes see it, such as in a shared home folder"
            return _lost(f"{said or 'the node does not see the server'}: {hint}", elapsed)
        if seen.ended_at is not None and time.time() - seen.ended_at < _LATE_SECONDS:
            return JobStatus("running", None, elapsed, detail="its result is not visible here yet")
        code = "" if seen.exit_code is None else f" with code {seen.exit_code}"
        return _lost(f"{name}'s job ended{code} and left no result" + (f": {said}" if said else ""), elapsed)


def _as_ended(outcome: Outcome, seen: Seen, name: str) -> Outcome:
    """The outcome with the scheduler's word on who ended it.

    It signals the script as well as its runner, so that the script may seem to have ended by itself.
    """
    if outcome.reason not in ("exited", "cancelled"):
        return outcome
    detail = f"{name} ended it: {seen.word}"
    if seen.ending in ("cancelled", "preempted") or (seen.ending, outcome.reason) == ("node failed", "cancelled"):
        return replace(outcome, reason="cancelled", detail=detail)
    if seen.ending == "timeout":
        return replace(outcome, reason="timeout", detail=detail)
    if seen.ending == "out of memory" and outcome.rc != 0:
        return replace(outcome, oom_kills=max(1, outcome.oom_kills or 0))
    return outcome


def _lost(detail: str, elapsed: float | None) -> JobStatus:
    return JobStatus("lost", replace(LOST, wall_seconds=elapsed), elapsed, detail=detail)


def _waiting(name: str, seen: Seen) -> str:
    """Why it waits, its place, and when it may start, as far as the scheduler says."""
    line = f"waits in {name}'s queue: {seen.word}"
    if seen.position is not None:
        line += f", place {seen.position} of {seen.waiting}"
    return f"{line}, starts about {seen.starts_at}" if seen.starts_at else line


def _is_withdrawn(attempt: Path) -> bool:
    """Whether cancel() was called for it."""
    return not (attempt / submission.TOKEN).exists()


def _elapsed(attempt: Path) -> float | None:
    """By the runner's own clock: the node's may differ from this one's."""
    beat = read_heartbeat(attempt)
    return beat.elapsed_seconds if beat else None
