"""Epochs that fits trained, whatever a test or a validation logged; and the most steps."""

import re

from ...project.receipts import RuleVerdict
from ...record.facts import Section
from ...script.fixed import Fixed
from .run import Run, in_force, ruled

_EARLY = frozenset({"early_stopping", "should_stop", "max_steps", "max_time"})
_FEWER = 1.3  # the last batch of an epoch may be left out
_VERSION = re.compile(r"/Models/Artifacts/(v\d{3,}|baseline)/")


def verdict(rule: Fixed, run: Run) -> RuleVerdict | None:
    """None where nothing counts epochs."""
    if type(rule.value) is not int:
        return None
    kept = [_kept(section, rule.value) for section in run.trained]
    told = ", ".join(_told(section) for section in run.trained[:5])
    if all(one is None for one in kept):  # also where nothing that is known trained
        return None
    if not all(kept):
        parent = run.of_parent
        if any(kept) and not (parent is not None and in_force(verdict(rule, parent))):
            return ruled(rule, "not verified", "fits_differ", told)
        return ruled(rule, "broken", "other_value", told)
    if beyond := _beyond_parent(run, rule.value):
        return ruled(rule, "broken", "beyond_parent", beyond)
    early = any(_is_early(section, rule.value) for section in run.trained)
    return ruled(rule, "in force", "ended_early" if early else "measured", told, _beside(run))


def max_steps(rule: Fixed, run: Run) -> RuleVerdict | None:
    if type(rule.value) is not int or not run.fits:
        return None
    most = max(section.steps_before + _steps(section) for section in run.fits)
    if most > rule.value:
        return ruled(rule, "broken", "other_value", f"{most} steps")
    limits = {section.settings.max_steps for section in run.fits if section.settings is not None}
    if most == rule.value or limits == {rule.value}:
        return ruled(rule, "in force", "measured", f"{most} steps")
    return ruled(rule, "broken", "other_value", f"{most} steps, max_steps {', '.join(map(str, limits))}")


def _steps(section: Section) -> int:
    return section.steps // max(1, len(section.optimizers))


def epochs_of(section: Section) -> int | None:
    """The epochs of a fit, or how often a loop of the script's own went through its training data."""
    if section.kind == "fit":
        return section.epoch_before + section.epochs_run
    passes = [loader.passes.count for loader in section.loaders if loader.backwards]
    return max(passes, default=None)


def _kept(section: Section, wanted: int) -> bool | None:
    found = epochs_of(section)
    if found is None:
        return None
    begun = section.epoch_before + section.epochs.count if section.kind == "fit" else found
    return begun <= wanted and (found == wanted or _is_early(section, wanted))


def _is_early(section: Section, wanted: int) -> bool:
    """It would have trained that many epochs, and something else ended it before."""
    found, settings, end = epochs_of(section), section.settings, section.end
    if section.kind != "fit" or settings is None or end is None or found is None:
        return False
    return found < wanted and settings.max_epochs == wanted and end.by in _EARLY


def _told(section: Section) -> str:
    found = f"{epochs_of(section)} epochs"
    if section.epoch_before:
        found += f", {section.epoch_before} of them before"
    limit = section.settings.max_epochs if section.settings is not None else None
    if section.end is not None and section.end.by in _EARLY:
        who = f" ({section.end.what})" if section.end.what else ""
        found += f"{f' of {limit}' if limit and limit > 0 else ''}, ended by {section.end.by}{who}"
    return found


def _beyond_parent(run: Run, wanted: int) -> str | None:
    """In what way more or less was trained than the parent had, though each fit has as many epochs as the rule says."""
    weights = [
        path for path in run.facts.opened.weights if (found := _VERSION.search(path)) and found[1] != run.version_id
    ]
    if weights and run.version_id != "v001":
        return f"it began with weights of another version: {weights[0]}"
    parent = run.of_parent
    if parent is None:
        return None
    ours, theirs = _all_epochs(run), _all_epochs(parent)
    if ours > theirs and len(run.trained) > len(parent.trained):
        return f"{ours} epochs in {len(run.trained)} fits, its parent {theirs} in {len(parent.trained)}"
    if run.loop_steps > parent.loop_steps:
        return f"{run.loop_steps} steps beside its fits, its parent {parent.loop_steps}"
    ours, theirs = repeats(run), repeats(parent)
    # A sampler that draws with replacement gives a sample twice and another one never: no more than an epoch had.
    if ours is not None and ours >= 1.5 * (theirs or 1.0) and _samples(run) > _FEWER * _samples(parent):
        return f"an epoch has each sample {ours:.2g} times"
    return _cut_short(run, parent, wanted)


def _cut_short(run: Run, parent: Run, wanted: int) -> str | None:
    """Less than the parent had, and not because EarlyStopping saw that more is of no use."""
    known = {"early_stopping", *(section.end.by for section in parent.trained if section.end is not None)}
    for section in run.trained:
        if _is_early(section, wanted) and section.end is not None and section.end.by not in known:
            return _told(section)
    for ours, theirs in zip(run.fits, parent.fits, strict=False):
        fewer, before = _batches_an_epoch(ours), _batches_an_epoch(theirs)
        if fewer and before and _drawn_from(ours) == _drawn_from(theirs) and fewer * _FEWER < before:
            return f"an epoch has {fewer} batches, its parent's {before}"
    return None


def _batches_an_epoch(section: Section) -> int:
    """The fewest of an epoch that came to its end, over all processes."""
    found = min((row.batches for row in section.epochs.rows if row.whole), default=0)
    return found * (section.settings.world_size if section.settings is not None else 1)


def _drawn_from(section: Section) -> list[tuple[int | None, str | None, int]]:
    loaders = section.loaders_of("train")
    return [(one.dataset_length, one.sampler, max((size for size, _ in one.drawn), default=0)) for one in loaders]


def _all_epochs(run: Run) -> int:
    return sum(epochs_of(section) or 0 for section in run.trained)


def repeats(run: Run) -> float | None:
    """How often an epoch had each of its training samples, in the mean; None where they were too many to compare."""
    found = [
        loader.contents.rows / loader.contents.distinct_inputs
        for loader in run.training_loaders
        if loader.contents.whole and loader.contents.distinct_inputs
    ]
    return max(found, default=None)


def _samples(run: Run) -> int:
    return max((loader.contents.rows for loader in run.training_loaders), default=0)


def _beside(run: Run) -> str:
    parts = [f"{len(run.trained)} fits, each of its own{_which_is_best(run)}"] if len(run.trained) > 1 else []
    again = repeats(run)
    return "; ".join(parts + ([f"an epoch has each sample {again:.2g} times"] if again and again >= 1.5 else []))


def _which_is_best(run: Run) -> str:
    """Whose model best.ckpt is, where a ModelCheckpoint wrote it: the last fit's that did."""
    for number, section in reversed(tuple(enumerate(run.trained, 1))):
        for saver in section.checkpoints:
            if saver.best_epoch is not None and (saver.best_model_path or "").rpartition("/")[2] == "best.ckpt":
                return f"; best.ckpt is of fit {number}, epoch {saver.best_epoch}"
    return ""
