"""What each DataLoader delivers: batches by their size, samples, indices drawn, seconds a pass.

The iterators are watched, not the loaders: a subclass, a copy or a loader that a library made anew is one all the same.
"""

from __future__ import annotations

import collections
import functools
import itertools
import time
import weakref
from typing import Any

from ..recording import Recorder, Rows, Section
from . import forwards, rehearsal
from .batches import Contents, size_of

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false, reportPrivateUsage=false
# What the script and torch hand over has no type here.

_MAX_SIZES = 64
_MAX_INDICES = 200_000
_MAX_LOADERS = 32  # of one section
_ROLES = {"train": "train", "validate": "validation", "sanity_check": "sanity", "test": "test", "predict": "predict"}

_numbers = itertools.count()


class Delivered:
    """What one loader delivered in one role, over all passes."""

    def __init__(self, loader: Any, role: str | None) -> None:
        self.role = role
        self.backwards = 0
        self.loader = weakref.ref(loader)
        dataset = getattr(loader, "dataset", None)
        self._facts = {
            "loader": type(loader).__name__,
            "dataset": kind_of(dataset),
            "dataset_length": _length(dataset),
            "batch_size": getattr(loader, "batch_size", None),
            "drop_last": getattr(loader, "drop_last", None),
            "sampler": type(getattr(loader, "sampler", None)).__name__,
            "batch_sampler": type(getattr(loader, "batch_sampler", None)).__name__,
            "workers": getattr(loader, "num_workers", None),
            "generator_seed": _generator_seed(loader),
        }
        self.sizes: collections.Counter[int] = collections.Counter()
        self.drawn: collections.Counter[int] = collections.Counter()
        self.indices: set[int] | None = set()
        self.contents = Contents()
        self.passes = Rows(20)
        self.first_pass: int | None = None

    def listed(self) -> dict[str, Any]:
        return {
            "role": self.role or ("train" if self.backwards else None),
            "backwards": self.backwards,
            **self._facts,
            "sizes": _histogram(self.sizes),
            "drawn": _histogram(self.drawn),
            "distinct_indices": len(self.indices) if self.indices else None,
            "contents": self.contents.listed(),
            "passes": self.passes.listed(),
        }


class Pass:
    """One iterator over a loader: from the first batch that it delivers to its end."""

    def __init__(self, loader: Any) -> None:
        self.number = next(_numbers)
        self.loader = loader
        self.waiting: collections.deque[int] = collections.deque()  # drawn, not delivered yet: workers are ahead
        self.is_first: bool | None = None
        self.delivered: Delivered | None = None
        self.row: dict[str, Any] = {}
        self.clock = 0.0


def watch(recorder: Recorder, torch: Any) -> None:
    """Wraps the base class of a DataLoader's iterators."""
    iterator = torch.utils.data.dataloader._BaseDataLoaderIter
    start, again, advance, draw = iterator.__init__, iterator._reset, iterator.__next__, iterator._next_index
    note_start, note_drawn = recorder.guarded(_note_start), recorder.guarded(_note_drawn)
    note_batch, note_end = recorder.guarded(_note_batch), recorder.guarded(_note_end)

    @functools.wraps(start)
    def __init__(self: Any, loader: Any, *args: Any, **kwargs: Any) -> None:
        note_start(self, loader)  # before: workers are sent to draw by the constructor
        start(self, loader, *args, **kwargs)

    @functools.wraps(again)
    def _reset(self: Any, loader: Any, *args: Any, **kwargs: Any) -> None:
        note_start(self, loader)  # workers that stay: the next pass has the same iterator
        again(self, loader, *args, **kwargs)

    @functools.wraps(draw)
    def _next_index(self: Any) -> Any:
        index = draw(self)
        note_drawn(recorder, self, index)
        return index

    @functools.wraps(advance)
    def __next__(self: Any) -> Any:
        try:
            batch = advance(self)
        except StopIteration:
            note_end(self)
            raise
        note_batch(recorder, self, batch)
        return batch

    iterator.__init__, iterator._reset = __init__, _reset
    iterator.__next__, iterator._next_index = __next__, _next_index


def _note_start(iterator: Any, loader: Any) -> None:
    iterator._recorded_pass = Pass(loader)


def _note_drawn(recorder: Recorder, iterator: Any, index: Any) -> None:
    drawn: Pass = iterator._recorded_pass
    if not isinstance(index, (list, tuple)):
        return
    drawn.waiting.append(len(index))
    if drawn.is_first is False:
        return
    found = _delivered(recorder.section, drawn.loader)
    if found is None or found.indices is None:
        return
    if found.first_pass is None:
        found.first_pass = drawn.number
    drawn.is_first = found.first_pass == drawn.number
    if drawn.is_first and index and isinstance(index[0], int):
        found.indices.update(index)
        if len(found.indices) > _MAX_INDICES:
            found.indices = None


def _note_batch(recorder: Recorder, iterator: Any, batch: Any) -> None:
    now: Pass = iterator._recorded_pass
    section = recorder.section
    found = _delivered(section, now.loader)
    if found is None:
        return
    if found is not now.delivered or not now.row:
        now.delivered, now.clock = found, time.monotonic()
        now.row = {"batches": 0, "samples": 0, "seconds": 0.0}
        found.passes.append(now.row)
    size = size_of(batch)
    drawn = now.waiting.popleft() if now.waiting else None
    _count(found.sizes, size)
    _count(found.drawn, drawn)
    now.row["batches"] += 1
    now.row["seconds"] = round(time.monotonic() - now.clock, 4)
    now.row["samples"] += (drawn if size is None else size) or 0
    if found.passes.count == 1:
        found.contents.add(batch)
    recorder.last_loader = found
    if section.trainer is None:
        recorder.mark("training" if found.backwards else "validation")
        rehearsal.note_batch(section, "train", batch)
    if section.trainer is None and (found.backwards or now.row["batches"] == 1):
        forwards.begin(recorder, batch, found.backwards)


def _note_end(iterator: Any) -> None:
    ended: Pass = iterator._recorded_pass
    if ended.row:
        ended.row["whole"] = True
    ended.row = {}


def _delivered(section: Section, loader: Any) -> Delivered | None:
    role = role_of(section)
    key = (id(loader), role)
    found = section.loaders.get(key)
    if found is None or found.loader() is not loader:
        if len(section.loaders) >= _MAX_LOADERS:
            return None
        if found is not None:  # another loader, which has died since, had this id
            section.loaders[(id(found), role)] = found
        found = section.loaders[key] = Delivered(loader, role)
    return found


def role_of(section: Section) -> str | None:
    """What the trainer does now; None outside of one, where only a backward pass tells training from the rest."""
    if section.trainer is None:
        return None
    state = getattr(section.trainer(), "state", None)
    stage = getattr(getattr(state, "stage", None), "value", None)
    return _ROLES.get(stage, stage) if isinstance(stage, str) else None


def kind_of(dataset: Any, depth: int = 0) -> str:
    """Its class, and what it is made of: `Subset(ConcatDataset(10 × TensorDataset))`."""
    name = type(dataset).__name__
    parts = getattr(dataset, "datasets", None)
    inner = getattr(dataset, "dataset", None)
    if depth < 4 and isinstance(parts, (list, tuple)) and parts:
        kinds = collections.Counter(kind_of(part, depth + 1) for part in parts[:100])
        return f"{name}({', '.join(f'{count} × {kind}' for kind, count in kinds.items())})"
    if depth < 4 and inner is not None and type(inner).__module__ != "builtins":
        return f"{name}({kind_of(inner, depth + 1)})"
    return name


def _generator_seed(loader: Any) -> int | None:
    """Of the generator that the script made for this loader; without one it draws from torch's own."""
    samplers = (getattr(loader, "sampler", None), getattr(getattr(loader, "batch_sampler", None), "sampler", None))
    for owner in (*samplers, loader):
        generator = getattr(owner, "generator", None)
        if generator is not None:
            return generator.initial_seed()
    return None


def _length(dataset: Any) -> int | None:
    try:
        return len(dataset)
    except (TypeError, NotImplementedError):
        return None


def _count(counter: collections.Counter[int], size: int | None) -> None:
    if size is not None and (size in counter or len(counter) < _MAX_SIZES):
        counter[size] += 1


def _histogram(counter: collections.Counter[int]) -> list[list[int]]:
    return [[size, count] for size, count in sorted(counter.items())]
