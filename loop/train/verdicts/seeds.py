"""Which seed was really set before the first fit, and by whom."""

from collections.abc import Iterator

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
    if strict and parent is not None and (odd := _new_oddities(run, parent)):
        return ruled(rule, "broken", "beyond_parent", odd)
    generators = run.trained[0].generators
    used = generators.torch_seed if generators is not None else next(_torch_seeds(reversed(before)), None)
    said = [seed for seed in before if seed.value == rule.value]
    found = ", ".join(dict.fromkeys(_told(seed) for seed in before if seed.seeded and seed.value is not None))
    if used == rule.value and said:
        return ruled(rule, "in force", "measured", ", ".join(dict.fromkeys(map(_told, said))), _others(rule, before))
    if said and not strict:
        return ruled(rule, "not verified", "seeds_differ", f"{found}; the first fit began with {used}")
    if not [seed for seed in before if seed.call in _SETS_TORCH] and not strict:
        return ruled(rule, "not verified", "never_seeded", found)
    return ruled(rule, "broken", "other_value", found or f"the first fit began with {used}")


def _torch_seeds(seeds: Iterator[Seed]) -> Iterator[int]:
    return (seed.value for seed in seeds if seed.call in _SETS_TORCH and seed.value is not None)


def _told(seed: Seed) -> str:
    by = seed.by or seed.call
    return f"{seed.value} by {by} ({seed.where})" if seed.where else f"{seed.value} by {by}"


def _others(rule: Fixed, before: list[Seed]) -> str:
    other = dict.fromkeys(_told(seed) for seed in before if seed.value not in (None, rule.value))
    return f"also set: {', '.join(list(other)[:5])}" if other else ""


def _new_oddities(run: Run, parent: Run) -> str | None:
    """Generators that the script itself puts into a state of its own, or leaves without a seed, and its parent not."""
    ours, theirs = ({seed.call: _told(seed) for seed in _odd(one)} for one in (run, parent))
    new = [f"{call} ({where})" for call, where in ours.items() if call not in theirs]
    return f"a generator's state is not by the seed: {', '.join(new)}" if new else None


def _odd(run: Run) -> Iterator[Seed]:
    for seed in run.facts.seeds:
        sets_state = seed.call.endswith(_STATES) and seed.by is None
        if sets_state or (not seed.seeded and seed.by is None):
            yield seed
