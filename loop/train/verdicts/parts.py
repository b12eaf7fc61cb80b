"""Several of one name: fits, parameter groups, loaders. Each one the user gave a value of its own, or left to ask."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from ...project.receipts import RuleVerdict
from ...record.facts import Section
from ...script.fixed import Fixed
from .epochs import epochs_of
from .run import Run, in_force, ruled

_DIFFER = ("fits_differ", "groups_differ", "loaders_differ")
Measure = Callable[[Fixed, Run], RuleVerdict | None]


def of_role(rule: Fixed, run: Run, names: frozenset[str], measure: Measure) -> RuleVerdict | None:
    """In force where one fit, group or loader has it, or one generator its seed; else what the whole run shows."""
    if "seed" in names:
        said = [seed for seed in run.facts.seeds if seed.value == rule.value]
        return ruled(rule, "in force", "measured", said[0].where or said[0].call) if said else None
    found = (measure(rule, part) for part in _parts(run, names))
    return next((one for one in found if in_force(one)), None) or measure(rule, run)


def settled(
    rule: Fixed, others: Sequence[Fixed], run: Run, names: frozenset[str], measure: Measure, found: RuleVerdict
) -> RuleVerdict:
    """The verdict of a rule that has a part of the run, where `others`, of the same name, have the rest."""
    parent = run.of_parent
    if found.reason == "other_value" and rule.rule in run.asked:
        before = measure(rule, parent) if parent is not None else found
        same = before is not None and _numbers(before.found) == _numbers(found.found)
        return ruled(rule, "not verified", "asked", found.found) if same else found
    if found.standing != "not verified" or found.reason not in _DIFFER:
        return found
    if found.reason == "fits_differ" and parent is not None and (ours := _epochs(run)) > (theirs := _epochs(parent)):
        return ruled(rule, "broken", "beyond_parent", f"{ours} epochs in all fits, its parent {theirs}")
    shares = _shares((rule, *others), run, names, measure)
    more = parent is not None and shares - _shares((rule, *others), parent, names, measure)
    if not shares[rule.rule] or shares[""] or more:
        return found
    beside = ", ".join(f"{one.rule} has its own" for one in others if shares[one.rule])
    return ruled(rule, "in force", "measured", found.found, beside)


def _shares(rules: Sequence[Fixed], run: Run, names: frozenset[str], measure: Measure) -> Counter[str]:
    """How many parts of the run keep each rule; under no name those that keep none."""
    return Counter(
        next((rule.rule for rule in rules if in_force(measure(rule, part))), "") for part in _parts(run, names)
    )


def _parts(run: Run, names: frozenset[str]) -> Iterator[Run]:
    for section in run.trained:
        if not names.isdisjoint({"epochs", "max_steps"}):
            yield _only(run, section)
        elif "batch_size" in names:
            for loader in section.loaders:
                if loader.role == "train" or (loader.role is None and loader.backwards):
                    yield _only(run, section.model_copy(update={"loaders": (loader,)}))
        else:
            for optimizer in section.optimizers:
                for group in optimizer.groups if optimizer.steps else ():
                    if group.tensors:
                        one = optimizer.model_copy(update={"groups": (group,)})
                        yield _only(run, section.model_copy(update={"optimizers": (one,)}))


def _only(run: Run, section: Section) -> Run:
    fits = tuple(fit._replace(first=section) for fit in run.facts.fits[:1])
    facts = run.facts._replace(fits=fits, loops=() if fits else (section,))
    return replace(run, facts=facts, parent=None)


def _epochs(run: Run) -> int:
    return sum(epochs_of(section) or 0 for section in run.trained)


def _numbers(found: str) -> list[str]:
    """Without the classes that are named beside them: another optimizer may have the same rates."""
    return re.findall(r"\d[\d.e+-]*", re.sub(r"\([^)]*\)", "", found))
