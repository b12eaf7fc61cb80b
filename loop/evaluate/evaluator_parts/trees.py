"""A batch as a tree that any process may look into without making an object of the script's: boxes with leaves.

The process that has the script's classes makes trees of its batches (`boxed`) and batches of trees (`unboxed`); the
scorer only walks them, cuts them and blanks leaves. A leaf is a tensor, an array, a text, a number, or `Opaque`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import pickle
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy
import torch

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeArgument=false, reportUnknownLambdaType=false
# pyright: reportPrivateUsage=false
# What the script and torch hand over has no type here.

Path = tuple  # of keys: numbers and texts


class Box(NamedTuple):
    """A container: what `kind` it is, its class where that isn't a plain one, and what it holds by key."""

    kind: str
    ref: str
    items: tuple


class Opaque(NamedTuple):
    """An object that nobody but the script's own code can look into."""

    name: str
    data: bytes


_PLAIN = (str, int, float, bool, bytes, type(None))


def boxed(value: Any, depth: int = 0) -> Any:
    """The tree of a batch. Tensors are taken to the CPU."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    if isinstance(value, numpy.ndarray) and value.dtype.kind in "biufc":
        return value
    if isinstance(value, numpy.generic):
        return value.item()
    if isinstance(value, _PLAIN):
        return value
    if depth < 12:
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return _box("named", value, zip(fields_of(value), value), depth)
        if type(value) in (list, tuple):
            return _box(type(value).__name__, None, enumerate(value), depth)
        if type(value) is dict:
            return _box("dict", None, value.items(), depth)
        if isinstance(value, Mapping):
            return _box("mapping", value, value.items(), depth)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = [(one.name, getattr(value, one.name)) for one in dataclasses.fields(value)]
            return _box("data", value, fields, depth)
    return Opaque(f"{type(value).__module__}.{type(value).__qualname__}", pickle.dumps(value))


def fields_of(value: Any) -> tuple[str, ...]:
    """A named tuple's names."""
    return value._fields


def _box(kind: str, of: Any, items: Any, depth: int) -> Box:
    ref = "" if of is None else f"{type(of).__module__}:{type(of).__qualname__}"
    return Box(kind, ref, tuple((key, boxed(child, depth + 1)) for key, child in items))


def unboxed(tree: Any) -> Any:
    """The batch that a tree was made of, with the script's own classes."""
    if isinstance(tree, Opaque):
        return pickle.loads(tree.data)
    if not isinstance(tree, Box):
        return tree
    values = {key: unboxed(child) for key, child in tree.items}
    if tree.kind == "list":
        return list(values.values())
    if tree.kind == "tuple":
        return tuple(values.values())
    if tree.kind == "dict":
        return values
    module, _, name = tree.ref.partition(":")
    made: Any = importlib.import_module(module)
    for part in name.split("."):
        made = getattr(made, part)
    if tree.kind == "mapping":
        return made(values)
    if tree.kind == "named":
        return made(*values.values())
    whole = object.__new__(made)
    for key, child in values.items():
        object.__setattr__(whole, key, child)
    return whole


def leaves(tree: Any) -> Iterator[tuple[Path, Any]]:
    """Every leaf with its path. A list of texts is one leaf, so is one of dicts, and one of tensors that is as long."""
    yield from _leaves(tree, (), _records_in(tree))


def _leaves(tree: Any, path: Path, size: int) -> Iterator[tuple[Path, Any]]:
    if isinstance(tree, Box) and not (path and _is_listed(tree, size)) and not is_texts(tree):
        for key, child in tree.items:
            yield from _leaves(child, (*path, key), size)
    else:
        yield path, tree


def _is_listed(tree: Box, size: int) -> bool:
    """Whether a list has an entry a sample, where there are dicts of so many samples."""
    return 0 < size == len(tree.items) and (is_records(tree) or _are_arrays(tree))


def _are_arrays(tree: Box) -> bool:
    return tree.kind in ("list", "tuple") and all(
        isinstance(one, (torch.Tensor, numpy.ndarray)) for _, one in tree.items
    )


def _records_in(tree: Any) -> int:
    """How many dicts the first list of them has that is found in a tree; 0 without any."""
    if not isinstance(tree, Box):
        return 0
    return len(tree.items) if is_records(tree) else next(filter(None, (_records_in(one) for _, one in tree.items)), 0)


def is_records(tree: Any) -> bool:
    """Whether it is a list of dicts with the same keys, as the targets of detection are."""
    if not isinstance(tree, Box) or tree.kind not in ("list", "tuple") or not tree.items:
        return False
    kinds = {isinstance(one, Box) and one.kind in ("dict", "mapping") for _, one in tree.items}
    return kinds == {True} and len({frozenset(key for key, _ in one.items) for _, one in tree.items}) == 1


def value_at(tree: Any, path: Path, group: Path | None = None) -> Any:
    """The leaf at a path as a formula takes it: dicts as such, and beside each number its group's."""
    leaf = at(tree, path)
    if group is not None:
        return torch.stack([torch.as_tensor(one).double().reshape(-1) for one in (leaf, at(tree, group))], 1)
    return [dict(one.items) for _, one in leaf.items] if is_records(leaf) else leaf


def is_texts(tree: Any) -> bool:
    """Whether it is a list of texts."""
    return (
        isinstance(tree, Box)
        and tree.kind in ("list", "tuple")
        and bool(tree.items)
        and all(isinstance(child, str) for _, child in tree.items)
    )


def texts(tree: Any) -> list[str]:
    return [child for _, child in tree.items]


def at(tree: Any, path: Path) -> Any:
    """The leaf or box at a path; raises LookupError where there is none."""
    for key in path:
        if not isinstance(tree, Box):
            raise LookupError(spelled(path))
        tree = next((child for name, child in tree.items if name == key), None)
        if tree is None:
            raise LookupError(spelled(path))
    return tree


def changed(tree: Any, paths: Any, change: Any, path: Path = ()) -> Any:
    """The tree with `change` applied to the leaves at `paths`."""
    if path in paths:
        return change(tree)
    if not isinstance(tree, Box):
        return tree
    return tree._replace(items=tuple((key, changed(child, paths, change, (*path, key))) for key, child in tree.items))


def blank(leaf: Any) -> Any:
    """A leaf of the same make that says nothing."""
    if isinstance(leaf, torch.Tensor):
        return torch.zeros_like(leaf)
    if isinstance(leaf, numpy.ndarray):
        return numpy.zeros_like(leaf)
    if is_texts(leaf):
        return leaf._replace(items=tuple((key, "") for key, _ in leaf.items))
    if is_records(leaf):  # not even how many boxes there are
        return leaf._replace(items=tuple((key, _emptied(child)) for key, child in leaf.items))
    if isinstance(leaf, Box):
        return leaf._replace(items=tuple((key, blank(child)) for key, child in leaf.items))
    return type(leaf)() if isinstance(leaf, (str, int, float, bytes)) else leaf


def _emptied(leaf: Any) -> Any:
    if isinstance(leaf, Box):
        return leaf._replace(items=tuple((key, _emptied(child)) for key, child in leaf.items))
    return leaf[:0] if isinstance(leaf, (torch.Tensor, numpy.ndarray)) and leaf.ndim else blank(leaf)


def rows(leaf: Any) -> int | None:
    """How many samples a leaf speaks of; None where it has no rows."""
    if isinstance(leaf, (torch.Tensor, numpy.ndarray)):
        return len(leaf) if leaf.ndim else None
    listed = is_texts(leaf) or is_records(leaf) or (isinstance(leaf, Box) and bool(leaf.items) and _are_arrays(leaf))
    return len(leaf.items) if listed else None


def count(tree: Any) -> int | None:
    """The number of samples in a batch: the rows that most of its leaves have; the first ones decide a tie."""
    found = [number for _, leaf in leaves(tree) if (number := rows(leaf)) is not None]
    return max(dict.fromkeys(found), key=found.count, default=None)


def cut(tree: Any, row: int, of: int) -> Any:
    """One row of a batch of so many, still shaped like a batch."""
    return _cut(tree, row, of, bool(_records_in(tree)))


def _cut(tree: Any, row: int, of: int, has_records: bool) -> Any:
    if is_texts(tree):
        return tree._replace(items=((0, tree.items[row][1]),)) if len(tree.items) == of else tree
    if isinstance(tree, Box):
        if has_records and _is_listed(tree, of):
            return tree._replace(items=((0, tree.items[row][1]),))
        listed = tree.kind == "list" and len(tree.items) == of
        if listed and not any(isinstance(child, (Box, torch.Tensor)) for _, child in tree.items):
            return tree._replace(items=((0, tree.items[row][1]),))
        return tree._replace(items=tuple((key, _cut(child, row, of, has_records)) for key, child in tree.items))
    return tree[row : row + 1] if rows(tree) == of else tree


def digest(tree: Any, paths: Any, row: int, of: int) -> str:
    """A short digest of one row of the leaves at `paths`."""
    found = hashlib.blake2b(digest_size=8)
    for path in paths:
        leaf = at(tree, path)
        listed = isinstance(leaf, Box) and rows(leaf) == of
        _digest(found, path, leaf.items[row][1] if listed else cut(leaf, row, of))
    return found.hexdigest()


def together(digests: list[str]) -> str:
    """One digest of many, whatever their order."""
    return hashlib.blake2b("".join(sorted(digests)).encode(), digest_size=16).hexdigest()


def _digest(found: Any, path: Path, one: Any) -> None:
    if isinstance(one, (torch.Tensor, numpy.ndarray)):
        found.update(f"{path}{one.dtype}{tuple(one.shape)}".encode())
        found.update(raw(one).data)
    elif isinstance(one, Box):
        for key, child in one.items:
            _digest(found, (*path, key), child)
    else:
        found.update(repr((path, one)).encode())


def raw(value: Any) -> numpy.ndarray:
    """The bytes of a tensor or array, in order."""
    if isinstance(value, torch.Tensor):
        return value.contiguous().reshape(-1).view(torch.uint8).numpy()
    return numpy.ascontiguousarray(value).reshape(-1).view(numpy.uint8)


def spelled(path: Path) -> str:
    """`[1]`, `label`, `[0].x`: how a path is written in settings and messages."""
    text = ""
    for key in path:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else str(key)
    return text


def own(leaf: Any) -> Any:
    """The same in memory of its own."""
    if isinstance(leaf, torch.Tensor):
        return leaf.clone()
    if isinstance(leaf, Box):
        return leaf._replace(items=tuple((key, own(child)) for key, child in leaf.items))
    return leaf.copy() if isinstance(leaf, numpy.ndarray) else leaf


def bytes_of(tree: Any) -> int:
    """The bytes of its tensors and arrays."""
    return sum(one.nbytes for _, one in leaves(tree) if isinstance(one, (torch.Tensor, numpy.ndarray)))


def shape(tree: Any) -> str:
    """A batch in a few words: `(float32[16, 64], int64[16])`."""
    if isinstance(tree, torch.Tensor):
        return f"{str(tree.dtype).replace('torch.', '')}{list(tree.shape)}"
    if isinstance(tree, numpy.ndarray):
        return f"{tree.dtype}{list(tree.shape)}"
    if is_texts(tree):
        return f"{len(tree.items)} texts"
    if isinstance(tree, Box):
        shown = [child if tree.kind in ("list", "tuple") else (key, child) for key, child in tree.items[:8]]
        inner = [
            f"{one[0]}: {shape(one[1])}"
            if isinstance(one, tuple) and not isinstance(one, (Box, Opaque))
            else shape(one)
            for one in shown
        ]
        return f"({', '.join(inner)})"
    return tree.name if isinstance(tree, Opaque) else type(tree).__name__
