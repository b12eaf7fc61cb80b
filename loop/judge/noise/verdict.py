"""One version against another on the same samples: how large the difference is, and what it may be called."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal

from .intervals import Interval, interval_of_mean, interval_of_summed, se_of_mean, units_of
from .metrics import PerSample, Summed, readings
from .samples import SampleScores, differs, matched
from .thresholds import ALPHA, Label, called, counted_looks, label_of, mcnemar_p, mcnemar_threshold, threshold

if TYPE_CHECKING:
    from .scipy_calls import FloatArray, IntArray

Test = Literal["bca", "mcnemar", "joint bootstrap"]

OTHER_TARGETS = "measured by other targets: not comparable"
FEWEST = 10  # samples or groups; below, an estimated sd says nothing


@dataclass(frozen=True)
class NoiseVerdict:
    """`delta` is oriented: positive is better, in the metric's own unit. What can't be told is None; `note` says why.

    `low`, `high` are the 95 % interval, which knows the noise of the validation set and not the seed's; `ladder` says
    delta > SE (Blum & Hardt 2015); |delta| must exceed `threshold` to be significant. `p_value` is not corrected for
    looks: exact for "mcnemar", from delta / SE otherwise. Not `comparable`: the targets were others.
    """

    metric: str
    against: str
    n: int
    delta: float | None = None
    low: float | None = None
    high: float | None = None
    se: float | None = None
    ladder: bool = False
    threshold: float | None = None
    label: Label | None = None
    test: Test | None = None
    p_value: float | None = None
    note: str = ""
    comparable: bool = True

    @property
    def called(self) -> str:
        """The label with its direction; "" without one."""
        return called(self.label, self.delta)


@dataclass(frozen=True)
class _Evidence:
    """What the samples say, before looks and seeds are counted; `changed` is set for McNemar's test only."""

    test: Test
    delta: float
    se: float
    n: int
    units: int
    p: float
    interval: Interval | None
    changed: int | None = None

    @property
    def passes_alone(self) -> bool:
        """Whether it would do if this were the only look, and seeds made no difference."""
        if self.test == "mcnemar" or self.interval is None:
            return self.p < ALPHA
        return self.interval.low > 0 or self.interval.high < 0


def judge(
    new: SampleScores,
    old: SampleScores,
    metric: str,
    *,
    higher_is_better: bool,
    looks: int,
    against: str,
    seed_sd: float | None = None,
    repeats: int | None = None,
    selected: bool = False,
    published: tuple[float, float] | None = None,
    seed: int = 42,
) -> NoiseVerdict:
    """Labels the difference between `new` and `old` (the version `against`) in one metric; either direction alike.

    `looks` is the number of versions that the validation set may judge in all. `seed_sd` is the metric's sd over
    `repeats` trainings of one version. `selected` says that `old` was picked as the best of several by this metric on
    these samples (thresholds.counted_looks). `published` are both versions' scores: of the ways to recompute the metric
    from the samples the one that gives these is taken, and without one there is no label. Raises `ValueError` for
    looks < 1, and for a `seed_sd` that doesn't come from at least two repeats.
    """
    if looks < 1 or (seed_sd is not None and (repeats is None or repeats < 2 or not seed_sd >= 0)):
        raise ValueError("looks must be at least 1, and seed_sd the sd of at least 2 repeats")
    n, sign = len(new.ids), 1 if higher_is_better else -1
    nothing = NoiseVerdict(metric, against, n)
    aligned = matched(new, old)
    if aligned is None:
        return replace(nothing, note=_differing_ids(new, old))
    if n == 0:
        return replace(nothing, note="there are no samples")
    if differs(new.target, aligned.target):
        return replace(nothing, note=OTHER_TARGETS, comparable=False)
    groups = new.groups if new.groups is not None else aligned.groups
    units = units_of(n, groups, seed=seed)
    chosen, reproduces = _chosen(readings(metric, new, aligned, units), published)
    if chosen is None:
        return replace(nothing, note=f"{metric} can't be recomputed from the samples: {_WANTED}")
    if isinstance(chosen, PerSample):
        evidence = _of_mean(chosen, sign, groups, seed=seed)
    else:
        evidence = _of_summed(chosen, sign, int(units.max()) + 1, n, seed=seed)
    if isinstance(evidence, str):
        return replace(nothing, note=evidence)
    if published is not None and not reproduces:
        gap = abs(sign * (published[0] - published[1]) - evidence.delta)
        if gap > evidence.se / 10:
            told = f"{chosen.both()[0]:.6g} and {chosen.both()[1]:.6g}"
            return replace(nothing, note=f"{chosen.name} gives {told}, not the published values: no label can be given")
    looks = counted_looks(looks, delta=evidence.delta, selected=selected)
    return _verdict(nothing, evidence, looks=looks, seed_sd=seed_sd, repeats=repeats)


def _chosen(
    ways: Iterator[PerSample | Summed], published: tuple[float, float] | None
) -> tuple[PerSample | Summed | None, bool]:
    """The first way that gives the published values, and True; else the likeliest, and False."""
    first = None
    for way in ways:
        if published is None or _agrees(way.both(), published):
            return way, True
        first = first or way
    return first, False


_WANTED = (
    "they would need a score of this name each, classes or numbers in prediction and target, probabilities (AUROC), or "
    "the scores errors and length (WER, CER)"
)


def _verdict(
    nothing: NoiseVerdict, evidence: _Evidence, *, looks: int, seed_sd: float | None, repeats: int | None
) -> NoiseVerdict:
    alone = _bound(evidence, looks=1, seed_sd=seed_sd, repeats=repeats)
    corrected = _bound(evidence, looks=looks, seed_sd=seed_sd, repeats=repeats)
    uncorrected = evidence.passes_alone and (seed_sd is None or abs(evidence.delta) > alone)
    note = ""
    if evidence.se == 0:
        note = "every sample scores the same in both" if evidence.delta == 0 else "every sample differs by the same"
    elif evidence.interval is None:
        note = f"{evidence.units} samples are too few for an interval"
    return replace(
        nothing,
        delta=evidence.delta,
        low=evidence.interval.low if evidence.interval else None,
        high=evidence.interval.high if evidence.interval else None,
        se=evidence.se,
        ladder=evidence.delta > evidence.se,
        threshold=corrected,
        label=label_of(evidence.delta, corrected, uncorrected=uncorrected),
        test=evidence.test,
        p_value=evidence.p,
        note=note,
    )


def _bound(evidence: _Evidence, *, looks: int, seed_sd: float | None, repeats: int | None) -> float:
    by_se = threshold(evidence.se, looks=looks, units=evidence.units, seed_sd=seed_sd, repeats=repeats)
    if evidence.changed is None:
        return by_se
    exact = mcnemar_threshold(evidence.changed, evidence.n, looks=looks)
    return exact if seed_sd is None else max(exact, by_se)


def _of_mean(values: PerSample, sign: int, groups: IntArray | None, *, seed: int) -> _Evidence | str:
    """Evidence from paired differences; McNemar's test where every score is 0 or 1 and no groups tie samples."""
    differences = sign * (values.new - values.old)
    n = len(differences)
    units = n if groups is None else int(groups.max()) + 1
    binary = groups is None and _is_binary(values.new) and _is_binary(values.old)
    if units < FEWEST and not binary:
        return _too_few(units, grouped=groups is not None)
    delta = float(differences.mean())
    interval = interval_of_mean(differences, groups, seed=seed) if units >= FEWEST else None
    se = interval.se if interval else se_of_mean(differences, groups) if n > 1 else 0.0
    if not binary:
        return _Evidence("bca", delta, se, n, units, _normal_p(delta, se), interval)
    gained, lost = int((differences > 0).sum()), int((differences < 0).sum())
    return _Evidence("mcnemar", delta, se, n, units, mcnemar_p(gained, lost), interval, changed=gained + lost)


def _of_summed(summed: Summed, sign: int, units: int, n: int, *, seed: int) -> _Evidence | str:
    if units < FEWEST:
        return _too_few(units, grouped=units < n)
    interval = interval_of_summed(summed, sign, seed=seed)
    delta = summed.delta(sign)
    return _Evidence("joint bootstrap", delta, interval.se, n, units, _normal_p(delta, interval.se), interval)


def _is_binary(values: FloatArray) -> bool:
    return bool(((values == 0) | (values == 1)).all())


def _normal_p(delta: float, se: float) -> float:
    if se == 0:
        return 1.0 if delta == 0 else 0.0
    return 2 * NormalDist().cdf(-abs(delta) / se)


def _agrees(values: tuple[float, float], published: tuple[float, float]) -> bool:
    """Up to what single precision and a rounded last digit leave."""
    return all(math.isclose(a, b, rel_tol=1e-4, abs_tol=1e-9) for a, b in zip(values, published, strict=True))


def _too_few(units: int, *, grouped: bool) -> str:
    return f"{units} {'groups of samples' if grouped else 'samples'} are too few to judge a difference by"


def _differing_ids(new: SampleScores, old: SampleScores) -> str:
    ours, theirs = set(new.ids), set(old.ids)
    return (
        f"the evaluators' sample ids differ: {len(ours - theirs)} are in this version only, "
        f"{len(theirs - ours)} in the other only; evaluate both by the same 03_eval.py"
    )
