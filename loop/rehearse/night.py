"""How long and how big it will be: one version, and the whole loop."""

import shutil
from collections.abc import Iterator
from stat import S_ISREG

from ..errors import LoopError
from ..project.receipts import Finding
from ..record.facts import Section
from .observed import Observed

_GIB = 1 << 30


def findings(observed: Observed) -> Iterator[Finding]:
    yield from _time(observed)
    yield from _room(observed)


def _time(observed: Observed) -> Iterator[Finding]:
    run, fits = observed.said.train, observed.fits
    each = [_seconds(fit) for fit in fits]
    config = observed.rules.file.loop_config
    if run is None or not fits or None in each:
        yield Finding(code="night_unknown", level="note")
        return
    # Imports, data and what follows the fit: as long as they took here.
    around = max(0.0, run.seconds - sum(fit.seconds for fit in fits))
    train = around + sum(one for one in each if one is not None)
    scored = observed.said.evaluate.seconds if observed.said.evaluate is not None else 0.0
    values: dict[str, str | int | float | bool | None] = {
        "train_seconds": round(train, 1),
        "evaluate_seconds": round(scored, 1),
        "loop_seconds": round(config.max_versions * (train + scored), 1),
        "versions": config.max_versions,
        "epochs": sum(_epochs(fit) or 0 for fit in fits),
    }
    yield Finding(code="night" if scored else "night_unscored", level="ok", values=values)
    if config.max_hours is not None and config.max_versions * (train + scored) > (left := 3600 * config.max_hours):
        fit = int(left // (train + scored))
        values = {"limit_seconds": left, "fit": fit, "versions": config.max_versions}
        yield Finding(code="hours", level="note" if fit else "warning", values=values)
    if config.max_train_minutes is not None and train > 60 * config.max_train_minutes:
        limit = 60 * config.max_train_minutes
        yield Finding(code="too_long", level="problem", values={"train_seconds": train, "limit_seconds": limit})


def _epochs(fit: Section) -> int | None:
    asked = fit.settings.max_epochs if fit.settings is not None else None
    return max(0, asked - fit.epoch_before) if asked is not None and asked > 0 else None


def _seconds(fit: Section) -> float | None:
    """Of the whole fit; None for one without an end, or whose data don't say how much they are."""
    rehearsed, epochs = fit.rehearsed, _epochs(fit)
    if rehearsed is None or rehearsed.batch_seconds is None or rehearsed.train_batches is None or epochs is None:
        return None
    batches = epochs * rehearsed.train_batches
    most = fit.settings.max_steps if fit.settings is not None else None
    if most is not None and most > 0:
        batches = min(batches, most)
        epochs = batches / max(1, rehearsed.train_batches)
    return batches * rehearsed.batch_seconds + epochs * rehearsed.validations_an_epoch * _validation(fit)


def _validation(fit: Section) -> float:
    """Seconds of one whole validation; of one that was cut, by the share of its batches."""
    rehearsed = fit.rehearsed
    if rehearsed is None or rehearsed.validation_seconds is None:
        return 0.0
    total = sum(one.dataset_length or 0 for one in fit.loaders_of("validation"))
    seen = rehearsed.validation_samples or 0
    share = total / seen if rehearsed.validation_cut and seen and total else 1.0
    return rehearsed.validation_seconds * share


def _room(observed: Observed) -> Iterator[Finding]:
    version, rules = observed.staged, observed.rules
    try:
        files = [
            (name, status.st_size)
            for name, status in version.project.workspace.tree.walk(version.artifacts)
            if S_ISREG(status.st_mode)
        ]
    except LoopError:
        return
    size = sum(bytes_ for _, bytes_ in files)
    if not size:
        return
    largest = max((bytes_ for name, bytes_ in files if name.endswith(".ckpt")), default=0)
    for fit in observed.fits:
        if any(one.save_top_k == -1 for one in fit.checkpoints):  # each epoch's checkpoint stays
            size += largest * max(0, (_epochs(fit) or 1) - 1)
    versions = rules.file.loop_config.max_versions
    free = shutil.disk_usage(observed.attempt.project.workspace.root).free
    values: dict[str, str | int | float | bool | None] = {
        "version_bytes": size,
        "loop_bytes": size * versions,
        "free_bytes": free,
        "checkpoint_bytes": largest,
        "versions": versions,
    }
    limit = rules.file.execution_config.max_artifact_gb * _GIB
    if size > limit:
        yield Finding(code="too_big", level="problem", values=values | {"limit_bytes": int(limit)})
    elif size * versions > free:
        yield Finding(code="too_big", level="warning", values=values | {"limit_bytes": free})
    else:
        yield Finding(code="disk", level="ok", values=values)
