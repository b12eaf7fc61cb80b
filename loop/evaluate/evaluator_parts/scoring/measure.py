"""The numbers of one version or external model, and what vouches for each, sample by sample."""

from __future__ import annotations

import difflib
import math
import statistics
import time
from collections.abc import Callable, Container
from typing import Any, NamedTuple, NoReturn

from ..errors import EvalError
from ..formulas import Family, Formula, lower_is_better
from ..tasks import loader_of
from .frozen import Frozen
from .reading import Comparison, blanked
from .session import Session
from .walk import Scored, single_batches

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeArgument=false, reportUnknownLambdaType=false
# pyright: reportPrivateUsage=false
# What the script and torch hand over has no type here.

LATENCY_REQUESTS = 100
WARM_UP_REQUESTS = 5


class Settings(NamedTuple):
    """Corrections that write_eval was given, as 03_eval.py states them; None is found out."""

    output: str | None = None
    target: str | None = None
    delimiter: str | None = None
    formula: str | None = None
    higher: tuple[str, ...] = ()
    lower: tuple[str, ...] = ()


class MetricRow(NamedTuple):
    name: str
    value: float
    higher_is_better: bool
    by_sample: dict[str, list[float]]  # scores by name, one a sample
    by: str  # "server", or "script": whose formula it is


class Request(NamedTuple):
    """One sample as a service gets it: its batch without a target, what was put out, and how long that took.

    The batch is None where nobody looks at the sample.
    """

    batch: Any
    output: Any
    milliseconds: float


def metrics_of(
    comparisons: list[Comparison], monitors: list[dict[str, Any]], settings: Settings
) -> dict[str, dict[str, Any]]:
    """Whose formula each metric is, with its direction; one that nobody knows is left out.

    Raises `EvalError` where nothing says which way one of the script's own is better.
    """
    found: dict[str, dict[str, Any]] = {}
    for one in comparisons:
        if one.formula is not None:
            found[one.metric] = {"kind": "server", "name": one.formula.name, "said": one.said, "standing": one.standing}
        elif one.said:
            found[one.metric] = {"kind": "script", "name": one.said, "higher": higher(one, monitors, settings)}
    return found


def higher(one: Comparison, monitors: list[dict[str, Any]], settings: Settings) -> bool:
    """Which way a metric of the script's own is better: as was set, by its ModelCheckpoint, by its name."""
    names = {one.metric, one.said}
    if names & {*settings.higher, *settings.lower}:
        return bool(names & {*settings.higher})
    for saver in monitors:
        if loader_of(saver.get("monitor") or "")[0] == one.said and saver.get("mode") in ("min", "max"):
            return saver["mode"] == "max"
    falling = lower_is_better(one.metric)
    if falling is None:
        raise EvalError(
            f"nothing says whether more or less of {one.metric} is better: it is the script's own {one.said}, which no "
            f'ModelCheckpoint monitors. Next: say it by write_eval(settings={{"higher": "{one.metric}"}}) or '
            f'"lower", or let a ModelCheckpoint monitor it with its mode (repair_version)'
        )
    return not falling


def measure(
    name: str, family: Family, frozen: Frozen, wanted: list[str], scored: Scored, left_out: frozenset[str] = frozenset()
) -> list[MetricRow]:
    """The loss, then every wanted metric; a value that isn't finite is an error."""
    found = []
    if scored.loss is not None:
        terms = {f"loss_{term}": values for term, values in scored.loss_terms.items()}
        by_sample = {"loss": scored.losses} if scored.losses else terms
        by = "server" if (frozen.loss or {}).get("kind") == "server" else "script"
        found.append(MetricRow("loss", scored.loss, False, by_sample, by))
    for metric in wanted:
        if metric in left_out:
            continue
        found.append(_row(metric, family, frozen, scored))
    if not found:
        raise EvalError(f"{name} gives nothing that any of the metrics could be computed from")
    for row in found:
        _require_finite(row)
    return found


def _row(metric: str, family: Family, frozen: Frozen, scored: Scored) -> MetricRow:
    whose = frozen.metrics.get(metric)
    if whose is None:
        _unknown(metric, family)
    if whose["kind"] == "script":
        if metric not in scored.script:
            raise EvalError(
                f"metric {metric!r} is the script's own {whose['name']}, and validation_step doesn't log it any more. "
                "Next: let it log that again (repair_version)"
            )
        return MetricRow(metric, scored.script[metric], whose["higher"], {}, "script")
    kind = family.metrics[whose["name"]]
    try:
        value = float(kind.compute(scored.predicted, scored.targets))
    except ValueError as error:
        raise EvalError(
            f"{metric} can't be computed: {error}. Next: use another metric in eval_config.metrics"
        ) from None
    return MetricRow(metric, value, kind.higher_is_better, sample_scores(metric, kind, scored), "server")


def _unknown(metric: str, family: Family) -> NoReturn:
    names = ["loss", *family.metrics]
    close = difflib.get_close_matches(metric, names, n=3, cutoff=0.4) or names
    raise EvalError(
        f"metric {metric!r} is neither known for {family.name} nor logged by validation_step. Closest: "
        f"{', '.join(close)}. Next: use one of these in eval_config.metrics, or log it as val_{metric}"
    )


def sample_scores(name: str, kind: Formula, scored: Scored) -> dict[str, list[float]]:
    """What vouches for the metric: each sample's own value, or its terms as `name_errors` and `name_length`."""
    if kind.each is not None:
        values = kind.each(scored.predicted, scored.targets)
        return {name: values.tolist() if hasattr(values, "tolist") else list(values)}
    if kind.terms is None:
        return {}
    return {f"{name}_{term}": values for term, values in kind.terms(scored.predicted, scored.targets).items()}


def _require_finite(row: MetricRow) -> None:
    values = next(iter(row.by_sample.values()), [])
    bad = next((index for index, value in enumerate(values) if not math.isfinite(value)), None)
    if bad is not None or not math.isfinite(row.value):
        place = f" (sample number {bad})" if bad is not None else ""
        raise EvalError(
            f"{row.name} isn't finite: {row.value}{place}. Next: look for a diverged training, or for predictions "
            "or targets that are all the same"
        )


def requests(
    session: Session, scored: Scored, indices: list[int], read: Callable[[Any], Any], shown: Container[int]
) -> dict[int, Request]:
    """These samples asked about one at a time; the batches of those that are `shown` are kept.

    `read` makes a prediction of an output.
    """
    found: dict[int, Request] = {}
    how = scored.how
    for number, (index, (tree, _)) in enumerate(zip(indices, single_batches(session, scored.requests(indices)))):
        batch = blanked(tree, how.hidden)
        repeats = WARM_UP_REQUESTS if number == 0 else 0
        began = time.perf_counter()
        told = session.model(op="timed", batch=batch, reading=how.output, repeats=repeats)
        waited = time.perf_counter() - began
        # The model's own word, as long as we didn't see less: neither its data nor the way between two processes.
        seconds = min(max(0.0, float(told["seconds"])), waited)
        found[index] = Request(batch if index in shown else None, read(told["answer"]), seconds * 1000)
    return found


def latency_ms(found: dict[int, Request]) -> float:
    """Median time of one request, from a sample in memory to the output. The model is loaded and warm."""
    return statistics.median(one.milliseconds for one in list(found.values())[:LATENCY_REQUESTS])
