"""How far a running job is: its epoch, its newest metrics, and about how long it still takes."""

from dataclasses import dataclass

from ..jobs.job import JobStatus, Stalled, WaitingFor
from ..project.attempts import Attempt
from ..project.version import Version
from ..script.settings import settings
from ..script.synonyms import synonyms
from .curves import newest

EPOCHS = synonyms("epochs")


@dataclass(frozen=True)
class Progress:
    """How far a running job is. Epochs count from 1; times are in seconds. `waiting` says why it has not begun.

    `stalled` is set while a training makes no step.
    """

    elapsed_seconds: float = 0.0
    epoch: int | None = None
    epochs: int | None = None
    eta_seconds: float | None = None
    latest: tuple[tuple[str, float], ...] = ()
    waiting: str | None = None
    waiting_for: WaitingFor | None = None
    stalled: Stalled | None = None


def progress_of(attempt: Attempt, status: JobStatus) -> Progress:
    """How far the attempt's job is.

    Of a training the epoch and the time left come from the metrics.csv so far and the number of epochs that the script
    states; a script that states none, or hasn't written a row yet, has neither. Of an evaluation only the elapsed time
    is known. Raises `ScriptError` for a training script that can't be read.
    """
    elapsed = status.elapsed_seconds or 0.0
    if attempt.kind != "train" or status.waiting is not None:
        return Progress(elapsed, waiting=status.waiting, waiting_for=status.waiting_for)
    version = attempt.version
    seen = newest(version.project.workspace.tree, version.artifacts)
    if seen is None:
        return Progress(elapsed, stalled=status.stalled)
    total = epochs_asked(version)
    epoch = seen.last_epoch + 1
    trained = epoch - seen.first_epoch  # a resumed run has not trained the ones before
    eta = elapsed / trained * (total - epoch) if total is not None and total >= epoch else None
    return Progress(elapsed, epoch, total, eta, tuple(seen.values.items())[:6], stalled=status.stalled)


def epochs_asked(version: Version) -> int | None:
    """How many epochs the script states; None where it states none. Raises `ScriptError` like `progress_of`."""
    stated = settings(version.script(authored=False))
    return next((one.value for one in stated if one.name.lower() in EPOCHS and type(one.value) is int), None)
