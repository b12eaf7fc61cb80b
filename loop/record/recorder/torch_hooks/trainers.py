"""Lightning's trainer, under both of its import names: each fit, validate, test and predict apart.

Two functions are wrapped: the one that all four go through in every process, and the one by which the trainer calls
its callbacks. No callback is added, since the script and the checkpoints would see it.
"""

from __future__ import annotations

import functools
import sys
import time
import weakref
from collections.abc import Callable
from typing import Any

from .. import seeds
from ..recording import BETWEEN_EPOCHS, BETWEEN_STEPS, Kind, Recorder, Section
from . import forwards, rehearsal, settings
from .batches import digest_of, size_of
from .loaders import role_of

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false, reportPrivateUsage=false
# What the script and torch hand over has no type here.

_KINDS: dict[str, Kind] = {"fit": "fit", "validate": "validate", "test": "test", "predict": "predict"}
_MAX_METRICS = 100
_TUNING = frozenset({"_lr_find", "_scale_batch_size"})


def watch_runs(recorder: Recorder, module: Any) -> None:
    """Wraps Trainer._run, which is called in the process that trains, whoever launched it."""
    trainer_class = module.Trainer
    original = trainer_class._run
    begin, end = recorder.guarded(_begin), recorder.guarded(_end)

    @functools.wraps(original)
    def _run(self: Any, *args: Any, **kwargs: Any) -> Any:
        section = begin(recorder, self, args, kwargs)
        try:
            result = original(self, *args, **kwargs)
        except BaseException as error:
            end(recorder, self, section, error)
            raise
        end(recorder, self, section, None)
        if rehearsal.leaves():
            rehearsal.leave(recorder)
        return result

    trainer_class._run = _run


def watch_hooks(recorder: Recorder, module: Any) -> None:
    """Wraps the function by which the trainer calls its callbacks: every moment of a run passes it."""
    original = module._call_callback_hooks
    nothing: Any = None
    notes = {
        name: tuple(recorder.guarded(when[name]) if name in when else nothing for when in (_BEFORE, _AFTER))
        for name in {*_BEFORE, *_AFTER}
    }

    @functools.wraps(original)
    def _call_callback_hooks(trainer: Any, hook_name: str, *args: Any, **kwargs: Any) -> Any:
        found = notes.get(hook_name)
        if found is None:
            return original(trainer, hook_name, *args, **kwargs)
        if rehearsal.now is not None and rehearsal.cuts_validation(recorder, hook_name):
            raise StopIteration  # as a loader does at its end
        note, after = found
        if note is not None:
            note(recorder, trainer, args)
        result = original(trainer, hook_name, *args, **kwargs)
        if after is not None and kwargs.get("monitoring_callbacks") is not False:
            after(recorder, trainer, args)
        return result

    module._call_callback_hooks = _call_callback_hooks


def _begin(recorder: Recorder, trainer: Any, args: Any, kwargs: Any) -> Section:
    kind = _KINDS.get(getattr(trainer.state.fn, "value", ""), "fit")
    section = recorder.open(Section(kind, weakref.ref(trainer)))
    section.facts["steps_before"] = trainer.global_step
    section.facts["epoch_before"] = trainer.current_epoch
    section.facts["checkpoint"] = settings.path_of(kwargs.get("ckpt_path", args[1] if len(args) > 1 else None))
    section.facts["generators"] = recorder.guarded(seeds.states)()
    section.facts["weights"] = recorder.guarded(_weights)(args[0] if args else kwargs.get("model"))
    rehearsal.begin(section, trainer)
    recorder.write(after=_between_fits(recorder), all_of_it=True)
    return section


def _between_fits(recorder: Recorder) -> float:
    """Each of the first fits is written as it begins and ends; hundreds of short ones are not."""
    return 0.0 if len(recorder.sections) <= 3 else BETWEEN_EPOCHS


def _weights(model: Any) -> str:
    """A digest of what the weights are before anything is restored; parameters that have no values yet are left out."""
    values = [one for one in list(model.parameters())[:500] if type(one).__name__ == "Parameter" and not one.is_meta]
    return digest_of(values)


def _start_training(recorder: Recorder, trainer: Any, args: Any) -> None:
    """A run of the fit loop begins: the fit's own, or one that a tuner makes within it."""
    _end_tuning(recorder)
    tuning = _is_tuning()
    if tuning:
        recorder.open(Section("tuner", weakref.ref(trainer)))
    section = recorder.section
    section.facts["steps_before"] = trainer.global_step
    section.facts["epoch_before"] = trainer.current_epoch
    section.facts["settings"] = settings.of_trainer(trainer)
    rehearsal.start_training(section, trainer, tuning=tuning)
    recorder.mark("start")
    recorder.rank, recorder.world_size = trainer.global_rank, trainer.world_size


def _is_tuning() -> bool:
    frame: Any = sys._getframe()
    while frame is not None:
        if frame.f_code.co_name in _TUNING and "tuner" in frame.f_code.co_filename:
            return True
        frame = frame.f_back
    return False


def _end_training(recorder: Recorder, trainer: Any, args: Any) -> None:
    _look_at_checkpoints(recorder, trainer)
    recorder.section.facts["steps_after"] = trainer.global_step
    _end_tuning(recorder)


def _end_tuning(recorder: Recorder) -> None:
    if recorder.section.kind == "tuner":
        _end_epoch(recorder.section)
        recorder.close(recorder.section)


def _start_epoch(recorder: Recorder, trainer: Any, args: Any) -> None:
    section = recorder.section
    _take_metrics(section, trainer, "train")
    _end_epoch(section)
    section.epoch = trainer.current_epoch
    row = {"epoch": trainer.current_epoch, "began": time.monotonic(), "batches": 0, "samples": 0, "steps": 0}
    row["_batches"], row["_samples"] = section.batches.count, section.batches.samples
    row["_steps"] = section.steps
    row["accumulation"] = getattr(trainer, "accumulate_grad_batches", None)
    section.facts["_epoch"] = row
    section.epochs.append(row)
    recorder.mark("start")


def _end_epoch(section: Section) -> None:
    section.settle()
    row = section.facts.pop("_epoch", None)
    if row is not None:
        row["seconds"] = round(time.monotonic() - row.pop("began"), 4)
        del row["_batches"], row["_samples"], row["_steps"]


def _finish_epoch(recorder: Recorder, trainer: Any, args: Any) -> None:
    _note_stop(recorder, trainer, "callback")
    _look_at_checkpoints(recorder, trainer)
    recorder.look_at_losses()
    row = recorder.section.facts.get("_epoch")
    if row is not None:
        row["whole"] = True
    _end_epoch(recorder.section)
    recorder.write(after=BETWEEN_EPOCHS)
    recorder.mark("between")


def _start_batch(recorder: Recorder, trainer: Any, args: Any) -> None:
    section, batch = recorder.section, args[0]
    if rehearsal.now is not None:
        rehearsal.note_batch(section, "train", batch)
    batches = section.batches
    forwards.begin(recorder, batch, batches.count + batches.alike)
    batches.add(size_of(batch))


def _before_batch_end(recorder: Recorder, trainer: Any, args: Any) -> None:
    forwards.end(recorder, trained=True)
    _note_stop(recorder, trainer, "script")


def _end_batch(recorder: Recorder, trainer: Any, args: Any) -> None:
    _note_stop(recorder, trainer, "callback")
    if rehearsal.now is not None:
        rehearsal.end_batch(trainer)
    recorder.tick()
    recorder.mark("training")


def _note_stop(recorder: Recorder, trainer: Any, by: str) -> None:
    """Who first wanted the fit to stop: a callback, or the script's own code between the callbacks' turns."""
    if not trainer.should_stop:
        return
    facts = recorder.section.facts
    if "stop" not in facts:
        facts["stop"] = {"by": by, "epoch": trainer.current_epoch, "step": trainer.global_step}
        if by == "callback":
            facts["stop"]["callback"] = settings.who_stopped(trainer)


def _before_hooks(recorder: Recorder, trainer: Any, args: Any) -> None:
    _note_stop(recorder, trainer, "script")
    recorder.mark("between")


def _start_validation(recorder: Recorder, trainer: Any, args: Any) -> None:
    recorder.section.facts["_validation"] = 0
    rehearsal.start_validation()
    recorder.mark("validation")


def _validation_batch(recorder: Recorder, trainer: Any, args: Any) -> None:
    facts = recorder.section.facts
    recorder.mark("validation")
    rehearsal.note_batch(recorder.section, "validation", args[0])
    facts["_validation"] = facts.get("_validation", 0) + (size_of(args[0]) or 0)


def _end_validation(recorder: Recorder, trainer: Any, args: Any) -> None:
    section = recorder.section
    samples = section.facts.pop("_validation", 0)
    role = role_of(section)
    if role == "sanity":
        return
    _note_stop(recorder, trainer, "callback")
    section.facts[f"{role}_samples"] = samples
    if role == "validation":
        rehearsal.end_validation(section, samples)
    _take_metrics(section, trainer, role or "validation")
    _look_at_checkpoints(recorder, trainer)
    recorder.write(after=BETWEEN_STEPS)  # the epoch's end, which follows, is worth more
    recorder.mark("between")


def _take_metrics(section: Section, trainer: Any, role: str) -> None:
    """What was logged by now. The trainer's own table is read: to ask for it would compute, and talk to other ranks."""
    if role == "train" and "_epoch" not in section.facts and not section.epochs.count:
        return
    known = getattr(getattr(trainer, "_logger_connector", None), "_callback_metrics", None)
    if not known:
        return
    values = {str(name): settings.number(value) for name, value in list(known.items())[:_MAX_METRICS]}
    last, of_training = section.facts.setdefault("_metrics", {}), section.facts.setdefault("_of_training", set())
    new = {name: value for name, value in values.items() if last.get(name, ...) != value}
    if role == "train":
        of_training.update(new)
    else:  # a value may be the same again; one of the last training epoch is none of this validation
        new.update((name, value) for name, value in values.items() if name not in of_training)
    last.update(values)
    if new:
        epoch = section.epoch if role == "train" else trainer.current_epoch
        row = {"epoch": epoch, "step": trainer.global_step, "role": role, "values": new}
        section.metrics.append(row)


def _look_at_checkpoints(recorder: Recorder, trainer: Any) -> None:
    settings.note_checkpoints(recorder.section.facts.setdefault("checkpoints", []), trainer)


def _end(recorder: Recorder, trainer: Any, section: Section | None, error: BaseException | None) -> None:
    if section is None:
        return
    while recorder.section is not section and recorder.section is not recorder.outside:
        recorder.close(recorder.section)
    forwards.end(recorder, trained=False)
    if section.kind == "fit":
        _take_metrics(section, trainer, "train")
        _end_epoch(section)
        _look_at_checkpoints(recorder, trainer)
        section.facts["steps_after"] = trainer.global_step
        section.facts["epoch_after"] = trainer.current_epoch
        if "settings" not in section.facts and error is None:  # nothing was left to train
            section.facts["settings"] = settings.of_trainer(trainer)
            section.facts["steps_before"], section.facts["epoch_before"] = trainer.global_step, trainer.current_epoch
        section.facts["max_epochs_after"] = getattr(trainer.fit_loop, "max_epochs", None)
    section.facts["end"] = settings.end_of(trainer, section.facts, error)
    recorder.mark("outside")
    if section.kind == "fit":
        rehearsal.end_fit(recorder, section, whole=error is None)
    recorder.look_at_losses()
    recorder.close(section)
    recorder.write(after=_between_fits(recorder), all_of_it=True)


_Note = Callable[[Recorder, Any, Any], None]
_BEFORE: dict[str, _Note] = {
    "on_train_start": _start_training,
    "on_train_epoch_start": _start_epoch,
    "on_train_batch_start": _start_batch,
    "on_train_batch_end": _before_batch_end,
    "on_train_epoch_end": _before_hooks,
    "on_validation_start": _start_validation,
    "on_validation_batch_start": _validation_batch,
    "on_validation_end": _before_hooks,
    "on_test_start": _start_validation,
    "on_test_batch_start": _validation_batch,
}
_AFTER: dict[str, _Note] = {
    "on_train_batch_end": _end_batch,
    "on_train_epoch_end": _finish_epoch,
    "on_train_end": _end_training,
    "on_validation_end": _end_validation,
    "on_test_end": _end_validation,
}
