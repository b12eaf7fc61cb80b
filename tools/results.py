"""What every Step returns: a result that needs no other one to be understood, and says what comes next."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..loop.jobs.job import StalledIn, WaitingFor
from ..loop.project.attempts import Attempt
from ..loop.project.project import Project
from ..loop.project.receipts import Metric, Verdict
from ..loop.project.state import LoopState, Next, derive

if TYPE_CHECKING:
    from ..loop.train.progress import Progress


class Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class JobView(Value):
    """A running job. `folder` holds its log.txt; times are in seconds. `waiting` says why it has not begun yet.

    `waiting_for` is that reason as a code. `stalled` says for how long a training has made no new step, while that is
    far longer than usual, and `stalled_in` where, as a code.
    """

    kind: Literal["train", "eval", "rehearse", "explore"]
    attempt: int
    folder: str
    elapsed_seconds: float
    epoch: int | None = None
    epochs: int | None = None
    eta_seconds: float | None = None
    latest: Mapping[str, float] = {}
    waiting: str | None = None
    waiting_for: WaitingFor | None = None
    stalled: str | None = None
    stalled_in: StalledIn | None = None

    @property
    def line(self) -> str:
        """One line for a person: `epoch 2/3, 4 s left`."""
        if self.waiting is not None:
            return f"{self.kind}: {self.waiting}"
        parts = [f"{self.kind}: {self.elapsed_seconds:.0f} s"]
        if self.stalled is not None:
            parts.append(f"stalled: {self.stalled}")
        if self.epoch is not None:
            parts.append(f"epoch {self.epoch}" + (f"/{self.epochs}" if self.epochs else ""))
        if self.eta_seconds is not None:
            parts.append(f"about {self.eta_seconds:.0f} s left")
        parts += [f"{name} {value:.4g}" for name, value in list(self.latest.items())[:3]]
        return ", ".join(parts)


class FailureView(Value):
    """Why a run failed. `saved_seconds`: about how long it would have gone on, where it was ended early."""

    kind: str
    summary: str
    advice: str
    trace: str = ""
    saved_seconds: float | None = None


class Together(Value):
    """Several jobs that run side by side: their folders, how far they are together, and that in words."""

    folders: tuple[str, ...]
    done: int
    total: int
    line: str


class StepResult(Value):
    """What every Step returns; each adds its own fields.

    `together` and `reading` are for who waits in this process: a client reads `job`, the first of them, and the
    message.
    """

    state: Literal["done", "running", "failed"] = "done"
    message: str
    phase: str
    version: int | None
    already_done: bool = False
    job: JobView | None = None
    failure: FailureView | None = None
    next: Next | None
    together: Together | None = Field(default=None, exclude=True)
    reading: str | None = Field(default=None, exclude=True)
    """How far large data is read, where no job runs yet."""
    began: bool = Field(default=True, exclude=True)
    """Whether the job that runs was begun by this call, where that is known; else somebody waits for another's."""
    images: tuple[bytes, ...] = Field(default=(), exclude=True)
    """PNG pictures for clients that look at them."""

    @property
    def folders(self) -> tuple[str, ...]:
        """Of the jobs whose end is waited for; there is news as soon as one of them has ended."""
        if self.together is not None:
            return self.together.folders
        return () if self.job is None else (self.job.folder,)

    @property
    def line(self) -> str:
        """How far it is, in one line for a person."""
        if self.together is not None:
            return self.together.line
        if self.job is not None:
            return self.job.line
        return self.message if self.reading is None else self.reading


def work():  # its type is the module itself, which an annotation can't say
    """`tools/work.py`, the one door through which the Steps reach the part of the loop that does what they say."""
    from . import work

    return work


def where_now(project: Project) -> LoopState:
    """The state after a Step, with the next call. Raises `RulesError`, and what `derive` raises."""
    return derive(project, project.rules())


def failure_of(verdict: Verdict | None) -> FailureView | None:
    if verdict is None or verdict.kind is None:
        return None
    return FailureView(
        kind=verdict.kind,
        summary=verdict.summary[:1500],
        advice=verdict.advice,
        trace=verdict.trace[-3000:],
        saved_seconds=verdict.saved_seconds,
    )


def job_of(attempt: Attempt, progress: "Progress") -> JobView:
    eta = _left(attempt, progress)
    return JobView(
        kind=attempt.kind,
        attempt=attempt.number,
        folder=attempt.relative,
        elapsed_seconds=round(progress.elapsed_seconds, 1),
        epoch=progress.epoch,
        epochs=progress.epochs,
        eta_seconds=None if eta is None else round(eta, 1),
        latest=dict(progress.latest),
        waiting=progress.waiting,
        waiting_for=progress.waiting_for,
        stalled=None if progress.stalled is None else str(progress.stalled),
        stalled_in=None if progress.stalled is None else progress.stalled.within,
    )


def _left(attempt: Attempt, progress: "Progress") -> float | None:
    """Seconds that the job still takes: as it goes itself, else as others of its kind took, or the rehearsal."""
    if progress.eta_seconds is not None or progress.waiting is not None or attempt.kind in ("rehearse", "explore"):
        return progress.eta_seconds
    project = attempt.project
    rules = project.rules()
    known = work().estimate(project, rules, derive(project, rules))
    whole = (known.train_seconds if attempt.kind == "train" else known.evaluate_seconds) if known is not None else None
    return whole - progress.elapsed_seconds if whole is not None and whole > progress.elapsed_seconds else None


def metric_line(metrics: tuple[Metric, ...]) -> str:
    return ", ".join(f"{metric.name} {metric.value:.6g}" for metric in metrics)
