"""Rule by rule, what became of each fixed value in the versions' trainings."""

from collections.abc import Iterator
from typing import NamedTuple

from ..project.project import Project
from ..project.receipts import RuleVerdict, TrainReceipt
from ..project.version import Version
from ..store.paths import version_id
from ..text import Told
from ..train.verdicts import told


class RuleRow(NamedTuple):
    """A fixed value, and the verdict that these versions have in common."""

    rule: str
    value: str
    versions: tuple[str, ...]
    verdict: Told


def rule_table(project: Project) -> tuple[RuleRow, ...]:
    """By rule, then by verdict, in the versions' order; empty where nothing is fixed or nothing was recorded."""
    found: dict[tuple[str, str, str], tuple[list[str], RuleVerdict]] = {}
    for number in project.versions():
        for one in of_version(Version(project, number)):
            key = (one.rule, repr(one.value), str(told(one)))
            found.setdefault(key, ([], one))[0].append(version_id(number))
    order = {rule: place for place, rule in enumerate(dict.fromkeys(rule for rule, _, _ in found))}
    rows = [RuleRow(rule, value, tuple(versions), told(one)) for (rule, value, _), (versions, one) in found.items()]
    return tuple(sorted(rows, key=lambda row: order[row.rule]))


def of_version(version: Version) -> Iterator[RuleVerdict]:
    receipt = version.receipt(TrainReceipt)
    yield from receipt.rules if receipt is not None else ()
