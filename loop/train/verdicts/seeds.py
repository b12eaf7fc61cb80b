"""Which seed was really set before the first fit, and by whom."""

from collections.abc import Iterator
from itertools import chain

from ...project.receipts import RuleVerdict
from ...record.parts import Seed
from ...script.fixed import Fixed
from .run import Run, in_force, ruled

_STATES = ("setstate", "set_state", "set_rng_state")
_SETS_TORCH = frozenset({"torch.manual_seed", "torch.seed"})


def verdict(rule: Fixed, run: Run) -> RuleVerdict | None:
    """None where nothing that is known draws random numbers."""
    if type(rule.value) is not int or not run.trained:
        return None
    before = [seed for seed in run.facts.seeds if seed.section == 0]
    parent = run.of_parent
    strict = parent is not None and in_force(verdict(rule, parent))
    if strict and parent is not None and (new := list(_new(rule, run, parent))):
        return ruled(rule, "broken", "beyond_parent", "; ".join(new[:5]))
    generators = run.trained[0].generators
    used = generators.torch_seed if generators is not None else next(_torch_seeds(reversed(before)), None)
    said = [seed for seed in before if seed.value == rule.value]
    told = dict.fromkeys(_told(seed) for seed in before if seed.seeded and seed.value is not None)
    found = "; ".join([*([", ".join(told)] if told else []), f"the first fit began with {used}"])
    if used == rule.value and said:
        beside = "; ".join(chain(_others(rule, before), _other_weights(run, parent)))
        return ruled(rule, "in force", "measured", ", ".join(dict.fromkeys(map(_told, said))), beside)
    if said and not strict:
        return ruled(rule, "not verified", "seeds_differ", found)
    if not [seed for seed in before if seed.call in _SETS_TORCH] and not strict:
        return ruled(rule, "not verified", "never_seeded", ", ".join(told))
    return ruled(rule, "broken", "other_value", found)


def _torch_seeds(seeds: Iterator[Seed]) -> Iterator[int]:
    return (seed.value for seed in seeds if seed.call in _SETS_TORCH and seed.value is not None)


def _told(seed: Seed) -> str:
    by = seed.by or seed.call
    return f"{seed.value} by {by} ({seed.where})" if seed.where else f"{seed.value} by {by}"


def _others(rule: Fixed, before: list[Seed]) -> Iterator[str]:
    other = dict.fromkeys(_told(seed) for seed in before if seed.value not in (None, rule.value))
    if other:
        yield f"also set: {', '.join(list(other)[:5])}"


def _other_weights(run: Run, parent: Run | None) -> Iterator[str]:
    """A model as large as the parent's that begins otherwise: drawn anew, chosen among several, or made otherwise."""
    if parent is None:
        return
    ours, theirs = run.trained[0], parent.trained[0]
    sizes = [(one.settings.module, one.settings.parameters) for one in (ours, theirs) if one.settings is not None]
    if len(sizes) == 2 and sizes[0] == sizes[1] and ours.weights and theirs.weights and ours.weights != theirs.weights:
        yield "its weights begin other than its parent's, of the same number"


def _new(rule: Fixed, run: Run, parent: Run) -> Iterator[str]:
    """What draws otherwise than by the fixed seed, and did not in the parent."""
    ours, theirs = ({seed.call: _told(seed) for seed in _odd(one)} for one in (run, parent))
    for call, told in ours.items():
        if call not in theirs:
            yield f"a generator's state is not by the seed: {call} ({told})"
    known = {(seed.call, seed.value) for seed in parent.facts.seeds}
    for seed in run.facts.seeds:
        other = seed.seeded and seed.value is not None and seed.value != rule.value
        if other and seed.section == 0 and (seed.call, seed.value) not in known:
            yield _told(seed)
    generators = [{one.generator_seed for one in each.training_loaders} for each in (run, parent)]
    for value in generators[0] - generators[1] - {None, rule.value}:
        yield f"training batches are drawn by a generator of seed {value}"


def _odd(run: Run) -> Iterator[Seed]:
    for seed in run.facts.seeds:
        sets_state = seed.call.endswith(_STATES) and seed.by is None
        if sets_state or (not seed.seeded and seed.by is None):
            yield seed
