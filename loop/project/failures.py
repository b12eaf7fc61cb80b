"""Why a run failed, by kind, with a short cause from its log and advice that fits the kind."""

import re
from dataclasses import dataclass, replace

from ..jobs.job import Outcome
from ..jobs.logs import error_line, last_traceback, of_first_failure
from ..store.journal import now
from .receipts import FailureKind, Verdict

_OUT_OF_MEMORY = re.compile(
    r"CUDA out of memory|OutOfMemoryError|MemoryError|can't allocate memory|Cannot allocate memory|std::bad_alloc"
    r"|CUBLAS_STATUS_ALLOC_FAILED|insufficient shared memory|tasks? \S+: Out Of Memory"
)
_DISK_FULL = re.compile(r"No space left on device|Disk quota exceeded|\[Errno 28\]|\[Errno 122\]")
_FILE_TOO_LARGE = re.compile(r"\[Errno 27\]|File too large")
_READ_ONLY = re.compile(r"\[Errno 30\] Read-only file system(?:: (?P<path>.*))?")
_EVALUATION_OUTPUT = re.compile(r"eval_score\.json|infer_samples")
_MOST_KILLED = 3  # named in a summary; result.json has more
# How torch or srun speak of a worker or a rank that somebody else killed.
_WORKER_KILLED = re.compile(
    r"DataLoader worker \(pid.*is killed by signal: (?:Killed|Terminated)|[Ss]ignal (?:9|15) \(SIG(?:KILL|TERM)\)"
    r"|srun: error: \S+: tasks? \S+: (?:Killed|Terminated)"
)
_DIVERGED = re.compile(
    r"loss (?:is|became|was) (?:nan|inf)|(?:nan|inf)(?:inite)? loss|detected NaN|Encountered (?:the following )?NaN",
    re.IGNORECASE,
)
# Who ended it was neither the script nor we: a machine going down, a scheduler, a person, a limit of the system.
_FROM_OUTSIDE = {1: "SIGHUP", 2: "SIGINT", 9: "SIGKILL", 15: "SIGTERM", 24: "SIGXCPU, the limit on processor time"}

ADVICE: dict[FailureKind, str] = {
    "code error": "read the trace, find the cause, and repair this version's script; change nothing else",
    "rule violation": "make the script use the value that the user fixed",
    "evaluation output": "remove the code that writes evaluation outputs; scoring is the server's",
    "diverged": "repair the numerical cause: a lower learning rate or gradient clipping, unless the rules fix them",
    "out of memory": "use less memory (accumulate gradients, a smaller model part); a fixed batch size stays as it is",
    "killed": "run it again; the code is not at fault, unless it used up the machine's memory",
    "stalled": "find what it waits for (data, workers, other processes) and repair that, or go on with resume;"
    " the user's loop_config.stop_stalled ended it",
    "stopped": "the user's loop_config.stop_when ended a hopeless run, and would end the same script again:"
    " take back or soften what makes this version worse, within the rules",
    "timeout": "make the run shorter, or ask the user to raise the limit in loop_config",
    "disk full": "free disk space, then run it again; the code is not at fault",
    "limit": "make it use less: keep fewer checkpoints (save_top_k), start fewer processes; or ask the user to raise"
    " the limit in execution_config (max_artifact_gb, max_processes)",
    "missing artifacts": "make the script leave what is named (docs/contract.md lists it)",
    "unreadable output": "make the script leave that file as any other one of its kind: plain values, a moderate size,"
    " not nested without end",
    "cancelled": "run it again when it is wanted",
    "lost": "run it again; the machine or its runner went away and the code is not at fault",
    "invalid score": "correct 03_eval.py through write_eval",
    "other samples": "seed the split of the data, or keep it in a file, with repair_version",
}


@dataclass(frozen=True)
class Failure:
    kind: FailureKind
    summary: str
    trace: str
    hint: str = ""
    saved_seconds: float | None = None

    @property
    def advice(self) -> str:
        """What fits the kind, unless this very failure has a better `hint`."""
        return self.hint or ADVICE[self.kind]

    def verdict(self, wall_seconds: float | None) -> Verdict:
        return Verdict(
            status="FAIL",
            kind=self.kind,
            summary=self.summary,
            advice=self.advice,
            trace=self.trace,
            wall_seconds=wall_seconds,
            saved_seconds=self.saved_seconds,
            at=now(),
        )


def _last_words(log: str) -> str:
    said = [line.strip() for line in log.splitlines() if line.strip()]
    return f"the log names no error; it ends with: {said[-1][:300]}" if said else "the log is empty"


def process_failure(
    outcome: Outcome | None,
    log: str,
    *,
    limit_minutes: float | None,
    requested: bool = True,
    detail: str | None = None,
) -> Failure | None:
    """What the process itself says, and who had to be killed; None for one that ended with code 0.

    `log` is the log's end, cleaned; `requested` whether a cancellation was ours; `detail` why an outcome is lost.
    """
    failure = _of_process(outcome, log, limit_minutes, requested, detail)
    if failure is None or outcome is None or not outcome.killed:
        return failure
    more = len(outcome.killed) - _MOST_KILLED
    named = ", ".join((*outcome.killed[:_MOST_KILLED], *([f"and {more} more"] if more > 0 else ())))
    return replace(failure, summary=f"{failure.summary}; had to be killed: {named}")


def _of_process(
    outcome: Outcome | None, log: str, limit_minutes: float | None, requested: bool, detail: str | None
) -> Failure | None:
    if outcome is None or outcome.reason == "lost":
        return Failure("lost", detail or "its runner is gone and left no result", "")
    log = of_first_failure(log)
    trace = last_traceback(log) or ""
    if outcome.reason == "timeout":
        told = f"still running after {limit_minutes:g} minutes" if limit_minutes else "timed out"
        return Failure("timeout", outcome.detail or told, trace)
    if outcome.reason == "diverged":
        return Failure("diverged", outcome.detail or "its loss became NaN or infinite", "")
    if outcome.reason == "stalled" or outcome.reason == "stopped":
        return Failure(outcome.reason, outcome.detail or "it was ended by what its runner watched", trace)
    if outcome.reason == "limit":
        return Failure("limit", outcome.detail or "it passed a limit", trace)
    if outcome.reason == "cancelled":
        told = outcome.detail or "its runner was asked to end from outside: a scheduler, or the machine going down"
        return Failure("cancelled", "cancelled on request", "") if requested else Failure("killed", told, trace)
    if outcome.rc == 0:
        return None
    return _used_up(outcome, log, trace) or _ended_from_outside(outcome, log, trace) or _own_fault(outcome, log, trace)


def _used_up(outcome: Outcome, log: str, trace: str) -> Failure | None:
    """Disk, memory or a file's size came to an end."""
    cause = error_line(log) or _last_words(log)
    if outcome.disk_full or _DISK_FULL.search(log):
        return Failure("disk full", cause if _DISK_FULL.search(log) else f"no space left on the disk; {cause}", trace)
    if _OUT_OF_MEMORY.search(log):
        return Failure("out of memory", cause, trace)
    if outcome.oom_kills and (outcome.signal == 9 or _WORKER_KILLED.search(log)):
        return Failure("out of memory", "the kernel killed it for memory (SIGKILL, and its oom_kill count rose)", trace)
    if _FILE_TOO_LARGE.search(cause):
        return Failure("limit", cause, trace)
    return None


def _ended_from_outside(outcome: Outcome, log: str, trace: str) -> Failure | None:
    if outcome.signal in _FROM_OUTSIDE:
        told = f"ended by a signal from outside ({_FROM_OUTSIDE[outcome.signal]})"
        if outcome.signal == 9 and outcome.oom_kills is None:
            told += "; often that is the kernel's out-of-memory killer"
        return Failure("killed", told, trace)
    if killed := _WORKER_KILLED.search(log):
        return Failure("killed", f"one of its processes was killed from outside: {killed[0]}", trace)
    return None


def _own_fault(outcome: Outcome, log: str, trace: str) -> Failure:
    cause = error_line(log) or _last_words(log)
    if outcome.signal is not None:
        name = outcome.signal_name or f"signal {outcome.signal}"
        return Failure("code error", f"crashed with {name}: {cause}", trace)
    if refused := _READ_ONLY.search(cause):
        if _EVALUATION_OUTPUT.search(refused["path"] or ""):
            return Failure("evaluation output", cause, trace)
        hint = "write only below the version's own artifact folder and TMPDIR; all else is read-only in the sandbox"
        return Failure("code error", cause, trace, hint)
    if _DIVERGED.search(cause):
        return Failure("diverged", cause, trace)
    return Failure("code error", f"exit code {outcome.rc}: {cause}", trace)
