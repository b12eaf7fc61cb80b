"""What a trainer, a loader or an optimizer was set to, under the rules' other names."""

from collections.abc import Sequence

from ...project.receipts import RuleVerdict
from ...record.parts import Settings
from ...script.fixed import Fixed, agrees
from .run import Run, alike, ruled

SETTINGS = frozenset(Settings.model_fields) - {
    *("max_epochs", "early_stopping", "hyper_parameters", "schedulers", "callbacks", "module", "datamodule"),
    *("strategy", "accelerator", "max_time", "num_training_batches", "num_val_batches", "global_rank"),
}
"""Settings of a trainer that a rule may fix under their own name."""
OF_GROUPS = frozenset({"momentum", "betas", "eps", "nesterov", "amsgrad", "dampening", "alpha", "rho"})
_PRECISION = {"16": "16-mixed", "bf16": "bf16-mixed", "32": "32-true", "64": "64-true"}


def setting(rule: Fixed, run: Run, name: str) -> RuleVerdict | None:
    """A trainer's setting, or one of the optimizers' groups."""
    if name in SETTINGS:
        found = [
            getattr(one.settings, name)
            for one in run.fits
            if one.settings is not None and one.settings.automatic_optimization
        ]
    else:
        found = [
            group.settings[name]
            for one in run.trained
            for optimizer in one.optimizers
            for group in optimizer.groups
            if name in group.settings
        ]
    return _all(rule, found, name)


def precision(rule: Fixed, run: Run) -> RuleVerdict | None:
    found = [one.settings.precision for one in run.fits if one.settings is not None and one.settings.precision]
    wanted = str(rule.value)
    return _all(rule, found, "precision", wanted=_PRECISION.get(wanted, wanted))


def num_workers(rule: Fixed, run: Run) -> RuleVerdict | None:
    found = [loader.workers for loader in run.training_loaders if loader.workers is not None]
    return _all(rule, found, "num_workers")


def devices(rule: Fixed, run: Run) -> RuleVerdict | None:
    """A number of devices; `auto` and the like are the trainer's to choose."""
    if type(rule.value) is not int or rule.value < 1:
        return None
    return _all(rule, [one.settings.num_devices for one in run.fits if one.settings is not None], "devices")


def patience(rule: Fixed, run: Run) -> RuleVerdict | None:
    stops = [stop for one in run.fits if one.settings is not None for stop in one.settings.early_stopping]
    return _all(rule, [stop.patience for stop in stops], "patience")


def _all(rule: Fixed, found: Sequence[object], name: str, wanted: object = ...) -> RuleVerdict | None:
    """In force where every fit has it, broken where none has; None where nothing was found.

    What a trainer leaves alone, a module may do itself: clip gradients, or accumulate them.
    """
    if not found or (rule.value is not None and None in found):
        return None
    kept = [_is(rule, value, wanted) for value in found]
    told = f"{name} {', '.join(dict.fromkeys(map(str, found)))}"
    if all(kept):
        return ruled(rule, "in force", "measured", told)
    return ruled(rule, *(("not verified", "fits_differ") if any(kept) else ("broken", "other_value")), told)


def _is(rule: Fixed, value: object, wanted: object) -> bool:
    if wanted is not ...:
        return value == wanted
    return agrees(rule, value) or (isinstance(value, float) and alike(value, rule.value))
