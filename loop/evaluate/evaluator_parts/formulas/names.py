"""Which of a family's formulas a name means, by the one table of what people call numbers."""

from __future__ import annotations

import re

from ..tasks import SPELLINGS, keys, plain
from .kinds import Family, Formula


def spelled(family: Family) -> dict[str, str]:
    """Each spelling of the family's metrics, and the metric's own name; own names stand above other spellings."""
    found: dict[str, str] = {}
    for name in family.metrics:
        number = re.search(r"\d+", name)
        pattern = name.replace(number[0], "{k}", 1) if number and name not in SPELLINGS else name
        for spelling in SPELLINGS.get(pattern, ()):
            found.setdefault(spelling.replace("{k}", number[0] if number else ""), name)
    return {**found, **{plain(name): name for name in family.metrics}}


def find(family: Family, name: str) -> Formula | None:
    if name in family.metrics:
        return family.metrics[name]
    known = spelled(family)
    return next((family.metrics[known[key]] for key in keys(name) if key in known), None)
