"""Where a checkpoint and the recorder say different things: somebody changed the one or bent the other."""

from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .facts import Section
from .parts import Count, Group, Problem, Text
from .ranks import RunFacts

What = Literal["epochs", "steps", "batches", "global_step", "optimizer_steps", "optimizers", "lr", "weight_decay"]
_ALIKE = 1e-6  # float32 keeps seven digits
_MAX_BYTES = 2 << 20


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class SavedGroup(_Said):
    lr: float | None = None
    initial_lr: float | None = None
    weight_decay: float | None = None
    momentum: float | None = None


class SavedOptimizer(_Said):
    """`steps`: the most that the optimizer counted for a parameter; None for those that don't count."""

    steps: Count | None = None
    groups: tuple[SavedGroup, ...] = ()


class SavedScheduler(_Said):
    last_epoch: int | None = None
    step_count: Annotated[int | None, Field(alias="_step_count")] = None
    base_lrs: tuple[float, ...] = ()
    last_lr: tuple[float, ...] = ()


class CheckpointFacts(_Said):
    """What checkpoint_facts.py found. Lightning's counters span all runs that were resumed from one another."""

    schema_: Literal[1] = Field(alias="schema")
    unreadable: Text | None = None
    epoch: Count | None = None
    global_step: Count | None = None
    epochs_processed: Count | None = None
    epochs_started: Count | None = None
    current_epochs_processed: int | None = None
    batches: Count | None = None
    steps: Count | None = None
    manual_steps: Count | None = None
    optimizers: tuple[SavedOptimizer, ...] = ()
    schedulers: tuple[SavedScheduler, ...] = ()


class Disagreement(NamedTuple):
    """`recorded` is what the recorder measured, `saved` what the checkpoint holds; both as text for people."""

    what: What
    recorded: str
    saved: str


def parsed(data: bytes) -> CheckpointFacts | Problem:
    """What the child wrote, or what is wrong with it."""
    if len(data) > _MAX_BYTES:
        return Problem(what="checkpoint", error="what was read of it is too large")
    try:
        return CheckpointFacts.model_validate_json(data)
    except ValidationError as error:
        return Problem(what="checkpoint", error=f"what was read of it is damaged: {error.error_count()} faults")


def disagreements(run: RunFacts, saved: CheckpointFacts) -> tuple[Disagreement, ...]:
    """Where the checkpoint holds more than any fit did, or other rates; empty where one fit explains all of it.

    A checkpoint may be older than the end of its fit, so fewer steps or epochs are no disagreement.
    """
    sections = [fit.first for fit in run.fits] or list(run.loops)
    if not sections or saved.unreadable is not None:
        return ()
    return min((tuple(_against(section, saved)) for section in sections), key=len)


def _against(section: Section, saved: CheckpointFacts) -> list[Disagreement]:
    found: list[Disagreement] = []
    epochs = section.epoch_before + section.epochs.count
    seen = (saved.epochs_started, saved.epoch + 1 if saved.epoch is not None and section.kind == "fit" else None)
    # A scaler skips steps that are infinite, and a module may step for every other batch; Lightning counts these too.
    steps = section.steps_before + max(section.steps, section.backwards)
    counters: tuple[tuple[What, int, int | None], ...] = (
        ("epochs", epochs, max((one for one in seen if one is not None), default=None)),
        ("steps", steps, saved.steps),
        ("global_step", steps, saved.global_step),
    )
    for what, recorded, said in counters:
        if said is not None and said > recorded:
            found.append(Disagreement(what, f"at most {recorded}", str(said)))
    if section.steps_before == 0 and saved.batches is not None and saved.batches > section.batches:
        found.append(Disagreement("batches", f"at most {section.batches}", str(saved.batches)))
    return found + _optimizers(section, saved)


def _optimizers(section: Section, saved: CheckpointFacts) -> list[Disagreement]:
    if not saved.optimizers:
        return []
    if len(saved.optimizers) > len(section.optimizers):
        return [Disagreement("optimizers", str(len(section.optimizers)), str(len(saved.optimizers)))]
    found: list[Disagreement] = []
    for one, kept in zip(section.optimizers, saved.optimizers, strict=False):
        if kept.steps is not None and kept.steps > section.steps_before + one.steps:
            found.append(Disagreement("optimizer_steps", f"at most {one.steps}", str(kept.steps)))
        for group, said in zip(one.groups, kept.groups, strict=False):
            found += _rates(group, said, scheduled=bool(one.schedulers))
    return found


def _rates(group: Group, said: SavedGroup, *, scheduled: bool) -> list[Disagreement]:
    """A scheduler sets the next rate after a step, so that the saved one may be of no step yet."""
    found: list[Disagreement] = []
    spans = (("lr", None if scheduled else group.lr, said.lr), ("weight_decay", group.weight_decay, said.weight_decay))
    for what, span, value in spans:
        if span is None or value is None:
            continue
        slack = _ALIKE * max(abs(span.lowest), abs(span.highest))
        if not span.lowest - slack <= value <= span.highest + slack:
            text = f"{span.lowest:g}" if span.constant else f"{span.lowest:g} to {span.highest:g}"
            found.append(Disagreement("lr" if what == "lr" else "weight_decay", text, f"{value:g}"))
    return found
