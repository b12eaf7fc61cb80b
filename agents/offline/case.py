"""A version as the agent judges it: its scores and curves, what they say, and what may be tried next."""

from dataclasses import dataclass
from functools import lru_cache

from ...loop.script.fixed import Fixed
from .diagnosis import Curves, Diagnosis, Scores, Verdict, diagnose
from .loop_client import Loop, LossCurves, Status
from .playbook import Move, Past, moves


@dataclass(frozen=True)
class Case:
    """`past` holds the scripts up to the version's own, with the changes that led to them."""

    status: Status
    scores: Scores
    diagnosis: Diagnosis
    past: Past
    fixed: tuple[Fixed, ...]

    def moves(self) -> tuple[Move, ...]:
        """Every move that may be proposed, the most promising one first."""
        return _moves(self.past, self.diagnosis.verdict, self.fixed)


@lru_cache(maxsize=2)  # a version's analysis, its action and its successor ask for the same, which takes 50 ms
def _moves(past: Past, verdict: Verdict, fixed: tuple[Fixed, ...]) -> tuple[Move, ...]:
    return tuple(moves(past, verdict, fixed))


async def case_of(loop: Loop, version: int) -> Case:
    """Reads the version's case. Raises `AgentStopped` for an answer that can't be read."""
    status = await loop.status()
    versions = [one for one in status.versions if one.version <= version]
    scripts = [await loop.script(one.version) for one in versions]
    scores = scores_of(status, version)
    earlier = [one.action.change for one in versions if one.action is not None and one.version < version]
    found = diagnose(curves_of(await loop.curves(version)), scores)
    return Case(status, scores, found, Past(tuple(scripts), scores.best, tuple(earlier)), fixed_of(status))


def scores_of(status: Status, version: int) -> Scores:
    """The primary metric of each version up to this one."""
    found = [one.metric(status.primary_metric) for one in status.versions if one.version <= version]
    direction = next((one.higher_is_better for one in found if one is not None), True)
    first = status.versions[0].version if status.versions else 1
    return Scores(status.primary_metric, tuple(one.value if one else None for one in found), direction, first)


def curves_of(curves: LossCurves) -> Curves:
    return Curves(curves.epochs, curves.train_loss, curves.val_loss)


def fixed_of(status: Status) -> tuple[Fixed, ...]:
    return tuple(Fixed(rule=one.rule, name=one.name, value=one.value) for one in status.fixed)
