"""Each version's differences with their noise labels: beside its parent, the best before it, and v001."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import LoopError
from ..evaluate.seed_repeats import seed_noise
from ..project.receipts import AnalysisReceipt, Metric
from ..project.version import Version
from ..rules.reading import Rules
from ..store.digest import sha256
from ..store.paths import STATE
from ..store.records import Record, load, save
from .best import Scored, named, scored
from .noise.samples import SampleScores, load_samples
from .noise.verdict import OTHER_TARGETS, NoiseVerdict, judge


class Judgements(Record):
    """`key` names the scores that were compared, so that a re-scored version is judged anew."""

    scanned = True

    key: str
    verdicts: tuple[NoiseVerdict, ...]


def judgements(version: Version, rules: Rules, best_before: Version | None) -> tuple[NoiseVerdict, ...]:
    """Every metric against the previous scored version and the best before; the primary one against others too.

    Empty for the first scored version. Read from the version's record where one is there, else computed.
    """
    question = _question(version, rules, best_before)
    if question is None:
        return ()
    known = load(version.project.workspace.tree, _where(version), Judgements)
    return known.verdicts if known is not None and known.key == question.key() else tuple(question.verdicts())


def recorded(version: Version) -> tuple[NoiseVerdict, ...]:
    """The judgements that `record_judgements` saved; empty where there are none. Computes nothing."""
    known = load(version.project.workspace.tree, _where(version), Judgements)
    return known.verdicts if known else ()


def record_judgements(version: Version, rules: Rules, best_before: Version | None) -> None:
    """Computes the version's judgements once and saves them. Don't hold the project's lock: it takes a moment."""
    verdicts = judgements(version, rules, best_before)
    question = _question(version, rules, best_before)
    if verdicts and question is not None:
        with version.project.mutation():
            record = Judgements(key=question.key(), verdicts=verdicts)
            save(version.project.workspace.tree, _where(version), record)


@dataclass(frozen=True)
class _Question:
    """A scored version beside those that it is compared with, each once.

    These are the previous one, the best before, v001, and the last that gained beyond noise.
    """

    new: Scored
    compared: tuple[Scored, ...]
    best_before: Version | None
    rules: Rules

    def key(self) -> str:
        """Another text as soon as a score or a rule changes that the labels depend on."""
        best, config = self.best_before, self.rules.file
        parts = [str(best.number if best else None), str(config.loop_config.max_versions)]
        parts.append(config.eval_config.primary_metric)
        parts.append(str(seed_noise(self.new.version.project.workspace.tree, config.eval_config.primary_metric)))
        parts += [f"{one.version.number} {one.receipt.model_dump_json()}" for one in (self.new, *self.compared)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def verdicts(self) -> Iterator[NoiseVerdict]:
        new = _samples(self.new)
        for other in self.compared:
            if other.receipt.fingerprint != self.new.receipt.fingerprint:
                continue
            alike = other.receipt.other_targets == self.new.receipt.other_targets
            old = _samples(other) if alike else OTHER_TARGETS
            for metric in self.new.receipt.metrics:
                reference = named(other.receipt.metrics, metric.name)
                if reference is None or not self._is_judged(metric, other):
                    continue
                if isinstance(new, str) or isinstance(old, str):
                    note = old if isinstance(old, str) else new
                    assert isinstance(note, str)
                    yield NoiseVerdict(metric.name, other.version.id, 0, note=note, comparable=alike)
                else:
                    yield self._verdict(new, old, metric, reference, other.version)

    def _is_judged(self, metric: Metric, other: Scored) -> bool:
        best = self.best_before is not None and other.version.number == self.best_before.number
        return other is self.compared[0] or best or metric.name == self.rules.file.eval_config.primary_metric

    def _verdict(
        self, new: SampleScores, old: SampleScores, metric: Metric, reference: Metric, other: Version
    ) -> NoiseVerdict:
        seed_sd, repeats = seed_noise(other.project.workspace.tree, metric.name)
        return judge(
            new,
            old,
            metric.name,
            higher_is_better=metric.higher_is_better,
            looks=self.rules.file.loop_config.max_versions,
            against=other.id,
            selected=self.best_before is not None and other.number == self.best_before.number,
            published=(metric.value, reference.value),
            seed_sd=seed_sd,
            repeats=repeats,
            seed=self.rules.file.seed,
        )


def gain_before(version: Version) -> int | None:
    """The newest earlier version that gained beyond noise, or the first; None where nothing says so.

    Versions are held against it: small gains, each within the noise, add up to one beyond it.
    """
    before = Version(version.project, version.number - 1).receipt(AnalysisReceipt) if version.number > 1 else None
    return before.last_gain if before is not None else None


def _question(version: Version, rules: Rules, best_before: Version | None) -> _Question | None:
    """None for a version without a score, or without a scored one before it."""
    new = scored(version)
    # Only as many receipts as it takes: a report asks this of a thousand versions.
    earlier = [Version(version.project, one) for one in version.project.versions() if one < version.number]
    previous = next((found for one in reversed(earlier) if (found := scored(one))), None)
    first = next((found for one in earlier if (found := scored(one))), None)
    if new is None or previous is None:
        return None
    best = scored(best_before) if best_before else None
    gained = scored(Version(version.project, number)) if (number := gain_before(version)) is not None else None
    compared = {one.version.number: one for one in (previous, best, first, gained) if one is not None}
    return _Question(new, tuple(compared.values()), best_before, rules)


def _samples(of: Scored) -> SampleScores | str:
    """The version's per-sample scores, or why there are none."""
    version = of.version
    try:
        tree, where = version.project.workspace.tree, version.project.workspace.sample_scores(version.number)
        if sha256(tree, where) != of.receipt.samples_sha256:
            return f"{version.id}'s per-sample scores were edited since it was scored"
        return load_samples(tree, where)
    except FileNotFoundError:
        return f"{version.id} has no per-sample scores"
    except LoopError as error:
        return f"{version.id}: {error.what}"


def _where(version: Version) -> str:
    return f"{STATE}/scores/{version.id}/noise.json"
