"""Each version's differences with their noise labels: beside its parent, the best before it, and v001."""

import hashlib

from ..errors import LoopError
from ..evaluate.seed_repeats import seed_noise
from ..project.project import Project
from ..project.receipts import EvalReceipt, Metric
from ..project.version import Version
from ..rules.reading import Rules
from ..store.digest import sha256
from ..store.paths import STATE, version_id
from ..store.records import Record, load, save
from .noise.samples import SampleScores, load_samples
from .noise.verdict import NoiseVerdict, judge


class Judgements(Record):
    """`key` names the scores that were compared, so that a re-scored version is judged anew."""

    scanned = True

    key: str
    verdicts: tuple[NoiseVerdict, ...]


def judgements(project: Project, rules: Rules, cur: int, best_before: int | None) -> tuple[NoiseVerdict, ...]:
    """Every metric against the previous scored version; the primary one against the best before and v001 as well.

    Empty for the first scored version. Read from the version's record where one is there, else computed.
    """
    new, compared = Version(project, cur).receipt(EvalReceipt), _compared(project, cur, best_before)
    if new is None or not compared:
        return ()
    key = _key(project, rules, cur, compared, best_before)
    known = load(project.workspace.tree, _where(cur), Judgements)
    if known is not None and known.key == key:
        return known.verdicts
    return _judged(project, rules, cur, new, compared, best_before)


def recorded(project: Project, cur: int) -> tuple[NoiseVerdict, ...]:
    """What `record_judgements` kept; nothing is computed."""
    known = load(project.workspace.tree, _where(cur), Judgements)
    return known.verdicts if known else ()


def record_judgements(project: Project, rules: Rules, cur: int, best_before: int | None) -> None:
    """Computes the version's judgements once and keeps them; outside the lock, since they take a moment."""
    verdicts = judgements(project, rules, cur, best_before)
    if verdicts:
        key = _key(project, rules, cur, _compared(project, cur, best_before), best_before)
        with project.mutation():
            save(project.workspace.tree, _where(cur), Judgements(key=key, verdicts=verdicts))


def _compared(project: Project, cur: int, best_before: int | None) -> tuple[int, ...]:
    """The scored versions that one is compared with, each once: the previous one, the best before, the first."""
    earlier = [number for number in project.workspace.versions() if number < cur]
    previous = next((number for number in reversed(earlier) if Version(project, number).receipt(EvalReceipt)), None)
    first = next((number for number in earlier if Version(project, number).receipt(EvalReceipt)), None)
    return tuple(dict.fromkeys(number for number in (previous, best_before, first) if number is not None))


def _judged(
    project: Project, rules: Rules, cur: int, new: EvalReceipt, compared: tuple[int, ...], best_before: int | None
) -> tuple[NoiseVerdict, ...]:
    primary = rules.file.eval_config.primary_metric
    previous = compared[0]
    samples = _samples(project, cur)
    verdicts: list[NoiseVerdict] = []
    for number in compared:
        receipt = Version(project, number).receipt(EvalReceipt)
        if receipt is None or receipt.fingerprint != new.fingerprint:
            continue
        old = _samples(project, number)
        for metric in new.metrics:
            reference = next((one for one in receipt.metrics if one.name == metric.name), None)
            if reference is None or (number != previous and metric.name != primary):
                continue
            verdicts.append(
                _verdict(project, rules, samples, old, metric, reference, number, selected=number == best_before)
            )
    return tuple(verdicts)


def _verdict(
    project: Project,
    rules: Rules,
    new: SampleScores | str,
    old: SampleScores | str,
    metric: Metric,
    reference: Metric,
    number: int,
    *,
    selected: bool,
) -> NoiseVerdict:
    against = version_id(number)
    seed_sd, repeats = seed_noise(project.workspace.tree, metric.name)
    if isinstance(new, str) or isinstance(old, str):
        told = new if isinstance(new, str) else old
        return NoiseVerdict(metric.name, against, 0, note=told if isinstance(told, str) else "")
    return judge(
        new,
        old,
        metric.name,
        higher_is_better=metric.higher_is_better,
        looks=rules.file.loop_config.max_versions,
        against=against,
        selected=selected,
        published=(metric.value, reference.value),
        seed_sd=seed_sd,
        repeats=repeats,
        seed=rules.file.seed,
    )


def _samples(project: Project, cur: int) -> SampleScores | str:
    """The version's per-sample scores, or why there are none."""
    try:
        tree, where = project.workspace.tree, project.workspace.sample_scores(cur)
        receipt = Version(project, cur).receipt(EvalReceipt)
        if receipt is None or sha256(tree, where) != receipt.samples_sha256:
            return f"{version_id(cur)}'s per-sample scores were edited since it was scored"
        return load_samples(tree, where)
    except FileNotFoundError:
        return f"{version_id(cur)} has no per-sample scores"
    except LoopError as error:
        return f"{version_id(cur)}: {error.what}"


def _key(project: Project, rules: Rules, cur: int, compared: tuple[int, ...], best_before: int | None) -> str:
    parts = [str(best_before), str(rules.file.loop_config.max_versions), rules.file.eval_config.primary_metric]
    parts.append(str(seed_noise(project.workspace.tree, rules.file.eval_config.primary_metric)))
    for number in (cur, *compared):
        receipt = Version(project, number).receipt(EvalReceipt)
        parts.append(f"{number} {receipt.model_dump_json() if receipt else ''}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _where(cur: int) -> str:
    return f"{STATE}/scores/{version_id(cur)}/noise.json"
