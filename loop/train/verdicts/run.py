"""What a verdict looks at."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ...project.receipts import Reason, RuleVerdict, Standing
from ...record.facts import Section
from ...record.parts import Loader
from ...record.ranks import RunFacts
from ...script.fixed import Fixed

_ALIKE = 1e-6  # float32 keeps seven digits


@dataclass(frozen=True)
class Run:
    """The facts of a training, those of its parent's where there are some, and what the script's records state.

    `records` are flattened values by what states them: hparams.yaml, spec.json, the epochs in metrics.csv. `asked` are
    the rules that the start set nowhere, since only the user can say which of several places is meant.
    """

    facts: RunFacts
    version_id: str = "v001"
    parent: RunFacts | None = None
    records: Mapping[str, Mapping[str, object]] = field(default_factory=dict[str, Mapping[str, object]])
    asked: frozenset[str] = frozenset()

    @property
    def fits(self) -> tuple[Section, ...]:
        """The lowest rank's part of each fit that trained; a tuner's trials are none."""
        return tuple(
            fit.first
            for fit in self.facts.fits
            if fit.first.batches and (fit.first.end is None or fit.first.end.by != "tuner")
        )

    @property
    def trained(self) -> tuple[Section, ...]:
        """What a rule can mean: each fit, or where there is none what the script's own loop trained."""
        return self.fits or self.facts.loops[:1]

    @property
    def training_loaders(self) -> tuple[Loader, ...]:
        return tuple(
            loader for one in self.trained for loader in one.loaders if loader.role == "train" or loader.backwards
        )

    @property
    def loop_steps(self) -> int:
        """Steps that optimizers took outside of any fit, where there are fits."""
        return sum(one.steps for one in self.facts.loops) if self.fits else 0

    @property
    def world_size(self) -> int:
        return self.facts.world_size

    @property
    def of_parent(self) -> "Run | None":
        return None if self.parent is None else replace(self, facts=self.parent, parent=None, records={})


def alike(measured: float, fixed: object) -> bool:
    """Whether a measured number is the fixed one, as far as a device keeps its digits."""
    if isinstance(fixed, str):
        try:
            return alike(measured, float(fixed))
        except ValueError:
            return False
    if isinstance(fixed, bool) or not isinstance(fixed, int | float):
        return False
    return math.isclose(measured, fixed, rel_tol=_ALIKE, abs_tol=1e-300)


def ruled(rule: Fixed, standing: Standing, reason: Reason, found: str = "", beside: str = "") -> RuleVerdict:
    return RuleVerdict(
        rule=rule.rule, value=rule.value, standing=standing, reason=reason, found=found[:500], beside=beside[:500]
    )


def in_force(verdict: RuleVerdict | None) -> bool:
    return verdict is not None and verdict.standing == "in force"
