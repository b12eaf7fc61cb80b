"""Whether a score comes from the weights and from the targets: tried for every version, after all else was asked."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from ..errors import ScriptFault
from ..formulas import Family, Formula
from ..trees import at, bytes_of, changed, count, rows
from .acceptance import MOST_BYTES
from .frozen import Frozen
from .reading import as_list, blanked, joined, same_answer, same_target
from .session import Session
from .versions import put_together
from .walk import Scored

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeArgument=false, reportUnknownLambdaType=false
# pyright: reportPrivateUsage=false
# What the script and torch hand over has no type here.

ENOUGH_SAMPLES, ENOUGH_TEXTS = 256, 16
# A small model may keep its score by luck in one disorder, and hardly in five.
_DISORDERS, _PERMUTATIONS, _TARGETS = 5, 3, 4
# How much of what a score has over chance may be left unsaid, and by how much more than in the first version.
_SAID, _MORE, _ALL = 0.3, 0.25, 0.9


class Asked(NamedTuple):
    """The first samples: how their outputs are got, as they come, and what metrics take of such outputs."""

    size: int
    outputs: Callable[[], list[Any]]
    judged: Callable[[list[Any]], tuple[Any, Any]]  # predictions and targets


def tried(
    session: Session, family: Family, decided: Frozen, scored: Scored, asked: Asked, wanted: list[str], *, first: bool
) -> tuple[Frozen, list[dict[str, Any]]]:
    """What was found, as notes, and the protocol with the first version's share of it.

    Raises `ScriptFault` for a version whose answers are the same to the last bit with its weights in disorder, or whose
    number is the same whatever the targets are. Leaves the model in disorder.
    """
    decided, notes = _whatever_the_targets(session, decided, scored, first=first)
    kind = _formula(family, decided, wanted)
    before = asked.outputs()
    level = _level(kind, *asked.judged(before)) if kind is not None and asked.size > 1 else None
    if level is not None and level.gain <= 1e-9:
        level = None
    # A weak model may answer everything by one text: only a later version is held to it that it can do otherwise.
    numbers_only = all(isinstance(one, torch.Tensor) for one in before)
    same, left = numbers_only or level is not None, level
    for time in range(_DISORDERS):
        if (level is None and not same) or (level and left and left.gain < _SAID * level.gain):
            return decided, notes
        if not session.model(op="disorder", time=time):
            return decided, [*notes, {"key": "no_weights"}]
        try:
            after = asked.outputs()
            found = _level(kind, *asked.judged(after)) if kind is not None and level is not None else None
        except (ScriptFault, ValueError, RuntimeError, IndexError, TypeError):
            return decided, notes  # without its weights it can do nothing
        same = same and all(map(same_answer, before, after))
        left = min(left, found, key=lambda one: one.gain) if left is not None and found is not None else None
    if same and (numbers_only if first else decided.disorder < _ALL):
        raise ScriptFault(
            f"with its weights in disorder it gives the same answers to the first {asked.size} samples, to the last "
            "bit: its score doesn't come from the weights that were trained. Next: let forward answer by them "
            "(repair_version)"
        )
    if kind is None or level is None or left is None or left.gain < _SAID * level.gain:
        return decided, notes
    share = left.gain / level.gain
    if share >= (_ALL if first else max(_SAID, decided.disorder + _MORE)):
        numbers = {"metric": kind.name, "score": level.value, "left": left.value, "chance": level.chance}
        notes.append({"key": "kept_in_disorder", "count": asked.size, **numbers})
    return (decided._replace(disorder=share) if first else decided), notes


class _Level(NamedTuple):
    value: float
    chance: float
    gain: float


def _formula(family: Family, decided: Frozen, wanted: list[str]) -> Formula | None:
    """What the outputs are judged by: the first metric by a formula of ours."""
    ours = [one["name"] for name in wanted if (one := decided.metrics.get(name)) and one["kind"] == "server"]
    return family.metrics[ours[0]] if ours else None


def _level(kind: Formula, predicted: Any, targets: Any) -> _Level:
    """The number, what it is for targets in another order, and by how much it is better than that."""
    value, others = float(kind.compute(predicted, targets)), []
    for number in range(_PERMUTATIONS):
        others.append(float(kind.compute(predicted, _taken(targets, _shuffled(targets, number)))))
    chance = sum(others) / len(others)
    gain = value - chance if kind.higher_is_better else chance - value
    return _Level(value, chance, gain if gain == gain else 0.0)


def _shuffled(targets: Any, number: int) -> list[int]:
    """Another order, in which a tensor has the place of one of its own shape."""
    alike: dict[Any, list[int]] = {}
    for index, one in enumerate(targets):
        alike.setdefault(tuple(one.shape) if isinstance(one, torch.Tensor) else None, []).append(index)
    order = list(range(len(targets)))
    for places in alike.values():
        moved = list(places)
        random.Random(number).shuffle(moved)
        for place, other in zip(places, moved):
            order[place] = other
    return order


def _taken(values: Any, order: list[int]) -> Any:
    return values[torch.tensor(order)] if isinstance(values, torch.Tensor) else [values[index] for index in order]


def _whatever_the_targets(
    session: Session, decided: Frozen, scored: Scored, *, first: bool
) -> tuple[Frozen, list[dict[str, Any]]]:
    """Looks whether the script's own numbers heed the targets: all samples of a batch get one sample's, in turn."""
    whose = {name: one for name, one in decided.metrics.items() if one["kind"] == "script"}
    batches = _of_one_target(session, scored) if whose else []
    if len(batches) < 2:
        return decided, []
    values = [_judged(session, tree) for tree in batches]
    said = {name: [found[one["name"]] for found in values if one["name"] in found] for name, one in whose.items()}
    deaf = [name for name, numbers in said.items() if len(numbers) > 1 and len(set(numbers)) == 1]
    refused = [name for name in deaf if whose[name].get("heeds", False)]
    if refused and not first:
        raise ScriptFault(
            f"{', '.join(refused)} is the same whatever the targets are, and wasn't in the first version: the number "
            "doesn't come from comparing. Next: let the model return plain tensors that validation_step compares with "
            "the targets (repair_version)"
        )
    if first:
        heeding = {name: {**one, "heeds": name not in deaf} for name, one in whose.items()}
        decided = decided._replace(metrics={**decided.metrics, **heeding})
    return decided, [{"key": "heeds_no_targets", "metric": name} for name in deaf]


def _of_one_target(session: Session, scored: Scored) -> list[Any]:
    """The first batch, once for each of some distinct targets, which all its samples get."""
    walk: Any = session.batches()
    tree = next(walk, (None, 0.0))[0]
    walk.close()
    size = count(tree) or 0
    leaf = at(tree, scored.how.target)
    if rows(leaf) != size:
        return []
    values, chosen = as_list(leaf), list[int]()
    for row, value in enumerate(values):
        if len(chosen) < _TARGETS and not any(same_target(value, values[other]) for other in chosen):
            chosen.append(row)
    paths = {path for path in (*scored.how.hidden, scored.how.target) if rows(at(tree, path)) == size}
    if paths & set(scored.how.inputs):
        return []
    return [changed(tree, paths, lambda one, row=row: _repeated(one, row, size)) for row in chosen]


def _repeated(leaf: Any, row: int, size: int) -> Any:
    if hasattr(leaf, "items"):
        return leaf._replace(items=tuple((key, leaf.items[row][1]) for key, _ in leaf.items))
    return leaf[[row] * size]


def _judged(session: Session, tree: Any) -> dict[str, float]:
    session.model(op="begin")
    step = session.model(op="judge", batch=tree, index=0)
    return {**step["logged"], **session.model(op="end")}


def of_outputs(session: Session, family: Family, decided: Frozen, scored: Scored) -> Asked:
    """Whole batches, up to some hundred samples."""
    trees, size, most = [], 0, 0
    walk: Any = session.batches()
    for tree, _ in walk:
        trees.append(blanked(tree, scored.how.hidden))
        size, most = size + (count(tree) or 0), most + bytes_of(tree)
        if size >= ENOUGH_SAMPLES or most >= MOST_BYTES:
            break
    walk.close()
    targets = put_together(decided.targets[:size])
    loss = decided.server_loss

    def outputs() -> list[Any]:
        return [session.model(op="answer", batch=tree, reading=scored.how.output) for tree in trees]

    def judged(found: list[Any]) -> tuple[Any, Any]:
        shaped, right = family.shaped(joined(found), targets)
        return family.predicted(shaped, loss), right

    return Asked(size, outputs, judged)
