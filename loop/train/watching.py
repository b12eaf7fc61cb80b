"""While a training runs: what its runner watches, why that ended it, and how much time that saved."""

import math
from collections.abc import Iterator
from dataclasses import replace
from statistics import fmean

from ..jobs.job import Outcome, StopWhen, Watching
from ..jobs.records import read_job
from ..project.attempts import Attempt
from ..project.failures import Failure
from ..project.notices import Notice
from ..project.receipts import TrainReceipt
from ..project.version import Version
from ..record.facts import Section
from ..record.parts import Diverged
from ..record.ranks import RunFacts
from ..rules.reading import Rules
from ..rules.stop_when import Condition, parse_condition
from ..text import duration
from .curves import newest, read_curves, shown_curves
from .progress import epochs_asked

_MOST_LOADERS = 32


def watching(attempt: Attempt, rules: Rules) -> Watching:
    """What ends the attempt's training early, or has it said to have stalled.

    A condition on the best value has no effect where no earlier version has one, or none above 0.
    """
    config, tree = rules.file.loop_config, attempt.project.workspace.tree
    conditions = (_resolved(attempt.version, metric, text) for metric, text in config.stop_when.items())
    return Watching(
        facts=str(tree.path(attempt.facts)),
        logs=str(tree.path(attempt.version.artifacts) / "logs"),
        stalled_seconds=60 * config.stalled_minutes,
        stop_stalled=config.stop_stalled,
        stop_when=tuple(one for one in conditions if one is not None),
    )


def _resolved(version: Version, metric: str, text: str) -> StopWhen | None:
    condition = parse_condition(text)
    limit, told = condition.value, f'"{text}"'
    if condition.of_best:
        found = _best(version, metric, condition)
        if found is None:
            return None
        value, where = found
        limit = condition.value * value
        told = f'"{text}", which is {limit:.6g} (the best of {where} is {value:.6g})'
    return StopWhen(metric, condition.sign, limit, condition.first, condition.last, told)


def _best(version: Version, metric: str, condition: Condition) -> tuple[float, str] | None:
    """The best value of an earlier version in any epoch, and whose it is; None unless it is above 0."""
    found: list[tuple[float, str]] = []
    for earlier in _earlier(version):
        curves = shown_curves(version.project.workspace.tree, earlier.artifacts)
        series = curves.series.get(metric, ()) if curves is not None else ()
        found += [(value, earlier.id) for value in series if value is not None and math.isfinite(value)]
    best = (min if condition.lower_is_better else max)(found, key=lambda one: one[0], default=None)
    return best if best is not None and best[0] > 0 else None


def _earlier(version: Version) -> Iterator[Version]:
    project = version.project
    for number in project.versions():
        if number < version.number and (one := Version(project, number)).receipt(TrainReceipt) is not None:
            yield one


def ended_early(attempt: Attempt, outcome: Outcome, failure: Failure, facts: RunFacts) -> Failure:
    """The failure with what is known of it, if it was ended while it ran: the loss, the epoch, and the saved time."""
    if outcome.reason not in ("diverged", "stalled", "stopped"):
        return failure
    diverged = next((one.diverged for one in _sections(facts) if one.diverged is not None), None)
    if outcome.reason == "diverged" and diverged is not None:
        failure = replace(failure, summary=_told(diverged))
    saved = _saved(attempt, outcome, facts)
    if saved is None:
        return failure
    return replace(failure, summary=f"{failure.summary}; that saved about {duration(saved)}", saved_seconds=saved)


def _sections(facts: RunFacts) -> Iterator[Section]:
    for process in facts.processes:
        yield from process.sections
        if process.script is not None:
            yield process.script


def _told(found: Diverged) -> str:
    since = "" if found.last_finite is None else f", after {found.last_finite:.6g}"
    where = f"in epoch {found.epoch + 1}, at backward pass {found.backward} of the fit"
    rest = "the weights are no numbers any more" if found.spoiled else "it has not been a number since"
    return f"the training loss became {found.value}{since}, {where}: {rest}"


def _saved(attempt: Attempt, outcome: Outcome, facts: RunFacts) -> float | None:
    """Seconds that the run would have gone on; of one that stalled, as far as its time limit goes."""
    wall = outcome.wall_seconds
    if wall is None:
        return None
    if outcome.reason == "stalled":
        job = read_job(attempt.path)
        whole = None if job is None else job.timeout_seconds
    else:
        whole = _whole_seconds(attempt.version, facts)
        if whole is None or whole <= wall:  # what was recorded is some seconds old
            whole = _by_epochs(attempt.version, wall)
    return round(whole - wall, 1) if whole is not None and whole > wall else None


def _by_epochs(version: Version, wall: float) -> float | None:
    """What all of the run would have taken, by the epochs of its metrics.csv."""
    seen, epochs = newest(version.project.workspace.tree, version.artifacts), epochs_asked(version)
    if seen is None or epochs is None:
        return None
    trained = seen.last_epoch + 1 - seen.first_epoch
    return wall / trained * (epochs - seen.first_epoch) if trained > 0 else None


def _whole_seconds(version: Version, facts: RunFacts) -> float | None:
    """What all of the run would have taken, by what was measured of it; None where it isn't known how long it is."""
    process = facts.first
    if process is None:
        return None
    fit = facts.fits[-1].first if facts.fits else None
    if fit is None:
        return None if process.script is None else _of_loop(process.script, version)
    done = _part(fit)
    return max(0.0, fit.began - process.began) + fit.seconds / done if done else None


def _part(fit: Section) -> float | None:
    """Which part of a fit is done, by its batches."""
    settings = fit.settings
    if settings is None or not isinstance(settings.num_training_batches, int) or not settings.num_training_batches:
        return None
    asked: list[float] = []
    if settings.max_epochs is not None and settings.max_epochs > 0:
        asked.append((settings.max_epochs - fit.epoch_before) * settings.num_training_batches)
    if settings.max_steps is not None and settings.max_steps > 0:
        each = settings.accumulate_grad_batches
        asked.append((settings.max_steps - fit.steps_before) * (each if isinstance(each, int) else 1))
    return fit.batches / min(asked) if asked and min(asked) > 0 else None


def _of_loop(loop: Section, version: Version) -> float | None:
    """The same of a loop of the script's own, by its passes over the data, and what comes before them."""
    epochs, trained = epochs_asked(version), [one for one in loop.loaders if one.backwards]
    passes = sum(one.passes.count for one in trained)
    if epochs is None or not passes or len(loop.loaders) >= _MOST_LOADERS:  # more were not counted
        return None
    last = trained[-1]
    each = last.dataset_length / last.batch_size if last.dataset_length and last.batch_size else None
    row = last.passes.rows[-1]
    done = passes - (0.0 if row.whole or not each else max(0.0, 1 - row.batches / each))
    looping = sum(one.passes.count * fmean(row.seconds for row in one.passes.rows) for one in loop.loaders)
    return max(0.0, loop.seconds - looping) + looping * epochs / done if done > 0 else None


def unwatched(attempt: Attempt, rules: Rules, facts: RunFacts) -> tuple[Notice, ...]:
    """Which of the user's conditions could not end this training, since nothing told what they ask for."""
    config, version = rules.file.loop_config, attempt.version
    curves = read_curves(version.project.workspace.tree, version.artifacts)
    logged = () if curves is None else tuple(curves.series)
    job = read_job(attempt.path)
    order = job.watching if job is not None else None
    watched = () if order is None else tuple(one.metric for one in order.stop_when)
    found: list[Notice] = []
    for metric, text in config.stop_when.items():
        if metric not in logged:
            found.append(Notice.of("never_logged", metric=metric, logged=", ".join(logged[:20]) or "-"))
        elif metric not in watched:
            found.append(Notice.of("no_best", metric=metric, condition=text))
    if config.stop_stalled and not (facts.fits or facts.loops):
        found.append(Notice.of("unwatched"))
    return tuple(found)
