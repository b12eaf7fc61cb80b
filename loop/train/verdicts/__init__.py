"""Was each value that the user fixed in force? Told from what a training really did, by pure functions (T1).

run       what a verdict looks at: the facts of a training and of its parent's, and what its script states
epochs, batches, rates, seeds, others   what measures which rule
parts     several fits, parameter groups or loaders, of which a rule means one
stated    what only the script's own records say
"""

from collections.abc import Callable, Mapping, Sequence

from ...project.receipts import RuleVerdict
from ...script.fixed import Fixed, synonyms
from . import batches, epochs, others, parts, rates, seeds
from .run import Run
from .stated import stated
from .words import told

__all__ = ["Run", "measurable", "told", "trained_epochs", "verdicts"]

_Measure = Callable[[Fixed, Run], RuleVerdict | None]
Extra = Mapping[str, Sequence[str]]
_MEASURES: Mapping[str, _Measure] = {
    "epochs": epochs.verdict,
    "batch_size": batches.verdict,
    "learning_rate": rates.learning_rate,
    "weight_decay": rates.weight_decay,
    "optimizer": rates.optimizer,
    "lr_scheduler": rates.scheduler,
    "scheduler": rates.scheduler,
    "lr_schedule": rates.scheduler,
    "seed": seeds.verdict,
    "max_steps": epochs.max_steps,
    "precision": others.precision,
    "num_workers": others.num_workers,
    "devices": others.devices,
    "patience": others.patience,
}


def verdicts(fixed: Sequence[Fixed], extra: Extra, run: Run) -> tuple[RuleVerdict, ...]:
    """Exactly one verdict for each fixed value, in their order."""
    return tuple(_verdict(rule, fixed, extra, run) for rule in fixed)


def trained_epochs(run: Run) -> int | None:
    """The epochs of the fit that came last, with those that it went on from; None where nothing counts them."""
    return epochs.epochs_of(run.trained[-1]) if run.trained else None


def measurable(rule: Fixed, extra: Extra) -> bool:
    """Whether a recorded run tells this value; of others only the script's own word is known."""
    return _measure(rule, extra) is not None


def _verdict(rule: Fixed, fixed: Sequence[Fixed], extra: Extra, run: Run) -> RuleVerdict:
    measure, names = _measure(rule, extra), synonyms(rule.name, extra)
    if measure is None:
        return stated(rule, extra, run, measured=False)
    if rule.role:
        found = parts.of_role(rule, run, names, measure)
    elif found := measure(rule, run):
        others = [one for one in fixed if one.role and one.name in names]
        found = parts.settled(rule, others, run, names, measure, found)
    return found or stated(rule, extra, run, measured=True)


def _measure(rule: Fixed, extra: Extra) -> _Measure | None:
    names = synonyms(rule.name, extra)
    for name, measure in _MEASURES.items():
        if name in names:
            return measure
    known = next((name for name in names if name in others.SETTINGS or name in others.OF_GROUPS), None)
    return None if known is None else lambda rule, run: others.setting(rule, run, known)
