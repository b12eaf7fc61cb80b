"""A rehearsal: what the script asks for is recorded as asked, and only a little of it is done.

The variable holds the limits as JSON; without it nothing here does anything. A fit has one epoch of a few batches and a
whole validation, both within some seconds; a loop of the script's own ends after some steps. Then the training data are
gone through once, without the model, to find samples that the validation has as well.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from ..recording import Recorder, Section
from .batches import Contents
from .leaks.samples import Samples
from .leaks.search import search

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateUsage=false
# What the script and torch hand over has no type here.

VARIABLE = "PROGRESSIVE_TRAINING_REHEARSAL"
_MAX_TEXT = 300
_ASKED = (
    *("limit_train_batches", "limit_val_batches", "limit_test_batches", "check_val_every_n_epoch"),
    *("val_check_interval", "log_every_n_steps"),
)


class Rehearsal:
    """The limits, and the clocks that they are held against."""

    def __init__(self, limits: Mapping[str, Any]) -> None:
        self.train_batches = int(limits.get("train_batches", 20))
        self.train_seconds = float(limits.get("train_seconds", 15))
        self.validation_seconds = float(limits.get("validation_seconds", 15))
        self.walk_seconds = float(limits.get("walk_seconds", 8))
        self.steps = int(limits.get("steps", 200))
        self.step_seconds = float(limits.get("step_seconds", 20))
        self.ends_with_fit = bool(limits.get("ends_with_fit"))
        self.began = self.validation_began = time.monotonic()
        self.validated = 0
        self.batch_ends: list[float] = []
        self.first_step: float | None = None
        self.steps_done = 0


def _read() -> Rehearsal | None:
    text = os.environ.get(VARIABLE)
    if not text:
        return None
    import json

    try:
        return Rehearsal(json.loads(text))
    except (ValueError, TypeError, AttributeError):
        return None


now: Rehearsal | None = _read()


def begin(section: Section, trainer: Any) -> None:
    """A trainer's run begins: what it was set to is kept, and its data are limited."""
    if now is None:
        return
    section.facts["_asked"] = {name: getattr(trainer, name, None) for name in _ASKED}
    section.facts["rehearsed"] = {}
    if section.kind == "fit":
        trainer.limit_train_batches = _fewer(trainer.limit_train_batches, now.train_batches)
        trainer.check_val_every_n_epoch = 1
        trainer.val_check_interval = 1.0
        if hasattr(trainer, "_val_check_time_interval"):
            trainer._val_check_time_interval = None
        trainer.log_every_n_steps = min(trainer.log_every_n_steps or 1, now.train_batches)
    if section.kind in ("test", "predict"):
        setattr(trainer, f"limit_{section.kind}_batches", 2)


def _fewer(asked: Any, most: int) -> int:
    return min(asked, most) if type(asked) is int else most


def start_training(section: Section, trainer: Any, *, tuning: bool) -> None:
    """Training is about to begin, and its settings are recorded: now they may be made smaller."""
    if now is None:
        return
    settings, asked = section.facts["settings"], section.facts.get("_asked", {})
    settings.update({name: value for name, value in asked.items() if name in settings})
    rehearsed = section.facts.setdefault("rehearsed", {})
    loop = trainer.fit_loop
    batches = _batches_asked(loop, asked.get("limit_train_batches"))
    rehearsed["train_batches"] = settings["num_training_batches"] = batches
    every = asked.get("check_val_every_n_epoch")
    rehearsed["validations_an_epoch"] = _validations(asked.get("val_check_interval"), batches) / (every or 1)
    now.began, now.batch_ends = time.monotonic(), []
    if tuning:
        return
    loop.max_epochs = trainer.current_epoch + 1
    loop.min_epochs = loop.epoch_loop.min_steps = None
    for saver in trainer.checkpoint_callbacks:
        if (getattr(saver, "_every_n_epochs", 0) or 0) > 1:
            saver._every_n_epochs = 1
        if (getattr(saver, "_every_n_train_steps", 0) or 0) > 1:
            saver._every_n_train_steps = 1


def _batches_asked(loop: Any, limit: Any) -> int | None:
    """How many batches an epoch would have; None where a loader doesn't say how long it is."""
    lengths: list[int] = []
    for loader in loop._combined_loader.flattened:
        try:
            lengths.append(len(loader))
        except TypeError:
            return limit if type(limit) is int else None
    longest = max(lengths, default=0)
    if type(limit) is int:
        return min(limit, longest)
    return int(longest * limit) if isinstance(limit, float) else longest


def _validations(interval: Any, batches: int | None) -> float:
    if isinstance(interval, float) and 0 < interval < 1:
        return 1 / interval
    return batches / interval if type(interval) is int and interval > 0 and batches else 1.0


def note_batch(section: Section, role: str, batch: Any) -> None:
    if now is not None:
        section.facts.setdefault("rehearsed", {}).setdefault(f"{role}_batch", shape_of(batch)[:_MAX_TEXT])


def end_batch(trainer: Any) -> None:
    """A training batch is done: when the time is up, the epoch ends here, with a validation."""
    if now is None:
        return
    now.batch_ends.append(time.monotonic())
    if now.batch_ends[-1] - now.began > now.train_seconds:
        trainer.should_stop = True


def start_validation() -> None:
    if now is not None:
        now.validation_began, now.validated = time.monotonic(), 0


def cuts_validation(recorder: Recorder, hook: str) -> bool:
    """Whether the validation ends before this batch, since its time is up."""
    if now is None or hook not in ("on_validation_batch_start", "on_test_batch_start"):
        return False
    if not now.validated or time.monotonic() - now.validation_began <= now.validation_seconds:
        now.validated += 1  # one batch at least: without any, nothing that is monitored has a value
        return False
    recorder.section.facts.setdefault("rehearsed", {})["validation_cut"] = True
    return True


def end_validation(section: Section, samples: int) -> None:
    if now is not None:
        rehearsed = section.facts.setdefault("rehearsed", {})
        rehearsed["validation_seconds"] = round(time.monotonic() - now.validation_began, 4)
        rehearsed["validation_samples"] = samples


def end_fit(recorder: Recorder, section: Section, *, whole: bool) -> None:
    """The fit is over: how long a batch took, and which samples the rest of the training data holds."""
    if now is None:
        return
    rehearsed = section.facts.setdefault("rehearsed", {})
    ends = [now.began, *now.batch_ends]
    steps = [later - before for before, later in zip(ends, ends[1:])]  # noqa: RUF007 - Python 3.9
    # The first batches take longer: kernels are chosen, workers start.
    usual = sorted(steps[len(steps) // 3 :])
    rehearsed["batch_seconds"] = round(usual[len(usual) // 2], 5) if usual else None
    if whole and not now.ends_with_fit:
        recorder.guarded(_walk)(recorder, section, rehearsed)
        recorder.guarded(_look_for_leaks)(recorder, section, rehearsed)


def keeps_samples() -> bool:
    """Whether leaks are looked for when this process has trained."""
    return now is not None and not now.ends_with_fit


def leaves() -> bool:
    """Whether this process has done all that it was started for."""
    return now is not None and now.ends_with_fit


def leave(recorder: Recorder) -> None:
    """Ends the process here, and leaves its facts. What the script would do next is not waited for."""
    import sys

    recorder.end()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def count_step(recorder: Recorder) -> None:
    """A step of a loop of the script's own; ends the process when it has made enough of them."""
    if now is None:
        return
    at = time.monotonic()
    if now.first_step is None:
        now.first_step = at
    now.steps_done += 1
    if now.ends_with_fit or now.steps_done >= now.steps or at - now.first_step > now.step_seconds:
        facts = recorder.outside.facts.setdefault("rehearsed", {})
        facts["cut"] = True
        if now.steps_done > 1:
            facts["batch_seconds"] = (at - now.first_step) / (now.steps_done - 1)
        if not now.ends_with_fit:
            recorder.guarded(_look_for_leaks)(recorder, recorder.outside, facts)
        leave(recorder)


def _walk(recorder: Recorder, section: Section, rehearsed: dict[str, Any]) -> None:
    assert now is not None
    until = time.monotonic() + now.walk_seconds
    before = recorder.section
    recorder.section = Section("script")  # what is delivered here is nobody's training
    whole, rows = True, 0
    try:
        for delivered in [one for one in section.loaders.values() if one.role == "train"]:
            loader = delivered.loader()
            contents, samples = Contents(), Samples(getattr(loader, "dataset", None))
            iterator = iter(loader or ())
            for batch in iterator:
                contents.add(batch)
                samples.add(batch, getattr(getattr(iterator, "_recorded_pass", None), "drawn", None))
                whole = whole and contents.whole
                if not (contents.whole or samples.whole) or time.monotonic() > until:
                    whole = False
                    break
            if samples.rows > delivered.samples.rows:
                delivered.samples = samples
            delivered.contents.inputs |= contents.inputs
            rows += contents.rows
    finally:
        recorder.section = before
    rehearsed["compared_rows"], rehearsed["compared_whole"] = rows, whole


def _look_for_leaks(recorder: Recorder, section: Section, rehearsed: dict[str, Any]) -> None:
    """Of what was kept; then it is let go."""
    sides: list[tuple[str | None, Samples]] = []
    for one in section.loaders.values():
        sides.append((one.role or ("train" if one.backwards else "validation"), one.samples))
        one.samples = Samples(None)
    rehearsed["leaks"] = search(recorder, sides)


def shape_of(batch: Any, depth: int = 0) -> str:
    """`(float32[16, 64], int64[16])`: what a batch is made of."""
    shape = getattr(batch, "shape", None)
    if isinstance(shape, tuple):
        return f"{str(getattr(batch, 'dtype', '?')).removeprefix('torch.')}{list(shape)}"
    if depth < 3 and isinstance(batch, Mapping):
        inner = (f"{key}: {shape_of(value, depth + 1)}" for key, value in list(batch.items())[:8])
        return f"{{{', '.join(inner)}}}"
    if depth < 3 and isinstance(batch, (list, tuple)):
        kinds = [shape_of(value, depth + 1) for value in batch[:8]]
        if len(batch) > 3 and len(set(kinds)) == 1:
            return f"{len(batch)} × {kinds[0]}"
        return f"({', '.join(kinds)})"
    return type(batch).__name__
