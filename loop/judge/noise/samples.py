"""The per-sample scores of a version, read from samples.jsonl and matched by sample id with another version's."""

from __future__ import annotations

import json
import math
import os
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, BinaryIO, NoReturn, cast

from ...errors import ProjectError
from ...store.tree import Tree

if TYPE_CHECKING:
    from .scipy_calls import FloatArray, IntArray

MAX_SAMPLES = 2_000_000
MAX_LINE_BYTES = 16 << 20
MAX_NUMBERS = 20_000_000  # of one field, over all samples: 160 MB
_MAX_LABEL = 200  # characters: anything longer is a text, and no class


@dataclass(frozen=True, eq=False)
class Column:
    """One field of every sample, read in the ways that fit every one of its values.

    As classes: `labels[codes[i]]`, codes (n,). As numbers: (n,), or (n, k) for lists. None where it can't be read so.
    """

    codes: IntArray | None = None
    labels: tuple[int | str, ...] = ()
    numbers: FloatArray | None = None


@dataclass(frozen=True, eq=False)
class SampleScores:
    """A version's samples in one order; `scores` has only what every sample has, each an array (n,)."""

    ids: tuple[str, ...]
    scores: Mapping[str, FloatArray]
    prediction: Column = field(default_factory=Column)
    target: Column = field(default_factory=Column)
    probabilities: FloatArray | None = None  # (n, classes)
    groups: IntArray | None = None  # (n,), the number of each sample's group
    group_names: tuple[str, ...] = ()  # by that number


def load_samples(tree: Tree, relative: str) -> SampleScores:
    """Reads samples.jsonl line by line. Raises `ProjectError` where it is missing, damaged or beyond the limits.

    A sample without "group" is a group of its own. A prediction that is neither class nor numbers is left out.
    """
    try:
        with tree.opened(relative) as handle, os.fdopen(os.dup(handle), "rb") as file:
            return _read(file, relative)
    except FileNotFoundError as error:
        hint = "evaluate the version again: its per-sample scores are lost"
        raise ProjectError("is missing", where=relative, hint=hint) from error


def matched(new: SampleScores, old: SampleScores) -> SampleScores | None:
    """`old` in the order of `new`'s ids, or None unless both hold exactly the same ids."""
    if new.ids == old.ids:
        return old
    place = {name: index for index, name in enumerate(old.ids)}
    if len(place) != len(new.ids) or any(name not in place for name in new.ids):
        return None
    return _taken(old, [place[name] for name in new.ids], new.ids)


def differs(one: Column, other: Column) -> bool:
    """Whether two columns in one order say different things of some sample, as far as either reading shows it."""
    import numpy as np

    if one.codes is not None and other.codes is not None:
        names = [np.asarray([str(label) for label in each.labels] or [""]) for each in (one, other)]
        return bool((names[0][one.codes] != names[1][other.codes]).any())
    if one.numbers is not None and other.numbers is not None:
        return not np.array_equal(one.numbers, other.numbers)
    return False


def _taken(samples: SampleScores, order: list[int], ids: tuple[str, ...]) -> SampleScores:
    import numpy as np

    index = np.asarray(order, dtype=np.int64)

    def column(found: Column) -> Column:
        codes = None if found.codes is None else found.codes[index]
        return Column(codes, found.labels, None if found.numbers is None else found.numbers[index])

    return replace(
        samples,
        ids=ids,
        scores={name: values[index] for name, values in samples.scores.items()},
        prediction=column(samples.prediction),
        target=column(samples.target),
        probabilities=None if samples.probabilities is None else samples.probabilities[index],
        groups=None if samples.groups is None else samples.groups[index],
    )


def _read(file: BinaryIO, where: str) -> SampleScores:
    ids: dict[str, None] = {}
    scores: dict[str, array[float]] = {}
    prediction, target, probabilities = _Field(), _Field(), _Field()
    groups = _Groups()
    while line := file.readline(MAX_LINE_BYTES + 1):
        place = f"{where}:{len(ids) + 1}"
        if len(line) > MAX_LINE_BYTES or len(ids) == MAX_SAMPLES:
            _refuse(place, f"is beyond {MAX_LINE_BYTES >> 20} MiB a line or {MAX_SAMPLES} samples")
        sample = _sample(line, place)
        name, values = sample.get("id"), sample.get("scores")
        if not isinstance(name, str) or name in ids or not isinstance(values, dict):
            _refuse(place, 'has no "id" of its own, or no "scores"')
        _add_scores(scores, cast(dict[str, object], values), len(ids), place)
        ids[name] = None
        prediction.add(sample.get("prediction"))
        target.add(sample.get("target"))
        probabilities.add(sample.get("probabilities"))
        groups.add(sample.get("group"))
    return _assembled(tuple(ids), scores, prediction, target, probabilities, groups)


def _sample(line: bytes, place: str) -> Mapping[str, object]:
    try:
        content: object = json.loads(line)
    except (ValueError, RecursionError) as error:
        _refuse(place, f"is not valid JSON ({error})")
    if not isinstance(content, dict):
        _refuse(place, "is not an object")
    return cast(Mapping[str, object], content)


def _add_scores(scores: dict[str, array[float]], values: Mapping[str, object], before: int, place: str) -> None:
    for name, value in values.items():
        if not isinstance(value, bool | int | float) or not _is_finite(value):
            _refuse(place, f"the score {name!r} is not a finite number")
        held = scores.setdefault(name, array("d"))
        if len(held) == before:  # a score that a sample before lacked stays short, and is dropped at the end
            held.append(float(value))


def _assembled(
    ids: tuple[str, ...],
    scores: dict[str, array[float]],
    prediction: _Field,
    target: _Field,
    probabilities: _Field,
    groups: _Groups,
) -> SampleScores:
    import numpy as np

    found = probabilities.column().numbers
    return SampleScores(
        ids=ids,
        scores={name: np.array(held, dtype=np.float64) for name, held in scores.items() if len(held) == len(ids)},
        prediction=prediction.column(),
        target=target.column(),
        probabilities=found if found is None or found.ndim == 2 else found[:, None],
        groups=groups.numbers(),
        group_names=groups.names(),
    )


class _Field:
    """Gathers a field's values as classes and as numbers, and gives up the reading that a value doesn't fit."""

    def __init__(self) -> None:
        self._codes: array[int] | None = array("q")
        self._labels: dict[int | str, int] = {}
        self._numbers: array[float] | None = array("d")
        self._width: int | None = None  # of a list; 0 for a plain number

    def add(self, value: object) -> None:
        label = _label(value)
        if self._codes is not None and label is not None:
            self._codes.append(self._labels.setdefault(label, len(self._labels)))
        else:
            self._codes = None
            self._labels = {}
        numbers = _numbers(value)
        width = len(numbers) if numbers is not None and isinstance(value, list) else 0
        if self._width is None:
            self._width = width
        if (
            self._numbers is None
            or numbers is None
            or width != self._width
            or len(self._numbers) + len(numbers) > MAX_NUMBERS
        ):
            self._numbers = None
        else:
            self._numbers.extend(numbers)

    def column(self) -> Column:
        import numpy as np

        numbers = None if self._numbers is None else np.array(self._numbers, dtype=np.float64)
        if numbers is not None and self._width:
            numbers = numbers.reshape(-1, self._width)
        codes = None if self._codes is None else np.array(self._codes, dtype=np.int64)
        return Column(codes, tuple(self._labels), numbers)


class _Groups:
    """Numbers the groups in the order that they come; None unless some sample names one."""

    def __init__(self) -> None:
        self._codes: array[int] = array("q")
        self._known: dict[object, int] = {}
        self._named = False

    def add(self, value: object) -> None:
        label = _label(value)
        self._named = self._named or label is not None
        # A sample without a group gets a key that no label equals.
        key: object = (len(self._codes),) if label is None else label
        self._codes.append(self._known.setdefault(key, len(self._known)))

    def numbers(self) -> IntArray | None:
        import numpy as np

        return np.array(self._codes, dtype=np.int64) if self._named else None

    def names(self) -> tuple[str, ...]:
        """By number; "" for a sample that names no group."""
        return tuple("" if isinstance(label, tuple) else str(label) for label in self._known) if self._named else ()


def _label(value: object) -> int | str | None:
    """A class: a short text or a whole number. 1, 1.0 and true are one class, since evaluators write each of them."""
    if isinstance(value, bool | int):
        return int(value)
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    return value if isinstance(value, str) and len(value) <= _MAX_LABEL else None


def _numbers(value: object) -> list[float] | None:
    values = cast(list[object], value) if isinstance(value, list) else [value]
    numbers = [float(one) for one in values if isinstance(one, bool | int | float) and _is_finite(one)]
    return numbers if numbers and len(numbers) == len(values) else None


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # a whole number of 400 digits
        return False


def _refuse(where: str, what: str) -> NoReturn:
    raise ProjectError(what, where=where, hint="evaluate the version again: its per-sample scores are damaged")
