"""Learning rates and weight decays of the parameter groups at the steps, and the classes that made them."""

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple

from ...project.receipts import RuleVerdict
from ...record.parts import Group, Span
from ...script.fixed import Fixed
from ...script.synonyms import optimizer_name
from .run import Run, alike, in_force, ruled

_HIGHER = 1 + 1e-6
_NO_SCHEDULE = frozenset({"none", "constant", "off", "no", "false"})


class _Rated(NamedTuple):
    optimizer: str
    group: Group


def _groups(run: Run) -> Iterator[_Rated]:
    for section in run.trained:
        for optimizer in section.optimizers:
            for group in optimizer.groups:
                if group.tensors and optimizer.steps:
                    yield _Rated(optimizer.kind, group)


def learning_rate(rule: Fixed, run: Run) -> RuleVerdict | None:
    """The rate of every step; where a schedule changes it, its peak or what the schedule began from is the rule's.

    Another schedule is the user's own where it was there from the start: it is told, and broken only where a version
    brings it in or raises it.
    """
    rated = [(one, one.group.lr) for one in _groups(run) if one.group.lr is not None]
    if not rated or not _is_number(rule.value):
        return None
    found = _told(tuple((one.optimizer, span) for one, span in rated))
    if tuned := len(run.facts.trials):
        found += f", after {tuned} trial{'s' if tuned > 1 else ''} of a tuner"
    kept = [_rate(rule, one.group, span) for one, span in rated]
    if all(kept):
        return ruled(rule, "in force", "scheduled" if "scheduled" in kept else "measured", found)
    parent = run.of_parent
    if parent is not None and (in_force(learning_rate(rule, parent)) or _highest(run) > _highest(parent) * _HIGHER):
        return ruled(rule, "broken", "other_value", found)
    if all(one or not span.constant for one, (_, span) in zip(kept, rated, strict=True)):
        return ruled(rule, "not verified", "own_schedule", found)
    return ruled(rule, *(("not verified", "groups_differ") if any(kept) else ("broken", "other_value")), found)


def _rate(rule: Fixed, group: Group, span: Span) -> Literal["measured", "scheduled"] | None:
    if span.constant:
        return "measured" if alike(span.first, rule.value) else None
    if alike(span.highest, rule.value):
        return "scheduled"
    begins = (group.settings.get(name) for name in ("initial_lr", "max_lr"))
    warming = span.highest < float(rule.value or 0.0)  # the run did not see the end of its warm-up
    return "scheduled" if warming and any(isinstance(one, float) and alike(one, rule.value) for one in begins) else None


def _highest(run: Run) -> float:
    return max((one.group.lr.highest for one in _groups(run) if one.group.lr is not None), default=math.inf)


def weight_decay(rule: Fixed, run: Run) -> RuleVerdict | None:
    """Groups without any decay, as biases and norms usually are, beside others with the rule's."""
    rated = [(one, one.group.weight_decay) for one in _groups(run) if one.group.weight_decay is not None]
    if not rated or not _is_number(rule.value):
        return None
    found = _told(tuple((one.optimizer, span) for one, span in rated))
    kept = [span.constant and alike(span.first, rule.value) for _, span in rated]
    none = [span.constant and span.first == 0 for _, span in rated]
    if all(kept):
        return ruled(rule, "in force", "measured", found)
    if any(kept) and all(a or b for a, b in zip(kept, none, strict=True)):
        tensors = sum(one.group.tensors for (one, _), without in zip(rated, none, strict=True) if without)
        return ruled(rule, "in force", "partly_none", found, f"{tensors} tensors have none")
    if any(kept):
        return ruled(rule, "not verified", "groups_differ", found)
    return ruled(rule, "broken", "other_value", found)


def optimizer(rule: Fixed, run: Run) -> RuleVerdict | None:
    kinds = tuple(dict.fromkeys(one.kind for section in run.trained for one in section.optimizers if one.steps))
    if not kinds or not isinstance(rule.value, str):
        return None
    kept = [_plain(optimizer_name(kind)) == _plain(optimizer_name(rule.value)) for kind in kinds]
    if all(kept):
        return ruled(rule, "in force", "measured", ", ".join(kinds))
    if any(kept):
        return ruled(rule, "not verified", "groups_differ", ", ".join(kinds))
    return ruled(rule, "broken", "other_value", ", ".join(kinds))


def scheduler(rule: Fixed, run: Run) -> RuleVerdict | None:
    """A constant rate where the rule says so; else the named schedule, if it can be known by its name."""
    spans = [one.group.lr for one in _groups(run) if one.group.lr is not None]
    if not spans:
        return None
    names = tuple(dict.fromkeys(name for one in run.trained for opt in one.optimizers for name in opt.schedulers))
    moves = any(not span.constant for span in spans)
    told = ", ".join(names) or ("the rate changes" if moves else "the rate is constant")
    if rule.value is None or rule.value is False or _plain(str(rule.value)) in _NO_SCHEDULE:
        if moves:
            return ruled(rule, "broken", "other_value", told)
        return ruled(rule, "in force", "measured", told)
    if any(_plain(str(rule.value)) in _plain(name) for name in names):
        return ruled(rule, "in force", "measured", told)
    return None


def _told(spans: tuple[tuple[str, Span], ...]) -> str:
    told = (
        f"{span.first:g} ({name})" if span.constant else f"{span.lowest:g} to {span.highest:g} ({name})"
        for name, span in spans
    )
    listed = list(dict.fromkeys(told))
    more = f" and {len(listed) - 5} more" if len(listed) > 5 else ""
    return ", ".join(listed[:5]) + more


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | str) and not isinstance(value, bool)


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")
