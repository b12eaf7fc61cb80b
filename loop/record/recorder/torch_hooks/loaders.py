"""What each DataLoader delivers: batches by their size, samples, indices drawn, seconds a pass.

The iterators are watched, not the loaders: a subclass, a copy or a loader that a library made anew is one all the same.
"""

from __future__ import annotations

import collections
import functools
import itertools
import time
import weakref
from collections.abc import Callable
from typing import Any

from ..recording import Alike, Recorder, Rows, Section
from . import forwards, rehearsal
from .batches import Contents, size_of
from .leaks.samples import Samples

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false, reportPrivateUsage=false
# What the script and torch hand over has no type here.

_MAX_INDICES = 200_000
_MAX_LOADERS = 32  # of one section
_MAX_GOING = 8  # passes of one loader at a time
_ROLES = {"train": "train", "validate": "validation", "sanity_check": "sanity", "test": "test", "predict": "predict"}

_numbers = itertools.count()


class Delivered:
    """What one loader delivered in one role, over all passes."""

    def __init__(self, loader: Any, role: str | None) -> None:
        self.role = role
        self.backwards = 0
        self.loader = weakref.ref(loader)
        dataset = getattr(loader, "dataset", None)
        self._dataset = _reference(dataset)
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
        self.sizes, self.drawn = Alike(), Alike()
        self.indices: set[int] | None = set()
        self.contents = Contents()
        self.samples = Samples(dataset) if rehearsal.keeps_samples() else None
        self.passes = Rows(20)
        self.going: collections.deque[Counted] = collections.deque()
        self.first_pass: int | None = None

    def goes_on_as(self, other: Delivered) -> bool:
        """Whether `other` is this loader, made anew for another pass over the same data."""
        if self.loader() is not None or (self.role, self._facts) != (other.role, other._facts):
            return False
        dataset = self._dataset()
        return dataset is not None and dataset is other._dataset()

    def starts(self) -> Counted:
        """A pass begins. One that was broken off is not heard of again."""
        if len(self.going) >= _MAX_GOING:
            self.going.popleft().settle(self)
        row = Counted()
        self.passes.append(row)
        self.going.append(row)
        return row

    def listed(self) -> dict[str, Any]:
        for row in self.going:
            row.settle(self)
        return {
            "role": self.role or ("train" if self.backwards else None),
            "backwards": self.backwards,
            **self._facts,
            "sizes": _histogram(self.sizes),
            "drawn": _histogram(self.drawn),
            "distinct_indices": len(self.indices) if self.indices else None,
            "contents": self.contents.listed(),
            "passes": {
                "count": self.passes.count,
                "rows": [row.listed() for row in self.passes.listed()["rows"]],
            },
        }


class Counted:
    """What one pass delivered: batches of one size follow one another, so that a batch only adds one."""

    __slots__ = ("_alike", "_batches", "_began", "_drawn", "_samples", "_size", "last", "whole")

    def __init__(self) -> None:
        self._size: int | None = None
        self._drawn: int | None = None
        self._alike = self._batches = self._samples = 0
        self._began = self.last = time.monotonic()
        self.whole = False

    def add(self, found: Delivered, size: int | None, drawn: int | None) -> None:
        if size != self._size or drawn != self._drawn:
            self.settle(found)
            self._size, self._drawn = size, drawn
        self._alike += 1

    def settle(self, found: Delivered) -> None:
        alike, self._alike = self._alike, 0
        self._batches += alike
        self._samples += ((self._drawn if self._size is None else self._size) or 0) * alike
        found.sizes.more(self._size, alike)
        found.drawn.more(self._drawn, alike)

    def listed(self) -> dict[str, Any]:
        seconds = round(self.last - self._began, 4)
        return {"batches": self._batches, "samples": self._samples, "seconds": seconds, "whole": self.whole}


class Pass:
    """One iterator over a loader: from the first batch that it delivers to its end."""

    def __init__(self, loader: Any) -> None:
        self.number = next(_numbers)
        self.loader = loader
        self.waiting: collections.deque[int] = collections.deque()  # drawn, not delivered yet: workers are ahead
        self.indices: collections.deque[Any] = collections.deque()  # the same themselves, at a rehearsal
        self.drawn: Any = None  # those of the batch that was delivered last
        self.is_first: bool | None = None
        self.section: Section | None = None  # in which it delivers
        self.delivered: Delivered | None = None
        self.row: Counted | None = None
        self.at_start = True  # no batch before this one


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
    if rehearsal.now is not None:
        drawn.indices.append(index)
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
    if now.section is not section:
        _enter(section, now)
    found, row = now.delivered, now.row
    if found is None or row is None:
        return
    row.add(found, size_of(batch), now.waiting.popleft() if now.waiting else None)
    row.last = time.monotonic()
    now.drawn = now.indices.popleft() if now.indices else None
    if found.passes.count == 1:
        found.contents.add(batch)
        if found.samples is not None:
            found.samples.add(batch, now.drawn)
    recorder.last_loader = found
    if section.trainer is None:
        recorder.mark("training" if found.backwards else "validation")
        if rehearsal.now is not None:
            rehearsal.note_batch(section, "train", batch)
        if found.backwards or now.at_start:
            forwards.begin(recorder, batch, found.backwards)
            now.at_start = False


def _enter(section: Section, now: Pass) -> None:
    """The first batch of a pass, or of what is left of it in another section. Its role stays what it is then."""
    now.section, now.delivered, now.row, now.at_start = section, _delivered(section, now.loader), None, True
    if now.delivered is not None:
        now.row = now.delivered.starts()


def _note_end(iterator: Any) -> None:
    ended: Pass = iterator._recorded_pass
    if ended.row is not None and ended.delivered is not None:
        ended.row.whole = True
        ended.row.settle(ended.delivered)
        if ended.row in ended.delivered.going:
            ended.delivered.going.remove(ended.row)
    ended.section = ended.row = None


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
        before = next((one for one in section.loaders.items() if one[1].goes_on_as(found)), None)
        if before is not None:
            del section.loaders[before[0]]
            found, section.loaders[key] = before[1], before[1]
            found.loader = weakref.ref(loader)
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


def _reference(thing: Any) -> Callable[[], Any]:
    try:
        return weakref.ref(thing)
    except TypeError:  # a list has none
        return lambda: None


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


def _histogram(counts: Alike) -> list[list[int]]:
    return [[size, count] for size, count in sorted(counts.sizes.items())]
