"""What only the script's own records say of a rule: in force by its word, or broken by it."""

from collections.abc import Mapping, Sequence

from ...project.receipts import RuleVerdict
from ...script.fixed import Fixed, agrees, recorded_values
from .run import Run, ruled


def stated(rule: Fixed, extra: Mapping[str, Sequence[str]], run: Run, *, measured: bool) -> RuleVerdict:
    """The verdict where nothing was measured. `measured`: a recorded run would have told."""
    said = [
        (f"{source}, {key}", value)
        for source, values in run.records.items()
        for key, value in recorded_values(values, rule, extra)
    ]
    if other := [f"{place} says {value!r}" for place, value in said if not agrees(rule, value)]:
        return ruled(rule, "broken", "record_differs", "; ".join(other[:5]))
    if said:
        return ruled(rule, "in force", "stated", said[0][0])
    return ruled(
        rule, "not verified", "no_facts" if measured else "nothing_measures", _problem(run) if measured else ""
    )


def _problem(run: Run) -> str:
    return next((f"{one.what}: {one.error}" for one in run.facts.problems), "")
