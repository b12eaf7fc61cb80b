"""Checks of what an evaluation left: its score, its samples, its pictures; before anything is published (E3, E4)."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NoReturn

from pydantic import BaseModel, ConfigDict, JsonValue, TypeAdapter, ValidationError

from ...errors import EvaluationError, Unreadable, UnsafePath
from ...project.notices import Notice
from ...project.receipts import Metric, Score
from ...store.leftovers.reading import Form, read
from ...store.tree import Tree
from ...text import describe

_HINT = "correct 03_eval.py through write_eval (docs/contract.md says what it must leave)"
MAX_SAMPLE_BYTES = 4 << 30
# A metric that was summed in single precision is its samples' mean to about this.
_ROUNDING = 1e-4


@dataclass(frozen=True)
class Evaluated:
    score: Score
    infer_samples: int
    warnings: tuple[Notice, ...]
    formulas: dict[str, str] = field(default_factory=dict[str, str])


def check_output(
    tree: Tree, out: str, *, dataset_id: str, val_samples: int | None, wanted: tuple[str, ...], primary: str, most: int
) -> Evaluated:
    """Reads an evaluation's scratch folder. Raises `EvaluationError` naming the file and what is wrong with it.

    `wanted` are the metrics that the rules name; one that is missing is a warning, since the report ranks it last (E3).
    """
    score = _score(tree, f"{out}/eval_score.json")
    if score.dataset_id != dataset_id:
        _refuse(f"{out}/eval_score.json", f"dataset_id is {score.dataset_id!r}, this loop's is {dataset_id!r}")
    names = [metric.name for metric in score.metrics]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        _refuse(f"{out}/eval_score.json", f"metrics named twice: {', '.join(twice)}")
    if val_samples is not None and score.num_samples != val_samples:
        fault = f"num_samples is {score.num_samples}, and stats.json says the validation set has {val_samples}"
        _refuse(f"{out}/eval_score.json", fault)
    means = _sample_means(tree, f"{out}/samples.jsonl", score.num_samples)
    score, warnings = _with_means(score, means, f"{out}/samples.jsonl")
    shown = _check_infer_samples(tree, f"{out}/infer_samples", most)
    warnings += [Notice.of("metric_missing", metric=name) for name in wanted if name not in names]
    if primary not in names:
        warnings.append(Notice.of("primary_missing", metric=primary))
    return Evaluated(score, shown, tuple(warnings))


def read_metrics(tree: Tree, out: str) -> dict[str, float]:
    """The metrics in a scratch folder by name, without any other check. Raises `EvaluationError`."""
    where = f"{out}/eval_score.json"
    content = read_strict(tree, where)
    metrics = content.get("metrics") if isinstance(content, dict) else None
    found: dict[str, float] = {}
    for metric in metrics if isinstance(metrics, list) else []:
        if isinstance(metric, dict) and isinstance(value := metric.get("value"), int | float):
            found[str(metric.get("name"))] = float(value)
    return found


def read_strict(tree: Tree, where: str) -> JsonValue:
    """JSON without duplicate keys, NaN or infinity. Raises `EvaluationError`."""
    return _read(tree, "json", where, strict=True)


def _score(tree: Tree, where: str) -> Score:
    content = read_strict(tree, where)
    try:
        # Through JSON again: strict mode then takes 1 for a float, as JSON does, and "1" still not.
        return Score.model_validate_json(json.dumps(content))
    except ValidationError as error:
        raise EvaluationError(describe(error), where=where, hint=_HINT) from error


def _read(tree: Tree, form: Form, *where: str, **options: JsonValue) -> JsonValue:
    try:
        return read(tree, form, *where, **options)
    except FileNotFoundError as error:
        raise EvaluationError("was not written", where=where[0], hint=_HINT) from error
    except (UnsafePath, Unreadable) as error:
        raise EvaluationError(error.what, where=error.where, hint=_HINT) from error


def _with_means(score: Score, means: Mapping[str, float], where: str) -> tuple[Score, list[Notice]]:
    """The score with each metric that its samples can vouch for replaced by their mean, or by their error rate.

    A metric that is not that value is refused. Only a loss may differ, since some average by weight: that is a warning.
    """
    metrics: list[Metric] = []
    warnings: list[Notice] = []
    for metric in score.metrics:
        mean = means.get(metric.name, _rate(metric.name, means))
        if mean is not None and math.isclose(mean, metric.value, rel_tol=_ROUNDING, abs_tol=_ROUNDING):
            metrics.append(metric.model_copy(update={"value": mean}))
            continue
        if mean is not None and metric.name != "loss":
            what = f"the mean of its {metric.name!r}" if metric.name in means else f"{metric.name!r} of its errors"
            _refuse(where, f"{what} is {mean:.6g}, eval_score.json says {metric.value:.6g}")
        if mean is not None:
            warnings.append(Notice.of("loss_differs", loss=metric.value, mean=mean))
        metrics.append(metric)
    return score.model_copy(update={"metrics": metrics}), warnings


def _rate(name: str, means: Mapping[str, float]) -> float | None:
    """Σ errors / Σ length, which means give as well as sums; None unless every sample has both."""
    errors, length = means.get(f"{name}_errors"), means.get(f"{name}_length")
    return errors / length if errors is not None and length else None


def _sample_means(tree: Tree, where: str, samples: int) -> dict[str, float]:
    """The mean of each score that every sample has. Refuses another count of lines, and an id that comes twice."""
    found = _Means.model_validate(_read(tree, "samples", where))
    if found.count != samples:
        _refuse(where, f"it has {found.count} lines, and eval_score.json says num_samples {samples}")
    return found.means


class _Means(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)

    count: int
    means: dict[str, float]


def other_targets(tree: Tree, new: str, old: str) -> tuple[int, int, int]:
    """How many samples of two samples.jsonl have one id and other targets, how many ids both have, and how many one."""
    if not tree.is_file(old):
        return 0, 0, 0
    return _COUNTS.validate_python(_read(tree, "targets", new, old))


def scores_digest(tree: Tree, where: str) -> JsonValue:
    """A digest of every sample's scores, without what may differ between runs; None without a file."""
    return _read(tree, "scores", where) if tree.is_file(where) else None


_COUNTS = TypeAdapter(tuple[int, int, int])


def _check_infer_samples(tree: Tree, where: str, most: int) -> int:
    folders = tree.names(where)
    if len(folders) > most:
        _refuse(where, f"it holds {len(folders)} samples, and eval_config.infer_samples allows {most}")
    if most and not folders:
        _refuse(where, "it holds no sample")
    for folder in folders:
        names = tree.names(f"{where}/{folder}")
        lacking = [stem for stem in ("input", "output") if not any(name.startswith(f"{stem}.") for name in names)]
        if "meta.json" not in names:
            lacking.append("meta.json")
        if lacking:
            _refuse(f"{where}/{folder}", f"it lacks {', '.join(lacking)}")
    return len(folders)


def _refuse(where: str, what: str) -> NoReturn:
    raise EvaluationError(what, where=where, hint=_HINT)
