"""A column of the input that says the target, or a word in it that does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from .. import named
from .samples import Samples

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

_FEWEST, _FEWEST_VALIDATION, _FEWEST_OF_A_CLASS = 50, 10, 5
_MOST_CLASSES = 50
_CORRELATED = 1 - 1e-6
_MOST = 8


def answers(numpy: Any, train: Samples, validation: Samples) -> list[dict[str, Any]] | None:
    """Where the target stands in the input: `how` as parts.Answer has it; None: too few to tell."""
    found: list[dict[str, Any]] = []
    if train.rows < _FEWEST or validation.rows < _FEWEST_VALIDATION:
        return None
    given = [path for path in named.inputs(validation.paths) if path in train.blocks]
    for path in named.targets(validation.paths):
        target = _target(numpy, train, validation, path)
        if target is None:
            continue
        values, is_classes = target
        for input_path in given:
            for name, how in _saying(numpy, train, validation, input_path, values, is_classes):
                found.append({"input": name[:200], "target": named.told(path), "how": how})
                if len(found) >= _MOST:
                    return found
    return found


def _target(numpy: Any, train: Samples, validation: Samples, path: named.Path) -> tuple[Any, bool] | None:
    """One value for each sample of both, and whether they are classes; None where it is nothing of the kind."""
    texts = [samples.texts(path) for samples in (train, validation)]
    if texts[0] is not None and texts[1] is not None:
        values = numpy.unique(texts[0] + texts[1], return_inverse=True)[1]
        return (values, True) if _is_classes(numpy, values) else None
    arrays = [samples.array(numpy, path) for samples in (train, validation)]
    if any(one is None or one.shape[1] != 1 for one in arrays):
        return None
    values = numpy.concatenate(arrays)[:, 0]
    if _is_classes(numpy, values):
        return values, True
    distinct = len(numpy.unique(values))
    if values.dtype.kind in "iu" and distinct == len(values):  # an index
        return None
    return (values, False) if distinct > 20 and numpy.isfinite(values).all() else None


def _is_classes(numpy: Any, values: Any) -> bool:
    """Some classes, with enough samples of most of them that none is told by chance."""
    if values.dtype.kind == "f" and not (values == numpy.round(values)).all():
        return False
    counts = numpy.unique(values, return_counts=True)[1]
    return 2 <= len(counts) <= _MOST_CLASSES and numpy.median(counts) >= _FEWEST_OF_A_CLASS and counts.min() >= 2


def _saying(
    numpy: Any, train: Samples, validation: Samples, path: named.Path, target: Any, is_classes: bool
) -> Iterator[tuple[str, str]]:
    texts = [samples.texts(path) for samples in (train, validation)]
    if texts[0] is not None and texts[1] is not None:
        if is_classes:
            words = [set(re.findall(r"\w+", text.casefold())) for text in texts[0] + texts[1]]
            yield from _markers(numpy, named.told(path), words, target)
        return
    if path in train.sketched or path in validation.sketched:
        return
    if is_classes and train.tokens(numpy, path) is not None:
        arrays = [samples.tokens(numpy, path) for samples in (train, validation)]
        if arrays[1] is not None:
            yield from _markers(numpy, named.told(path), [set(row.tolist()) for one in arrays for row in one], target)
    arrays = [samples.array(numpy, path) for samples in (train, validation)]
    if any(one is None for one in arrays) or arrays[0].shape[1] != arrays[1].shape[1]:
        return
    columns = numpy.concatenate(arrays)
    is_only = columns.shape[1] == 1 and len(named.inputs(validation.paths)) == 1
    for place in () if is_only else range(columns.shape[1]):
        how = _how(numpy, columns[:, place], target, is_classes)
        if how:
            yield (named.told(path) if columns.shape[1] == 1 else f"{named.told(path)}, column {place}"), how


def _how(numpy: Any, column: Any, target: Any, is_classes: bool) -> str | None:
    if is_classes:
        if len(numpy.unique(column[:2000])) > _MOST_CLASSES:
            return None
        pairs = len(numpy.unique(numpy.stack([column.astype(float), target.astype(float)], axis=1), axis=0))
        if pairs == len(numpy.unique(column)) == len(numpy.unique(target)):
            return "equal" if (column == target).all() else "one_to_one"
        return None
    column, target = column.astype(float), target.astype(float)
    if not numpy.isfinite(column).all() or column.std() == 0:
        return None
    if (column == target).all():
        return "equal"
    if abs(numpy.corrcoef(column, target)[0, 1]) > _CORRELATED:
        return "affine"
    if not (_is_ordered(numpy, column[:500], target[:500]) and _is_ordered(numpy, column, target)):
        return None
    # A coarse target may be in order by a fine column, as a class is by its score: it is no more than told by it.
    return "monotone" if len(numpy.unique(column)) <= 2 * len(numpy.unique(target)) else None


def _is_ordered(numpy: Any, column: Any, target: Any) -> bool:
    order = numpy.lexsort((target, column))
    steps, same = numpy.diff(target[order]), numpy.diff(column[order]) == 0
    return bool((steps[same] == 0).all() and ((steps >= 0).all() or (steps <= 0).all()))


def _markers(numpy: Any, name: str, words: list[set[Any]], target: Any) -> Iterator[tuple[str, str]]:
    """Each class but one has a word that all of its samples have and no other sample has."""
    classes = numpy.unique(target, return_inverse=True)[1].tolist()
    count = max(classes) + 1
    sizes, seen = [0] * count, {}
    for own, label in zip(words, classes):
        sizes[label] += 1
        for word in own:
            label_before, times = seen.get(word, (label, 0))
            seen[word] = (label, times + 1) if label_before == label else (-1, 0)
    marked: dict[int, Any] = {}
    for word, (label, times) in seen.items():
        if label >= 0 and times == sizes[label]:
            marked.setdefault(label, word)
    if len(marked) >= count - 1:
        shown = ", ".join(repr(word) for word in list(marked.values())[:3])
        yield f"{name}: {shown}", "word"
