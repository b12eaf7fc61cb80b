"""The batch size as it was delivered, and beside it what one step of the optimizer had in all."""

from collections.abc import Sequence
from typing import NamedTuple

from ...project.receipts import RuleVerdict
from ...record.facts import Section
from ...record.parts import Loader
from ...script.fixed import Fixed
from .run import Run, in_force, ruled

_MORE = 1.3  # the last step of an epoch may have fewer batches


class _Delivered(NamedTuple):
    """Of one loader: (size, how often), over how many passes."""

    sizes: tuple[tuple[int, int], ...]
    passes: int

    @property
    def usual(self) -> int:
        return max(self.sizes, key=lambda one: (one[1], one[0]))[0]

    def has(self, wanted: object) -> bool:
        """All batches are of this size, but the last of each pass, which may be smaller."""
        rest = [(size, count) for size, count in self.sizes if size != wanted]
        smaller = sum(count for _, count in rest)
        # That a pass is broken off says nothing of its batches.
        return self.usual == wanted and all(size < self.usual for size, _ in rest) and smaller <= max(1, self.passes)

    @property
    def varies(self) -> bool:
        return not self.has(self.usual)


def verdict(rule: Fixed, run: Run) -> RuleVerdict | None:
    """None where no batch was seen."""
    delivered = [one for section in run.trained for one in _delivered(section)]
    if not delivered or type(rule.value) is not int:
        return None
    found = ", ".join(dict.fromkeys(str(one.usual) for one in delivered))
    kept = [one.has(rule.value) for one in delivered]
    if all(kept):
        if beyond := _beyond_parent(run):
            return ruled(rule, "broken", "beyond_parent", beyond)
        return ruled(rule, "in force", "measured", f"{found} samples a batch", _effective(rule.value, run))
    parent = run.of_parent
    strict = parent is not None and in_force(verdict(rule, parent))
    if any(kept) and not strict:
        return ruled(rule, "not verified", "loaders_differ", f"{found} samples a batch")
    if any(one.varies for one in delivered) and not strict:
        sizes = sorted({size for one in delivered for size, _ in one.sizes})
        return ruled(rule, "not verified", "sizes_vary", f"{sizes[0]} to {sizes[-1]} samples a batch")
    return ruled(rule, "broken", "other_value", f"{found} samples a batch")


def _delivered(section: Section) -> Sequence[_Delivered]:
    """By what samplers drew; else by the first dimension of what came, which for a sequence may be its length."""
    found = [
        _Delivered(loader.drawn or loader.sizes, loader.passes.count)
        for loader in section.loaders
        if _trains(loader) and (loader.drawn or loader.sizes)
    ]
    if found:
        return found
    sizes = tuple((int(size), count) for size, count in section.batch_sizes.items() if size.isdigit())
    return [_Delivered(sizes, section.epochs.count)] if sizes else []


def _trains(loader: Loader) -> bool:
    return loader.role == "train" or (loader.role is None and loader.backwards > 0)


def _beyond_parent(run: Run) -> str | None:
    """How a step came to have more than one batch, which the parent's had not."""
    parent = run.of_parent
    if parent is None:
        return None
    ours, theirs = batches_per_step(run), batches_per_step(parent)
    if ours is not None and theirs is not None and ours > _MORE * theirs:
        return f"a step of the optimizer has {ours:.3g} batches, its parent's {theirs:.3g}"
    if _grows(run) and not _grows(parent):
        return f"the model was given up to {_given(run):.3g} samples for each one of a batch, ever more"
    ours, theirs = _collated(run), _collated(parent)
    if ours < theirs / _MORE:
        return f"only {ours:.2g} of each batch was handed on"
    return None


def batches_per_step(run: Run) -> float | None:
    """The most of any fit: batches that one step of the optimizers had."""
    found = [
        section.batches / steps
        for section in run.fits
        if (steps := section.steps // max(1, len(section.optimizers))) and section.batches
    ]
    return max(found, default=None)


def _effective(size: int, run: Run) -> str:
    per_step, given, collated = batches_per_step(run) or 1.0, _given(run), _collated(run)
    parts = [f"{per_step:.3g} batches a step"] if per_step > _MORE else []
    parts += [f"{run.world_size} processes"] if run.world_size > 1 else []
    parts += [f"{collated:.3g} rows for each sample"] if collated > _MORE else []
    parts += [f"{given:.3g} samples given to the model for each one of a batch"] if given > _MORE else []
    if not parts:
        return ""
    return f"effective batch {round(size * max(1.0, per_step) * run.world_size * max(collated, given))}: " + ", ".join(
        parts
    )


def _given(run: Run) -> float:
    rows = [row for section in run.trained for row in section.forwards if row.batch]
    return max((row.samples / row.batch for row in rows if row.batch), default=1.0)


def _grows(run: Run) -> bool:
    """Whether the model is given more for one batch the longer it trains, as by a buffer of earlier ones."""
    for section in run.trained:
        shares = [row.samples / row.batch for row in section.forwards if row.batch]
        if len(shares) > 1 and shares[-1] > 1.5 * shares[0]:
            return True
    return False


def _collated(run: Run) -> float:
    """Rows that came for each sample that was drawn."""
    shares = [
        _Delivered(loader.sizes, 1).usual / drawn
        for section in run.trained
        for loader in section.loaders
        if _trains(loader) and loader.sizes and loader.drawn and (drawn := _Delivered(loader.drawn, 1).usual)
    ]
    return max(shares, default=1.0)
