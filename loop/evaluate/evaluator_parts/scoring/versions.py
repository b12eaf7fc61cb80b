"""Scores one version: the first one decides how, and later ones are held against what is frozen."""

from __future__ import annotations

import math
import os
import statistics
from functools import partial
from typing import Any

import torch

from ..errors import EvalError, ScriptFault
from ..formulas import Family
from ..tasks import ALSO
from ..trees import at, changed, count, leaves, rows, spelled, value_at
from .acceptance import Decided, accept, loss_of
from .frozen import Frozen
from .measure import Settings, metrics_of
from .reading import (
    WRONG,
    Comparison,
    Judged,
    Reading,
    as_list,
    blanked,
    close,
    entering,
    hidden_from,
    joined,
    readings,
    same_target,
)
from .session import Session
from .walk import (
    Collected,
    How,
    Loss,
    Scored,
    Seen,
    by_the_script,
    collect,
    loss_by,
    one_at_a_time,
    put_together_again,
    queries,
    seen,
)

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeArgument=false, reportUnknownLambdaType=false
# pyright: reportPrivateUsage=false
# What the script and torch hand over has no type here.


def first_score(
    session: Session, family: Family, wanted: list[str], settings: Settings
) -> tuple[Frozen, Scored, list[dict[str, Any]]]:
    """Decides how all versions are scored, and scores this one so. The last are notes, as codes with values."""
    stated, decided = family, accept(session, family, wanted, settings)
    family, loss = decided.family, loss_of(decided)
    how = How(
        decided.reading.output,
        tuple(decided.hidden),
        tuple(decided.inputs),
        decided.target,
        decided.group,
    )
    collected = collect(session, how, partial(seen, family, decided.loss.name if decided.loss else None))
    ids = session.ids(len(collected.targets)) if how.group is None else queries(collected.targets).ids
    metrics = metrics_of(decided.comparisons, session.monitors, settings)
    frozen = Frozen(
        family=family.name,
        output=how.output,
        via=decided.reading.via,
        target=tuple(decided.target),
        loss=loss,
        metrics=metrics,
        delimiter=None,
        targets=collected.targets,
        inputs=collected.inputs,
        random_inputs=decided.apart is not None,
        ids=ids,
        formula="",
        apart=_of_so_many(decided, len(ids)),
        group=decided.group,
    )
    scored = _scored(session, family, frozen, how, collected, ids)
    if scored.script or (frozen.loss or {}).get("kind") == "script":
        frozen = frozen._replace(formula=session.model(op="formula")["digest"])
    notes = [*comparison_notes(decided.comparisons), *_opaque(collected), *_drawn(frozen)]
    if family is not stated and family.name not in ALSO.get(stated.name, ()):
        notes.append({"key": "other_family", "family": family.name, "stated": stated.name})
    return frozen, scored, notes


def later_score(session: Session, family: Family, frozen: Frozen) -> tuple[Scored, list[dict[str, Any]]]:
    """Scores a version as the first one was. Raises `EvalError` where it answers for other samples."""
    tree = _first_batch(session)
    size = count(tree) or 0
    target = _target_leaf(tree, size, frozen)
    session.model(op="load")
    how = _how(session, family, frozen, tree, size, target)
    collected = collect(session, how, partial(seen, family, frozen.server_loss))
    _require_same_targets(collected, frozen)
    notes = [*_opaque(collected), *_drawn(frozen)]
    changed = sum(one != other for one, other in zip(collected.inputs, frozen.inputs))
    if changed and not frozen.random_inputs:
        notes.append({"key": "other_inputs", "differing": changed, "count": len(frozen.inputs)})
    if how.output != frozen.output:
        notes.append({"key": "other_reading", "output": how.output, "before": frozen.output})
    # By the first version's ids: samples are the same ones by their targets and order, whatever they are called now.
    scored = _scored(session, family, frozen, how, collected, frozen.ids)
    require_formula(session, frozen)
    return scored, notes


def read_again(session: Session, family: Family, frozen: Frozen, scored: Scored) -> Scored:
    """The same set with the weights as they are now."""
    collected = collect(session, scored.how, partial(seen, family, frozen.server_loss))
    return _scored(session, family, frozen, scored.how, collected, scored.ids)


def depends_on_batch(scored: Scored, found: dict[int, Any]) -> list[dict[str, Any]]:
    """A note where a sample alone gets another prediction than among others: the score holds for batches only."""
    if not isinstance(scored.predicted, torch.Tensor) or not scored.predicted.is_floating_point():
        return []
    other = [
        index
        for index, one in found.items()
        if isinstance(one.output, torch.Tensor)
        and one.output.shape == scored.predicted[index].shape
        and not torch.allclose(one.output, scored.predicted[index], rtol=1e-2, atol=1e-3)
    ]
    return [{"key": "depends_on_batch", "differing": len(other), "count": len(found)}] if other else []


def read_one(family: Family, found: Any, scored: Scored, loss: str | None) -> Any:
    """The prediction that one request's output means; of a query all its candidates' scores."""
    if scored.members:
        return found.flatten().float()
    target = scored.targets[:1]
    output, _ = family.shaped(found, target)
    return family.predicted(output, loss)[0]


def _first_batch(session: Session) -> Any:
    walk = session.batches()
    tree = next(walk, (None, 0.0))[0]
    walk.close()
    if tree is None:
        raise EvalError("the validation loader gave 0 samples, expected at least one. Next: check its collate_fn")
    return tree


def require_formula(session: Session, frozen: Frozen) -> None:
    """Raises `EvalError` where a number by the script's own formula is computed by other code than the first one's."""
    if not frozen.formula:
        return
    found = session.model(op="formula")
    if found["digest"] != frozen.formula:
        raise ScriptFault(
            "a number is by the script's own formula, and this version computes it by other code than the first one "
            f"({', '.join(found['functions'][:6])}). Next: leave validation_step and what it "
            "calls as they were (repair_version); only the user may change the evaluation protocol"
        )


def _target_leaf(tree: Any, size: int, frozen: Frozen) -> Any:
    """The leaf that holds the first version's targets; its old place where none does."""
    wanted = frozen.targets[:size]
    for path, leaf in leaves(tree):
        if rows(leaf) == size and all(map(same_target, as_list(leaf), wanted)):
            return frozen.target if _holds(tree, frozen.target, size, wanted) else path
    try:
        at(tree, frozen.target)
    except LookupError:
        raise ScriptFault(
            f"a validation batch has no {spelled(frozen.target)} any more, which held the targets of the first "
            "version. Next: keep the validation set's targets as they were (repair_version)"
        ) from None
    return frozen.target


def _holds(tree: Any, path: Any, size: int, wanted: list[Any]) -> bool:
    try:
        leaf = at(tree, path)
    except LookupError:
        return False
    return rows(leaf) == size and all(map(same_target, as_list(leaf), wanted))


def _how(session: Session, family: Family, frozen: Frozen, tree: Any, size: int, target: Any) -> How:
    """The reading of this version that is the first one's: what meets the target in the same call, or has its name."""
    found = session.model(op="discover", batch=blanked(tree, [target]), tell=False)
    fitting = [one for one in readings(found, size) if _fits(family, one, tree, target, frozen.group)]
    if not fitting:
        raise ScriptFault(
            f"no output of this version's validation_step is one of a {family.name} for the first version's targets. "
            "Next: let it judge its outputs as the first version did (repair_version)"
        )
    likely = sorted(fitting, key=lambda one: (not one.via or one.via != frozen.via, one.output != frozen.output))
    reading = _proven(session, family, frozen, tree, target, found, likely) or likely[0]
    hidden = hidden_from(tree, size, found, reading, target)
    return How(reading.output, tuple(hidden), tuple(entering(found)), target, frozen.group)


def _proven(
    session: Session, family: Family, frozen: Frozen, tree: Any, target: Any, found: Any, likely: list[Reading]
) -> Reading | None:
    """The reading from which the numbers come out that the version logs; None where none or nothing tells.

    It is asked with its targets in another order, which nobody else knows: its process learns nothing of the right one.
    """
    wanted, leaf = [one for one in frozen.metrics.values() if one["kind"] == "server" and one["said"]], at(tree, target)
    if len(likely) < 2 or not wanted or not isinstance(leaf, torch.Tensor) or frozen.group is not None:
        return None
    order = torch.randperm(len(leaf), generator=torch.Generator().manual_seed(int.from_bytes(os.urandom(6), "big")))
    mixed = changed(tree, {target}, lambda one: one[order])
    session.model(op="begin")
    step, _ = session.tried(op="judge", batch=mixed, index=0)
    if step is None:
        return None
    logged, own = {**step["logged"], **session.model(op="end")}, (step["loss"] or {}).get("value")
    best: tuple[bool, Reading] | None = None
    for one in likely:
        hidden = hidden_from(tree, len(leaf), found, one, target)
        output = session.model(op="answer", batch=blanked(tree, hidden), reading=one.output)
        try:
            shaped, right = family.shaped(output, leaf[order])
            predicted = family.predicted(shaped, frozen.server_loss)
            values = [float(family.metrics[metric["name"]].compute(predicted, right)) for metric in wanted]
            loss = _server_loss(family, frozen.server_loss, shaped, right).times(frozen.scale).value
        except WRONG:
            continue
        if all(close(value, logged.get(metric["said"], math.nan)) for value, metric in zip(values, wanted)):
            same = loss is not None and own is not None and close(loss, own)
            best = best if best is not None and best[0] >= same else (same, one)
    return best[1] if best is not None else None


def _fits(family: Family, reading: Reading, tree: Any, target: Any, group: Any) -> bool:
    try:
        family.shaped(reading.first, value_at(tree, target, group))
    except (ValueError, RuntimeError, IndexError, TypeError):
        return False
    return True


def _require_same_targets(collected: Collected, frozen: Frozen) -> None:
    count_, first = len(collected.targets), len(frozen.targets)
    if count_ != first:
        raise ScriptFault(
            f"this version answers for {count_} validation samples, the first one for {first}: such scores don't "
            "compare. Next: keep the validation set as it was (repair_version)"
        )
    other = [n for n, pair in enumerate(zip(collected.targets, frozen.targets)) if not same_target(*pair)]
    if other:
        raise ScriptFault(
            f"{len(other)} of {first} validation samples have other targets than in the first version (the first is "
            f"number {other[0]}): such scores don't compare. Next: keep the validation set, its order and its targets "
            "as they were (repair_version)"
        )


def _scored(session: Session, family: Family, frozen: Frozen, how: How, collected: Collected, ids: list[str]) -> Scored:
    loss_name = frozen.server_loss
    if all(isinstance(one, Seen) for one in collected.outputs):
        predicted, targets, found = put_together_again(collected.outputs)
    else:
        outputs, targets = family.shaped(joined(collected.outputs), put_together(frozen.targets))
        found = _server_loss(family, loss_name, outputs, targets)
        predicted = family.predicted(outputs, loss_name)
    found = found.times(frozen.scale)
    loss, losses = found.value, found.each
    members = queries(frozen.targets).members if frozen.group is not None else []
    script: dict[str, float] = {}
    own = [name for name, one in frozen.metrics.items() if one["kind"] == "script"]
    if own or (loss is None and frozen.loss is not None):
        values = by_the_script(session)
        script = {name: values[frozen.metrics[name]["name"]] for name in own if frozen.metrics[name]["name"] in values}
        if loss is None and frozen.loss is not None:
            losses = one_at_a_time(session, members or [[row] for row in range(len(targets))])
            loss = values.get(frozen.loss["name"] or "loss")
            loss = loss if loss is not None else statistics.fmean(losses) if losses else None
    means = _means(family, collected, frozen, loss_name)
    return Scored(targets, predicted, loss, losses, script, ids, how, means, found.terms, members)


def _means(family: Family, collected: Collected, frozen: Frozen, loss: str | None) -> dict[str, list[float]]:
    """What each metric would be as a mean of its batches' values: by their sizes, and of all alike."""
    judged = _judged(family, collected, frozen, loss)
    found: dict[str, list[float]] = {}
    for name, one in frozen.metrics.items():
        kind = family.metrics[one["name"]] if one["kind"] == "server" else None
        values = judged.values(kind) if judged is not None and kind is not None else []
        means = [judged.mean(kind), statistics.fmean(values)] if judged is not None and kind and values else []
        found[name] = [value for value in means if value is not None and math.isfinite(value)]
    return found


def _judged(family: Family, collected: Collected, frozen: Frozen, loss: str | None) -> Judged | None:
    if all(isinstance(one, Seen) for one in collected.outputs):
        batches = [(one.predicted, one.targets) for one in collected.outputs]
        return Judged(batches, [len(predicted) for predicted, _ in batches], ([], []))
    targets, first = [], 0
    for output in collected.outputs:
        size = 1 if isinstance(output, torch.Tensor) and not output.dim() else len(as_list(output))
        targets.append(put_together(frozen.targets[first : first + size]))
        first += size
    return Judged.of(collected.outputs, targets, family, loss)


def put_together(targets: list[Any]) -> Any:
    if all(isinstance(one, torch.Tensor) for one in targets) and len({tuple(one.shape) for one in targets}) == 1:
        return torch.stack(targets)
    return targets


def _server_loss(family: Family, name: str | None, outputs: Any, targets: Any) -> Loss:
    if name is None:
        return Loss(None, None, {})
    try:
        return loss_by(family.losses[name], outputs, targets)
    except ValueError:
        # A head of another make, such as probabilities for logits: the same loss, from what metrics take.
        other = family.losses.get("nll of probabilities")
        return loss_by(other, family.predicted(outputs), targets) if other else Loss(None, None, {})


def comparison_notes(comparisons: list[Comparison]) -> list[dict[str, Any]]:
    """What was compared with the script's own word, for whoever reads the score."""
    found = []
    for one in comparisons:
        key = {"same": "same_as_script", "batches": "mean_of_batches", "unsaid": "script_says_nothing"}.get(
            one.standing
        )
        if one.standing == "script":
            key = "script_formula"
        found.append(
            {
                "key": key or "other_than_script",
                "metric": one.metric,
                "ours": one.ours,
                "own": one.own,
                "name": one.said,
            }
        )
    return found


def _of_so_many(decided: Decided, samples: int) -> dict[str, float]:
    """For the whole set, by its first samples: the more there are, the less a draw matters."""
    tried = sum(decided.own.sizes)
    return {metric: width * math.sqrt(min(1, tried / samples)) for metric, width in (decided.apart or {}).items()}


def _drawn(frozen: Frozen) -> list[dict[str, Any]]:
    """How uncertain each number is where validation draws random numbers, which are the same ones for every version."""
    if not frozen.random_inputs:
        return []
    each = [{"key": "random_range", "metric": name, "apart": width} for name, width in frozen.apart.items()]
    return [{"key": "random_inputs"}, *each]


def _opaque(collected: Collected) -> list[dict[str, Any]]:
    return [{"key": "opaque_batch", "name": collected.opaque}] if collected.opaque else []
