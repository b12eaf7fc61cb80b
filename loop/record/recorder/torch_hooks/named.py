"""The parts of a batch by their place in it. Names are only where to look: what is found is measured."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# What the script and torch hand over has no type here.

_DEEP = 4
_PARTS = 64
_TARGET = re.compile(r"(labels?|targets?|y|y_true|gt|ground_truth|class(es)?|class_(id|idx|label)s?|answers?)", re.I)
_GROUP = re.compile(
    r"(groups?|patients?|subjects?|speakers?|users?|persons?|people|participants?|sessions?|recordings?|writers?|authors?"
    r"|customers?|clients?|households?|families|family|donors?|animals?|videos?|clips?|scenes?|studies|study|documents?"
    r"|docs?|slides?|cases?|identit(y|ies)|tracks?)(_?(ids?|idx|index|names?|nos?|numbers?|codes?|keys?|uuids?))?",
    re.I,
)

Path = tuple[str, ...]


def parts(batch: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Tensors and arrays with at least one dimension, and lists of texts, with their places."""
    shape = getattr(batch, "shape", None)
    if isinstance(shape, tuple):
        if shape:
            yield path, batch
    elif len(path) < _DEEP and isinstance(batch, Mapping):
        for key, inner in list(batch.items())[:_PARTS]:
            yield from parts(inner, (*path, str(key)[:60]))
    elif isinstance(batch, (list, tuple)) and batch:
        if all(type(one) is str for one in batch):
            yield path, batch
        elif len(path) < _DEEP:
            for place, inner in enumerate(batch[:_PARTS]):
                yield from parts(inner, (*path, f"[{place}]"))


def names_target(path: Path) -> bool:
    return any(_TARGET.fullmatch(name) for name in path)


def names_group(name: str) -> bool:
    return _GROUP.fullmatch(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.strip("_ ")).replace(" ", "_")) is not None


def inputs(paths: list[Path]) -> list[Path]:
    """What a model is given: the first element of a tuple; of a mapping all that no name says is something else."""
    left = [path for path in paths if not names_target(path) and not names_group(path[-1] if path else "")]
    first = paths[0] if paths else ()
    if first and first[0].startswith("["):
        return [path for path in left if path[0] == first[0]]
    return left if len(left) < len(paths) or len(paths) == 1 else left[:-1]


def targets(paths: list[Path]) -> list[Path]:
    """What may be asked for: the second and the last element of a tuple; of a mapping what is named so."""
    given = set(inputs(paths))
    left = [path for path in paths if path not in given and not names_group(path[-1] if path else "")]
    named = [path for path in left if names_target(path)]
    return named or list(dict.fromkeys((*left[:1], *left[-1:])))


def told(path: Path) -> str:
    return ".".join(path).replace(".[", "[") or "batch"
