"""What a trainer is set to at the moment when it is asked, as plain values."""

from __future__ import annotations

import os
from typing import Any

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false, reportPrivateUsage=false
# What the script and torch hand over has no type here.

_PLAIN = [
    "accumulate_grad_batches",
    "gradient_clip_val",
    "gradient_clip_algorithm",
    "limit_train_batches",
    "limit_val_batches",
    "limit_test_batches",
    "overfit_batches",
    "fast_dev_run",
    "check_val_every_n_epoch",
    "val_check_interval",
    "num_training_batches",
    "num_val_batches",
    "world_size",
    "num_nodes",
    "num_devices",
    "global_rank",
]
_SAVER = [
    "monitor",
    "mode",
    "save_top_k",
    "save_last",
    "save_weights_only",
    "_every_n_epochs",
    "_every_n_train_steps",
    "dirpath",
    "filename",
    "CHECKPOINT_NAME_LAST",
    "best_model_path",
    "last_model_path",
]
_MAX_HYPER = 100


def of_trainer(trainer: Any) -> dict[str, Any]:
    loop, module = trainer.fit_loop, trainer.lightning_module
    found = {name: _get(trainer, name) for name in _PLAIN}
    found.update({name: _get(loop, name) for name in ("max_epochs", "min_epochs", "max_steps", "min_steps")})
    found["precision"] = str(trainer.precision)
    found["strategy"] = type(trainer.strategy).__name__
    found["accelerator"] = type(trainer.accelerator).__name__
    found["max_time"] = next((str(_get(one, "_duration")) for one in _of_class(trainer, "Timer")), None)
    found["callbacks"] = [type(one).__name__ for one in trainer.callbacks[:50]]
    found["early_stopping"] = [
        {"monitor": one.monitor, "mode": one.mode, "patience": one.patience}
        for one in _of_class(trainer, "EarlyStopping")
    ]
    found["module"] = type(module).__name__
    found["datamodule"] = type(trainer.datamodule).__name__ if trainer.datamodule is not None else None
    found["automatic_optimization"] = module.automatic_optimization
    found["parameters"] = sum(size_of_parameter(one) for one in module.parameters())
    found["trainable"] = sum(size_of_parameter(one) for one in module.parameters() if one.requires_grad)
    found["hyper_parameters"] = _hyper_parameters(module)
    found["schedulers"] = [
        {"class": type(one.scheduler).__name__, "interval": one.interval, "frequency": one.frequency}
        for one in trainer.lr_scheduler_configs
    ]
    return found


def of_fabric(fabric: Any) -> dict[str, Any]:
    strategy = getattr(fabric, "_strategy", None)
    return {
        "strategy": type(strategy).__name__,
        "accelerator": type(getattr(fabric, "_accelerator", None)).__name__,
        "precision": str(getattr(getattr(fabric, "_precision", None), "precision", None)),
        "world_size": _get(fabric, "world_size"),
    }


def end_of(trainer: Any, facts: dict[str, Any], error: BaseException | None) -> dict[str, Any]:
    """How a run ended: `by` is a code, `what` names the callback or the error."""
    if error is not None:
        name = type(error).__name__
        return {"by": "tuner" if name == "_TunerExitException" else "exception", "what": f"{name}: {error}"[:300]}
    if getattr(trainer.state.fn, "value", "") != "fit":
        return {"by": "done", "what": None}
    loop, stop = trainer.fit_loop, facts.get("stop")
    if stop is not None:
        who = stop.get("callback")
        by = {"EarlyStopping": "early_stopping", "Timer": "max_time"}.get(who or "", "should_stop")
        return {"by": by, "what": who}
    if loop.max_steps not in (-1, None) and trainer.global_step >= loop.max_steps:
        return {"by": "max_steps", "what": None}
    if loop.max_epochs not in (-1, None) and loop.epoch_progress.current.processed >= loop.max_epochs:
        return {"by": "max_epochs", "what": None}
    return {"by": "unknown", "what": None}


def who_stopped(trainer: Any) -> str | None:
    """The kind of the callback that has just asked the trainer to stop, as far as one says so of itself."""
    for one in _of_class(trainer, "EarlyStopping"):
        if one.stopped_epoch == trainer.current_epoch and (one.stopped_epoch or one.wait_count >= one.patience):
            return "EarlyStopping"
        if one.stopping_threshold is not None or one.divergence_threshold is not None or one.check_finite:
            score = number(trainer._logger_connector._callback_metrics.get(one.monitor))
            if score is not None and one.stopped_epoch == trainer.current_epoch:
                return "EarlyStopping"
    for one in _of_class(trainer, "Timer"):
        if (one.time_remaining() or 0) <= 0:
            return "Timer"
    return None


def note_checkpoints(known: list[dict[str, Any]], trainer: Any) -> None:
    """What each ModelCheckpoint holds; where its best one is new, in which epoch and after which step that was."""
    for place, one in enumerate(_of_class(trainer, "ModelCheckpoint")[:8]):
        if place == len(known):
            known.append({"class": type(one).__name__, "best_epoch": None, "best_step": None, "best_score": None})
        row = known[place]
        before = row.get("best_model_path")
        row.update({name.lstrip("_").lower(): path_of(_get(one, name)) for name in _SAVER})
        score = number(one.best_model_score)
        if row["best_model_path"] and (row["best_model_path"], score) != (before, row["best_score"]):
            row.update(best_epoch=trainer.current_epoch, best_step=trainer.global_step, best_score=score)


def number(value: Any) -> float | None:
    """A metric's value; None where it is no single number."""
    if isinstance(value, (int, float)):
        return float(value)
    if getattr(value, "numel", lambda: 0)() == 1:
        return float(value)
    return None


def path_of(value: Any) -> Any:
    """Paths as text; plain values as they are."""
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _of_class(trainer: Any, name: str) -> list[Any]:
    """Callbacks of this class or a subclass, under either import name of Lightning."""
    return [one for one in trainer.callbacks if any(kind.__name__ == name for kind in type(one).__mro__)]


def _hyper_parameters(module: Any) -> dict[str, Any]:
    plain = (bool, int, float, str)
    known = [(str(name), value) for name, value in list(dict(module.hparams).items())[:_MAX_HYPER]]
    return {name: value for name, value in known if value is None or isinstance(value, plain)}


def size_of_parameter(parameter: Any) -> int:
    try:
        return int(parameter.numel())
    except (ValueError, RuntimeError):  # not initialised yet
        return 0


def _get(thing: Any, name: str) -> Any:
    try:
        value = getattr(thing, name, None)
    except Exception:  # noqa: BLE001 - a property may raise whatever its version of Lightning likes
        return None
    return path_of(value)
