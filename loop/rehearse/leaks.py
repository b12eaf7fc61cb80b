"""Does the validation set know the training set otherwise than by the same inputs?

The recorder counts (record/recorder/torch_hooks/leaks); here it is decided what is worth a word. Honest data that look
like a leak must stay below the limits, so that the words are believed.
"""

import re
from collections.abc import Iterator

from ..project.receipts import Finding
from ..record.facts import Section
from ..record.parts import Grouped, Leaks, Near

CODES = ("shared", "disjoint", "shared_unchecked", "near", "groups_shared", "feature_is_target", "no_leak")
"""What a report repeats of a rehearsal's findings."""

_FEWEST = 3
_MORE, _ALIKE = 0.01, 0.05  # parts of the validation: that are more than training has itself, or as many
_GROUPED = 0.1


def findings(section: Section) -> Iterator[Finding]:
    """What was found; what was looked for in vain; or that nothing could be looked at."""
    leaks = section.rehearsed.leaks if section.rehearsed is not None else Leaks()
    found = [*_near(leaks.near), *_groups(leaks.groups), *_answers(leaks)]
    yield from found
    parts = {"near": leaks.near is not None, "groups": bool(leaks.groups), "answers": leaks.answers is not None}
    looked = " ".join(name for name, done in parts.items() if done)
    if not found and looked:
        yield Finding(
            code="no_leak",
            level="ok",
            values={"looked": looked, "train": leaks.train, "samples": leaks.validation},
        )
    elif not found:
        yield Finding(code="leaks_unchecked", level="note")


def _near(near: Near | None) -> Iterator[Finding]:
    if near is None or not near.looked or not near.within_looked or not _is_told(near):
        return
    one, other = near.example or (None, None)
    yield Finding(
        code="near",
        level="warning",
        values={
            "near": near.near,
            "samples": near.looked,
            "one": one,
            "other": other,
            "within": near.within_near,
            "train": near.within_looked,
        },
    )


def _is_told(near: Near) -> bool:
    """More than chance would bring, and more than the training set has within itself.

    As many as within itself are a leak only where values tell samples apart: copies that were made before the split are
    on both sides alike, and so are neighbours in a coarse table, which are nobody's copies.
    """
    part, within = near.near / near.looked, near.within_near / near.within_looked
    if near.near < _FEWEST or part <= 3 * near.by_chance:
        return False
    if near.near > 3 * within * near.looked + _FEWEST and part >= _MORE:
        return True
    return near.fine and part >= _ALIKE


def _groups(groups: tuple[Grouped, ...]) -> Iterator[Finding]:
    for one in groups:
        if one.shared and one.samples >= _GROUPED * one.looked:
            yield Finding(
                code="groups_shared",
                level="warning",
                values={
                    "name": _plain(one.name),
                    "shared": one.shared,
                    "groups": one.validation_groups,
                    "number": one.samples,
                    "samples": one.looked,
                    "example": _plain(one.example),
                },
            )


def _answers(leaks: Leaks) -> Iterator[Finding]:
    for one in leaks.answers or ():
        yield Finding(
            code="feature_is_target",
            level="warning",
            values={
                "input": _plain(one.input),
                "how": one.how,
                "target": _plain(one.target),
                "samples": leaks.train + leaks.validation,
            },
        )


def _plain(text: str) -> str:
    """Names and values of the data, without what a page could take for its own marks."""
    return re.sub(r"[^\w .,:'\[\]-]", "·", text)[:80]
