"""Groups that have samples on both sides: patients, speakers, sessions."""

from __future__ import annotations

import collections
from collections.abc import Iterator
from typing import Any

from .. import named
from .samples import Samples

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

_FEWEST = 3
_MOST = 8  # names


def groups(numpy: Any, train: Samples, validation: Samples) -> list[dict[str, Any]]:
    """For each name: how many groups there are and are on both sides, and the validation samples of those."""
    found: list[dict[str, Any]] = []
    theirs = dict(_named_values(train))
    for name, ours in list(_named_values(validation))[:_MOST]:
        if name in theirs and not _is_target(numpy, ours + theirs[name], train, validation):
            found.extend(_compared(name, theirs[name], ours))
    return found


def _compared(name: str, theirs: list[str], ours: list[str]) -> Iterator[dict[str, Any]]:
    in_train, in_validation = collections.Counter(theirs), collections.Counter(ours)
    distinct = len(in_train.keys() | in_validation.keys())
    if distinct < _FEWEST or distinct * 2 > len(theirs) + len(ours):
        return  # a constant, or a name for each sample
    both = [value for value in in_validation if value in in_train and in_validation[value] + in_train[value] > 2]
    yield {
        "name": name,
        "groups": distinct,
        "shared": len(both),
        "validation_groups": len(in_validation),
        "samples": sum(in_validation[value] for value in both),
        "looked": len(ours),
        "example": both[0][:60] if both else "",
    }


def _is_target(numpy: Any, values: list[str], train: Samples, validation: Samples) -> bool:
    """Whether it is a class by another name, or a coarser one: each of few targets goes with one value."""
    for path in named.targets(validation.paths):
        parts = [_plain(one, path) for one in (validation, train)]
        if parts[0] is None or parts[1] is None:
            continue
        targets = parts[0] + parts[1]
        if len(targets) != len(values) or len(set(targets)) * 2 > len(targets):
            continue
        if len(set(zip(targets, values))) == len(set(targets)):
            return True
    return False


def _named_values(samples: Samples) -> Iterator[tuple[str, list[str]]]:
    """What the batches call a group, then what the data set does, one value for each row that was kept."""
    seen: set[str] = set()
    for path in samples.paths:
        if path and named.names_group(path[-1]) and (values := _plain(samples, path)) is not None:
            seen.add(path[-1])
            yield path[-1], values
    if not samples.has_indices:
        return
    for name, values in _of_dataset(samples.dataset, samples.drawn):
        if name not in seen:
            seen.add(name)
            yield name, values


def _plain(samples: Samples, path: named.Path) -> list[str] | None:
    """A column of texts or of integers; None for anything else."""
    if (texts := samples.texts(path)) is not None:
        return texts
    blocks = samples.blocks.get(path, [])
    if not blocks or any(block.shape[1] != 1 or block.dtype.kind not in "iuUSb" for block in blocks):
        return None
    return [str(value) for block in blocks for value in block[:, 0].tolist()]


def _of_dataset(dataset: Any, drawn: list[int], depth: int = 0) -> Iterator[tuple[str, list[str]]]:
    inner, indices = getattr(dataset, "dataset", None), getattr(dataset, "indices", None)
    if depth < 4 and inner is not None and indices is not None:
        yield from _of_dataset(inner, [int(indices[index]) for index in drawn], depth + 1)
        return
    for name, value in list(getattr(dataset, "__dict__", {}).items())[:200]:
        columns = getattr(value, "columns", None)
        if columns is not None and hasattr(value, "iloc"):
            for column in list(columns)[:1000]:
                if isinstance(column, str) and named.names_group(column):
                    yield from _picked(column, value[column], drawn, dataset)
        elif isinstance(value, dict):
            for key, values in list(value.items())[:200]:
                if isinstance(key, str) and named.names_group(key):
                    yield from _picked(key, values, drawn, dataset)
        elif named.names_group(name):
            yield from _picked(name, value, drawn, dataset)


def _picked(name: str, values: Any, drawn: list[int], dataset: Any) -> Iterator[tuple[str, list[str]]]:
    """Values of the rows that were drawn, if there is one for each sample of the data set."""
    listed = values.tolist() if hasattr(values, "tolist") else values
    if isinstance(listed, (list, tuple)) and len(listed) == len(dataset) and listed:
        picked = [listed[index] for index in drawn]
        if all(isinstance(one, (str, int)) for one in picked):
            yield name, [str(one)[:200] for one in picked]
