"""How far a running job is: its epoch, its newest metrics, and about how long it still takes."""

from dataclasses import dataclass

from ..jobs.job import JobStatus, WaitingFor
from ..project.attempts import Attempt
from ..script.fixed import synonyms
from ..script.settings import settings
from .curves import newest

EPOCHS = synonyms("epochs")


@dataclass(frozen=True)
class Progress:
    """How far a running job is. Epochs count from 1; times are in seconds. `waiting` says why it has not begun."""

    elapsed_seconds: float = 0.0
    epoch: int | None = None
    epochs: int | None = None
    eta_seconds: float | None = None
    latest: tuple[tuple[str, float], ...] = ()
    waiting: str | None = None
    waiting_for: WaitingFor | None = None


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
        return Progress(elapsed)
    stated = settings(version.script(authored=False))
    totals = (one.value for one in stated if one.name.lower() in EPOCHS and type(one.value) is int)
    total = next(totals, None)
    epoch = seen.last_epoch + 1
    trained = epoch - seen.first_epoch  # a resumed run has not trained the ones before
    eta = elapsed / trained * (total - epoch) if total is not None and total >= epoch else None
    return Progress(elapsed, epoch, total, eta, tuple(seen.values.items())[:6])
