"""What the start found, and what the server did about it."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ..script.fixed import Fixed
from ..store.paths import version_id
from ..text import Say, Told, english

_SOME = Told(
    "{rule} = {value!r} is set where it is clear what is meant; others of that name are left as they are, since only"
    " you know whether they are meant too: {places}. To fix them as well, write into the rules: {way}"
)
_NONE = Told(
    "{rule} = {value!r} is set nowhere: several of that name differ, and only you know which is meant: {places}. Give"
    " the others values of their own in the rules, remove 02_train_v001.py and .progressive-training, and start again:"
    " {way}"
)
_ADOPTED = Told(
    "{name} is the first version as it lies there: it parses, and so do its modules ({modules}); it names no other data"
    " set, and no value beside those that the rules fix ({rules}), which were set nowhere. Nothing was audited"
)
_BEFORE = Told("{names} were there before: the loop neither runs nor scores nor ranks them")


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
    names = {name: value for _, value, name in apart}
    ways = ", ".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in names.items())
    values = {"rule": rule.rule, "value": rule.value, "places": places, "way": f'"training_config": {{{ways}}}'}
    return Finding(replace(_SOME if some else _NONE, values=values))


def adopted(name: str, modules: Sequence[str], rules: Sequence[str], before: Sequence[int]) -> Iterator[Told]:
    """What was checked of a first version that somebody wrote, and which versions `before` it are left alone."""
    values = {"name": name, "modules": ", ".join(modules) or "-", "rules": ", ".join(rules) or "-"}
    yield replace(_ADOPTED, values=values)
    if before:
        yield replace(_BEFORE, values={"names": ", ".join(map(version_id, before))})
