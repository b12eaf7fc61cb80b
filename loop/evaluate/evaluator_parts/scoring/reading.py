"""Which output of a version is scored, against which target: what `validation_step` itself judges.

At acceptance each reading is tried on some batches until the script's own numbers come out; later versions are read in
the same way.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from operator import mul
from typing import Any, NamedTuple

import numpy
import torch

from ..formulas import Family, Formula, formula, words_of
from ..trees import Box, blank, changed, is_texts, leaves, rows

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeArgument=false, reportUnknownLambdaType=false
# pyright: reportPrivateUsage=false
# What the script and torch hand over has no type here.

# What two ways to add up single-precision numbers may differ by.
_RELATIVE, _ABSOLUTE = 2e-4, 1e-6
# What a formula raises for outputs or targets that aren't its own.
WRONG = (ValueError, RuntimeError, IndexError, TypeError)


class Reading(NamedTuple):
    """An output by its key, and what in validation_step took it; `first` is what it gave for the first batch."""

    output: str
    via: str
    first: Any  # a tensor, or a list of dicts
    paths: tuple[Any, ...]  # leaves that it met there


class Own(NamedTuple):
    """What validation_step says of some batches: of each, and of all together."""

    steps: list[dict[str, Any]]
    epoch: dict[str, float]
    sizes: list[int]

    def mean(self, name: str) -> float | None:
        """The mean of what it logged for each batch, by their sizes, unless it said it of all together."""
        if name in self.epoch and not any(name in step["logged"] for step in self.steps):
            return self.epoch[name]
        pairs = [(step["logged"][name], size) for step, size in zip(self.steps, self.sizes) if name in step["logged"]]
        if not pairs:
            return self.epoch.get(name)
        return sum(value * size for value, size in pairs) / sum(size for _, size in pairs)

    def values(self, name: str) -> list[float]:
        """What was said for this name: the mean over batches, and at the epoch's end."""
        found = [self.mean(name), self.epoch.get(name)]
        return [value for value in found if value is not None]

    @property
    def loss_name(self) -> str:
        return next((step["loss"]["name"] for step in self.steps if step["loss"]), "")

    @property
    def losses(self) -> list[float] | None:
        found = [step["loss"]["value"] for step in self.steps if step["loss"]]
        return found if len(found) == len(self.steps) else None

    @property
    def names(self) -> list[str]:
        return list(dict.fromkeys([name for step in self.steps for name in step["names"]] + list(self.epoch)))


class Comparison(NamedTuple):
    """One metric beside the script's own word: `same`, `batches` (a mean of its batches' values), `other`, `unsaid`."""

    metric: str
    formula: Formula | None
    standing: str
    ours: float | None
    said: str
    own: float | None


def readings(found: dict[str, Any], count: int) -> list[Reading]:
    """The outputs that may be meant, in the order of trust: what met a target first, then what modules gave."""
    outputs = {key: one for call in found["calls"] for key, one in call["outputs"].items() if _speaks(one, count)}
    made: dict[str, Reading] = {}
    for met in found["meetings"]:
        if not _speaks(met["output"], count) or not _is_scores(met["output"]):
            continue
        paths = tuple(tuple(path) for path in met["paths"])
        same = [key for key, one in outputs.items() if _equal(one, met["output"])]
        key = same[-1] if same else met["key"]
        made.setdefault(
            key, Reading(key, met["key"].partition(":")[2], met["output"] if not same else outputs[key], paths)
        )
    for key, one in reversed(list(outputs.items())):
        if _is_scores(one):
            made.setdefault(key, Reading(key, "", one, ()))
    return list(made.values())


def entering(found: dict[str, Any]) -> list[Any]:
    """The leaves that a module is given."""
    return list(dict.fromkeys(tuple(path) for call in found["calls"] for path in call["entering"]))


def target_paths(tree: Any, count: int, found: dict[str, Any], reading: Reading) -> Iterator[Any]:
    """The leaves that may be the target, in the order of trust: met by this reading, by any, then the last ones."""
    inputs = entering(found)
    candidates = [path for path, leaf in leaves(tree) if rows(leaf) == count and not is_texts(leaf)]
    met = [tuple(path) for one in found["meetings"] for path in one["paths"]]
    free = [path for path in candidates if path not in inputs]
    named = [path for path in free if path and str(path[-1]) in ("y", "label", "labels", "target", "targets")]
    order = [*reading.paths, *(path for path in met if path in free), *named, *reversed(free), *reversed(candidates)]
    yield from (path for path in dict.fromkeys(order) if path in candidates)


def groups(tree: Any, count: int, target: Any) -> list[Any]:
    """The leaves that may say which samples belong together: whole numbers that repeat, those named so first."""
    found = []
    for path, leaf in leaves(tree):
        whole = isinstance(leaf, torch.Tensor) and leaf.dim() == 1 and not leaf.is_floating_point()
        if whole and path != target and len(leaf) == count > len(leaf.unique()):
            named = re.search(r"quer|qid|group|index|session|user", str(path[-1]) if path else "", re.IGNORECASE)
            found.append((not named, path))
    return [path for _, path in sorted(found, key=lambda one: one[0])]


def matches(reading: str, wanted: str | None) -> bool:
    """Whether a setting such as "forward[1]", "step" or "net.logits" means this reading."""
    if not wanted:
        return True
    if wanted == "step":
        return reading.startswith("met:")
    head, _, rest = reading.partition("#")
    place = rest.lstrip("0123456789")
    return wanted in (reading, head + place, reading.partition(":")[2])


def blanked(tree: Any, paths: Any) -> Any:
    return changed(tree, set(map(tuple, paths)), blank)


def secret(tree: Any, count: int, inputs: Any, target: Any, met: Any, *, direct: bool) -> list[Any]:
    """The leaves that the model isn't told: the target; and where a module takes its inputs alone, all the rest."""
    if direct:
        return [path for path, leaf in leaves(tree) if path not in inputs and (rows(leaf) == count)]
    hidden = {tuple(path) for path in met if tuple(path) not in inputs}
    return [*hidden, *([target] if target not in inputs and target not in hidden else [])]


def hidden_from(tree: Any, count: int, found: dict[str, Any], reading: Reading, target: Any) -> list[Any]:
    """The leaves that are blanked before the model is asked by this reading."""
    inputs, met = entering(found), [path for one in found["meetings"] for path in one["paths"]]
    direct = any(reading.output in call["outputs"] and call["direct"] for call in found["calls"])
    return secret(tree, count, inputs, target, met, direct=direct)


def as_list(leaf: Any) -> list[Any]:
    """One entry a row."""
    if isinstance(leaf, Box):
        return [dict(child.items) if isinstance(child, Box) else child for _, child in leaf.items]
    return list(leaf)


def same_target(one: Any, other: Any) -> bool:
    """Whether two targets say the same, whatever type of number they are."""
    if isinstance(one, str) or isinstance(other, str):
        return one == other
    if isinstance(one, dict) or isinstance(other, dict):
        alike = isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys()
        return alike and all(same_target(one[key], other[key]) for key in one)
    first, second = _numbers(one), _numbers(other)
    return first.size == second.size and bool(numpy.allclose(first, second, rtol=1e-6, atol=1e-9, equal_nan=True))


def _numbers(value: Any) -> numpy.ndarray:
    array = value.float().numpy() if isinstance(value, torch.Tensor) and value.dtype == torch.bfloat16 else value
    return numpy.asarray(array, dtype="float64").reshape(-1)


def close(one: float, other: float, relative: float = _RELATIVE) -> bool:
    return math.isclose(one, other, rel_tol=relative, abs_tol=_ABSOLUTE) or (math.isnan(one) and math.isnan(other))


class Judged(NamedTuple):
    """Predictions and targets in a family's form, shaped once for every formula: of each batch, and of all together."""

    batches: list[tuple[Any, Any]]
    sizes: list[int]
    whole: tuple[Any, Any]

    @classmethod
    def of(cls, outputs: list[Any], targets: list[Any], family: Family, loss: str | None) -> Judged | None:
        """None where they aren't of this family."""
        try:
            shaped = [family.shaped(output, target) for output, target in zip(outputs, targets)]
            output, target = family.shaped(joined(outputs), joined(targets))
            batches = [(family.predicted(one, loss), right) for one, right in shaped]
            return cls(batches, [len(right) for _, right in shaped], (family.predicted(output, loss), target))
        except WRONG:
            return None

    def values(self, kind: Formula) -> list[float]:
        """The formula's value of each batch; none where one of them has none."""
        try:
            return [float(kind.compute(*one)) for one in self.batches]
        except WRONG:
            return []

    def mean(self, kind: Formula) -> float | None:
        """The mean of the batches' values by their sizes."""
        values = self.values(kind)
        return sum(map(mul, values, self.sizes)) / max(1, sum(self.sizes)) if values else None


def compared(name: str, tried: list[Formula], judged: Judged | None, family: Family, own: Own) -> Comparison:
    """The first formula of `tried` that gives what the script logs as `name`, over the same batches."""
    said = own_name(family, name, own.names)
    values = own.values(said) if said is not None else []
    best: Comparison | None = None
    for one in tried:
        if judged is None:
            break
        try:
            ours = float(one.compute(*judged.whole))
        except WRONG:
            continue
        if not values:
            return Comparison(name, one, "unsaid", ours, "", None)
        if any(close(ours, value) for value in values):
            return Comparison(name, one, "same", ours, said or "", values[0])
        means = judged.mean(one)
        standing = "batches" if means is not None and any(close(means, value) for value in values) else "other"
        if best is None or (standing == "batches" and best.standing == "other"):
            best = Comparison(name, one, standing, ours, said or "", values[0])
    if best is not None:
        return best
    return Comparison(name, None, "script" if values else "unsaid", None, said or "", values[0] if values else None)


class KnownLoss(NamedTuple):
    """A loss of ours by its name, and what it is multiplied by: targets in other units make it another number."""

    name: str
    scale: float = 1.0


def loss_formula(outputs: list[Any], targets: list[Any], family: Family, own: Own) -> KnownLoss | None:
    """The standard loss whose mean is the model's own in every batch, if there is one; or over all of them."""
    if own.losses is None:
        said = own_name(family, "loss", own.names)
        values = own.values(said) if said else []
        whole = joined(outputs), joined(targets)
        known = (name for name, kind in family.losses.items() if values and _gives(kind, whole, family, values))
        return next(map(KnownLoss, known), None)
    try:
        shaped = [family.shaped(output, target) for output, target in zip(outputs, targets)]
    except WRONG:
        return None
    scaled: KnownLoss | None = None
    for name, kind in family.losses.items():
        try:
            parts = [float(kind.compute(output, target)) for output, target in shaped]
        except WRONG:
            continue
        if all(math.isclose(part, mean, rel_tol=1e-4, abs_tol=1e-7) for part, mean in zip(parts, own.losses)):
            return KnownLoss(name)
        scale = _scale(parts, own.losses) if scaled is None and kind.each is not None else None
        scaled = KnownLoss(name, scale) if scale else scaled
    return scaled


def _scale(parts: list[float], own: list[float]) -> float | None:
    """What all batches' losses are multiplied by, where they are enough and unlike enough to show that."""
    if len(parts) < 3 or min(parts) <= 0 or max(parts) < 1.02 * min(parts):
        return None
    ratios = [mean / part for part, mean in zip(parts, own)]
    return ratios[0] if ratios[0] > 0 and all(math.isclose(one, ratios[0], rel_tol=1e-5) for one in ratios) else None


def _gives(kind: Formula, whole: tuple[Any, Any], family: Family, values: list[float]) -> bool:
    try:
        found = float(kind.compute(*family.shaped(*whole)))
    except WRONG:
        return False
    return any(math.isclose(found, value, rel_tol=1e-4, abs_tol=1e-7) for value in values)


def own_name(family: Family, metric: str, names: list[str]) -> str | None:
    """The logged name that means this metric: `val_acc` for accuracy."""
    wanted, meant = words_of(metric), formula(family, metric)
    exact = [name for name in names if words_of(name) == wanted]
    if exact or metric == "loss":
        return next(iter(exact), None)
    return next((name for name in names if meant is not None and formula(family, name) is meant), None)


def same_answer(one: Any, other: Any) -> bool:
    """Whether two answers are the same to the last bit."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return torch.equal(one, other)
    if type(one) is not type(other) or isinstance(one, torch.Tensor):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same_answer(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same_answer, one, other))
    return bool(one == other)


def joined(values: list[Any]) -> Any:
    """Batches put together: one tensor where they fit, else a list of rows."""
    if all(isinstance(one, torch.Tensor) for one in values) and len({tuple(one.shape[1:]) for one in values}) == 1:
        return torch.cat([one.reshape(1) if not one.dim() else one for one in values])
    return [row for one in values for row in as_list(one)]


def _speaks(value: Any, count: int) -> bool:
    """Whether an output can be one of so many samples."""
    if not isinstance(value, torch.Tensor):
        return isinstance(value, list) and len(value) == count
    return bool(value.numel()) and ((value.dim() > 0 and len(value) == count) or (count == 1 and value.dim() > 0))


def _is_scores(value: Any) -> bool:
    return isinstance(value, list) or value.is_floating_point()


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, list) or isinstance(other, list):
        return same_answer(one, other)
    if one.numel() != other.numel():
        return False
    return torch.allclose(one.double().reshape(-1), other.double().reshape(-1), rtol=1e-5, atol=1e-7, equal_nan=True)
