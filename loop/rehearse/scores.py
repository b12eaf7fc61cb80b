"""The evaluator's scores of the rehearsal's checkpoint, each beside what the script itself logged for these samples."""

import math
from collections.abc import Iterator

from ..evaluate.checks.own_word import logged_for_best, said_by
from ..evaluate.evaluator_parts.tasks import SERVED, same_name
from ..jobs.logs import error_line
from ..project.receipts import Finding
from ..record.facts import Section
from .data import are_folds, differs
from .job import OUT
from .observed import Observed

_SHORT = 300
# One sample of a hundred that falls to the other side is a difference; a sum in another order is none.
_RELATIVE, _ABSOLUTE = 2e-3, 2e-3


def findings(observed: Observed) -> Iterator[Finding]:
    yield from _monitors(observed)
    if not observed.evaluator:
        yield Finding(
            code="no_evaluator",
            level="warning",
            values={"task": observed.loop.task_type, "known": ", ".join(SERVED)},
        )
        return
    run = observed.said.evaluate
    if run is None:
        if observed.said.train is not None and observed.said.train.rc == 0:
            yield Finding(code="no_checkpoint", level="warning")
    elif run.timed_out:
        yield Finding(code="evaluator_slow", level="note", values={"run_seconds": run.seconds})
    elif run.rc != 0 or not observed.scores:
        lines = [line for line in observed.evaluator_log.splitlines() if line.strip()]
        cause = next((line for line in reversed(lines) if line.startswith("03_eval.py: error:")), None)
        cause = cause or error_line(observed.evaluator_log) or (lines[-1] if lines else "it says nothing")
        yield Finding(code="evaluator_failed", level="problem", values={"error": cause[: 2 * _SHORT]})
    else:
        yield from _beside(observed)


def _beside(observed: Observed) -> Iterator[Finding]:
    section = _scored(observed)
    own = logged_for_best(section) if section is not None else {}
    whole = section is not None and _is_whole(section, observed.num_samples) and not differs(observed)
    whole = whole and not (observed.scored_fit and are_folds(observed))
    loader = str(said_by(observed.attempt, f"{observed.attempt.relative}/{OUT}").loader)
    for name, value in observed.scores.items():
        values: dict[str, str | int | float | bool | None] = {"metric": name, "score": value}
        said = same_name(name, own, loader)
        if said is None:
            yield Finding(code="score_alone", level="note", values=values)
            continue
        values |= {"name": said, "own": own[said]}
        if not whole:
            yield Finding(code="score_uncompared", level="note", values=values)
        elif math.isclose(value, own[said], rel_tol=_RELATIVE, abs_tol=max(_ABSOLUTE, observed.apart.get(name, 0.0))):
            yield Finding(code="same_score", level="ok", values=values)
        else:
            yield Finding(code="other_score", level="problem", values=values)


def _scored(observed: Observed) -> Section | None:
    """The fit of the checkpoint that was scored; the last one where that can't be told."""
    fits, number = observed.fits, observed.scored_fit
    return fits[-1 if number is None else number] if fits else None


def _is_whole(section: Section, scored: int | None) -> bool:
    rehearsed = section.rehearsed
    if rehearsed is None or rehearsed.validation_cut:
        return False
    return scored is None or rehearsed.validation_samples in (None, scored)


def _monitors(observed: Observed) -> Iterator[Finding]:
    section = observed.fits[-1] if observed.fits else None
    if section is None:
        return
    primary = observed.rules.file.eval_config.primary_metric
    saver = next((one for one in section.checkpoints if one.monitor), None)
    values: dict[str, str | int | float | bool | None] = {"primary": primary}
    if saver is None or saver.monitor is None:
        yield Finding(code="monitors_nothing", level="warning", values=values)
    elif same_name(primary, {saver.monitor: 0.0}) is not None:
        yield Finding(code="monitors", level="ok", values=values | {"monitor": saver.monitor})
    else:
        yield Finding(code="monitors_other", level="note", values=values | {"monitor": saver.monitor})
