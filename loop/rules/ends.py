"""The ends of the whole loop that a user may set: `max_versions`, `max_hours`, `target`, `patience`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from ..text import Told
from .schema import LoopConfig

EndedByRule = Literal["max_versions", "max_hours", "target", "patience"]
EndedBy = Literal[EndedByRule, "stuck", "stop_reason"]
BY_RULE: frozenset[str] = frozenset(get_args(EndedByRule))

Value = tuple[float, bool]
"""A metric's value, and whether higher is better."""


@dataclass(frozen=True)
class End:
    by: EndedByRule
    told: Told


@dataclass(frozen=True)
class Reached:
    """Where a loop is: its newest version, the hours since its start, and for how many versions nothing was gained.

    `scores` are those of every version, by version id and then by metric.
    """

    version: int
    version_id: str
    hours: float
    idle: int
    scores: Iterable[tuple[str, Mapping[str, Value]]]


def first_end(config: LoopConfig, reached: Reached, primary: str) -> End | None:
    """What ends the loop; of several a reached target first, and the clock last. None where it goes on."""
    if config.target is not None:
        for version, scores in reached.scores:
            if shown := _on_target(config.target, scores):
                return End("target", Told("target: {version} has {reached}", {"version": version, "reached": shown}))
    if reached.version >= config.max_versions:
        last = {"version": reached.version_id, "most": config.max_versions}
        return End("max_versions", Told("max_versions = {most}: {version} is the last", last))
    if config.patience is not None and reached.idle >= config.patience:
        idle = {"count": reached.idle, "metric": primary}
        told = Told("patience: {count} versions in turn without a gain of {metric} beyond noise", idle)
        return End("patience", told)
    return time_is_up(config, reached.hours)


def time_is_up(config: LoopConfig, hours: float) -> End | None:
    if config.max_hours is None or hours < config.max_hours:
        return None
    values = {"hours": f"{hours:.3g}", "limit": f"{config.max_hours:g}"}
    return End("max_hours", Told("max_hours: {hours} h have passed since the start, and it is {limit}", values))


def _on_target(target: Mapping[str, float], scores: Mapping[str, Value]) -> str:
    """The metrics that reached it, each with its value, where all did; else ""."""
    shown: list[str] = []
    for name, wanted in target.items():
        value, higher = scores.get(name, (None, True))
        if value is None or (value < wanted if higher else value > wanted):
            return ""
        shown.append(f"{name} {value:.6g} (target {wanted:g})")
    return ", ".join(shown)
