"""What the start found, and what the server did about it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from ..script.fixed import Fixed
from ..text import Say, Told, english

_SOME = Told(
    "{rule} = {value!r} is set where it is clear what it means; left as they are, since only you know whether they are"
    " meant too: {places}. To fix one of them, write its own value into the rules before the start: {way}"
)
_NONE = Told(
    "{rule} = {value!r} is set nowhere: several places differ, and only you know which one is meant: {places}. Write the"
    " value of each into the rules before the start: {way}"
)


@dataclass(frozen=True)
class Finding:
    """`settled` says what the server did about it, in words or as changes to the script; None leaves it to others."""

    issue: Told
    settled: Told | str | None = None

    def told(self, say: Say) -> str:
        settled = self.settled.told(say) if isinstance(self.settled, Told) else self.settled
        issue = self.issue.told(say)
        return f"{issue} ({settled})" if settled else issue

    def __str__(self) -> str:
        return self.told(english)


def asked(rule: Fixed, apart: Sequence[tuple[str, object, str]], *, some: bool) -> Finding:
    """`apart`: of each place that was left alone, where it is, its value, and its name in the rules."""
    places = "; ".join(f"{place} = {value!r}" for place, value, _ in apart)
    ways = ", ".join(
        f'"{name}": {json.dumps(value)}' for name, value in {name: value for _, value, name in apart}.items()
    )
    values = {"rule": rule.rule, "value": rule.value, "places": places, "way": f'"training_config": {{{ways}}}'}
    return Finding(Told((_SOME if some else _NONE).text, values))
