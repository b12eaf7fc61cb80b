"""Why a run failed, by kind, with a short cause from its log and advice that fits the kind."""

import re
from dataclasses import dataclass

from .journal import now
from .receipts import FailureKind, Verdict
from .running.job import Outcome
from .running.logs import error_line, last_traceback

_OUT_OF_MEMORY = re.compile(
    r"CUDA out of memory|OutOfMemoryError|MemoryError|can't allocate memory|Cannot allocate memory|std::bad_alloc"
)
_DISK_FULL = re.compile(r"No space left on device|Disk quota exceeded|\[Errno 28\]|\[Errno 122\]")
_DIVERGED = re.compile(
    r"loss (?:is|became|was) (?:nan|inf)|(?:nan|inf)(?:inite)? loss|detected NaN|Encountered (?:the following )?NaN",
    re.IGNORECASE,
)

ADVICE: dict[FailureKind, str] = {
    "code error": "read the trace, find the cause, and repair this version's script; change nothing else",
    "rule violation": "make the script use the value that the user fixed",
    "evaluation output": "remove the code that writes evaluation outputs; scoring is the server's",
    "diverged": "repair the numerical cause: a lower learning rate or gradient clipping, unless the rules fix them",
    "out of memory": "use less memory (accumulate gradients, a smaller model part); a fixed batch size stays as it is",
    "killed": "run the training again; if the kernel killed it for memory, make it use less",
    "timeout": "make the run shorter, or ask the user to raise the limit in loop_config",
    "disk full": "free disk space, then run it again; the code is not at fault",
    "missing artifacts": "make the script leave what is named (docs/contract.md lists it)",
    "cancelled": "run it again when it is wanted",
    "lost": "run it again; the machine or its runner went away and the code is not at fault",
    "invalid score": "correct 03_eval.py through write_eval",
}


@dataclass(frozen=True)
class Failure:
    kind: FailureKind
    summary: str
    trace: str

    @property
    def advice(self) -> str:
        return ADVICE[self.kind]

    def verdict(self, wall_seconds: float | None) -> Verdict:
        return Verdict(
            status="FAIL",
            kind=self.kind,
            summary=self.summary,
            advice=self.advice,
            trace=self.trace,
            wall_seconds=wall_seconds,
            at=now(),
        )


def process_failure(outcome: Outcome | None, log: str, *, limit_minutes: float | None) -> Failure | None:
    """What the process itself says; None for one that ended with code 0. `log` is the log's end, cleaned."""
    if outcome is None or outcome.reason == "lost":
        return Failure("lost", "its runner is gone and left no result", "")
    trace = last_traceback(log) or ""
    if outcome.reason == "timeout":
        told = f"still running after {limit_minutes:g} minutes" if limit_minutes else "timed out"
        return Failure("timeout", told, trace)
    if outcome.reason == "cancelled":
        return Failure("cancelled", "cancelled on request", "")
    if outcome.rc == 0:
        return None
    cause = error_line(log) or "the log names no cause"
    if _DISK_FULL.search(log):
        return Failure("disk full", cause, trace)
    if _OUT_OF_MEMORY.search(log):
        return Failure("out of memory", cause, trace)
    if outcome.signal in (9, 15):
        name = "SIGKILL; often the kernel's out-of-memory killer" if outcome.signal == 9 else "SIGTERM"
        return Failure("killed", f"ended by a signal from outside ({name})", trace)
    if outcome.signal is not None:
        return Failure("code error", f"crashed with {outcome.signal_name or f'signal {outcome.signal}'}: {cause}", trace)
    if _DIVERGED.search(cause):
        return Failure("diverged", cause, trace)
    return Failure("code error", f"exit code {outcome.rc}: {cause}", trace)
