"""What a person sees while a job runs: a live display on a terminal, now and then a line elsewhere."""

import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from ...loop.errors import LoopError
from ...loop.judge.best import best_version, primary_metric
from ...loop.project.project import Project
from ...loop.project.receipts import EvalReceipt
from ...loop.store.paths import version_id
from ...tools import next_step
from ...tools.looking.next_step import NextStepResult
from ...tools.results import JobView
from ..answers import cause

_REFRESHES_A_SECOND = 4
_LINE_SECONDS = 15.0
_BAR_COLUMNS = 16
_DOING = {"rehearse": "rehearsing", "train": "training", "eval": "scoring", "explore": "exploring"}


@contextmanager
def live(project: Project, out: Console, *, quiet: bool = False, told: Callable[[], str] = str) -> Generator[None]:
    """Shows the running job on `out` while the block runs; nothing on what is no terminal.

    `told` says what goes on where it is no single job.
    """
    if quiet or not out.is_terminal or out.is_dumb_terminal:
        yield
        return
    show = partial(picture, project, told)
    with Live(get_renderable=show, console=out, transient=True, refresh_per_second=_REFRESHES_A_SECOND):
        yield


def lines(out: Console, *, quiet: bool = False) -> Callable[[str], None]:
    """Tells how far it is in plain lines, four a minute at most; nothing on a terminal, which has the live display."""
    told = time.monotonic()

    def tell(line: str) -> None:
        nonlocal told
        if quiet or (out.is_terminal and not out.is_dumb_terminal) or time.monotonic() - told < _LINE_SECONDS:
            return
        told = time.monotonic()
        out.print(line, markup=False)

    return tell


def picture(project: Project, told: Callable[[], str] = str) -> RenderableType:
    """Two lines: the present step with its epochs, time left and newest values; the best version so far."""
    try:
        now = next_step(project, brief=False)
        best = _best(project, now)
    except (LoopError, OSError) as error:
        what = error.what if isinstance(error, LoopError) else cause(error)
        return Text(what, overflow="ellipsis", no_wrap=True)
    row = Text(no_wrap=True, overflow="ellipsis")
    row.append(version_id(now.version) if now.version else "start", style="bold")
    if now.job is None:
        row.append(f" {told() or now.phase}")
    else:
        _append_job(row, now.job)
    return Group(row, Text(best, style="dim", no_wrap=True, overflow="ellipsis"))


def _append_job(row: Text, job: JobView) -> None:
    row.append(f" {_DOING[job.kind]}", style="cyan")
    if job.waiting is not None:
        row.append(f" {job.waiting}")
        return
    if job.epoch is not None and job.epochs:
        done = min(_BAR_COLUMNS, _BAR_COLUMNS * job.epoch // job.epochs)
        row.append(" ").append("━" * done, style="cyan").append("━" * (_BAR_COLUMNS - done), style="bright_black")
        row.append(f" epoch {job.epoch}/{job.epochs}")
    row.append(f" {_clock(job.elapsed_seconds)}")
    if job.eta_seconds is not None:
        row.append(f", {_clock(job.eta_seconds)} left")
    names = sorted(job.latest, key=lambda name: not name.startswith("val"))  # what is judged comes first
    newest = ", ".join(f"{name} {job.latest[name]:.4g}" for name in names)
    row.append(f"  {newest}", style="dim")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _best(project: Project, now: NextStepResult) -> str:
    rules = project.rules()
    best = best_version(project, rules)
    receipt = best.receipt(EvalReceipt) if best else None
    metric = primary_metric(receipt, rules) if receipt else None
    told = f"version {now.version or 0} of at most {now.max_versions}"
    if best is None or metric is None:
        return f"{told}; none is scored yet"
    return f"{told}; best so far {best.id} with {metric.name} {metric.value:.4g}"


def console() -> Console:
    """Where results go; plain text where it is no terminal."""
    return Console(highlight=False, soft_wrap=not sys.stdout.isatty())
