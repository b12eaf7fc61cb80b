"""The facts of this process so far."""

from __future__ import annotations

import collections
import functools
import os
import sys
import time
from collections.abc import Callable
from typing import Any, Literal

from . import writing

Kind = Literal["fit", "tuner", "validate", "test", "predict", "script"]
Gap = Literal["training", "validation", "start", "between", "outside"]
SCHEMA = 1
BETWEEN_EPOCHS, BETWEEN_STEPS = 1.0, 10.0  # seconds from one write to the next
_TICK = 0.2  # seconds
MAX_SECTIONS = 200
_MAX_PROBLEMS = 50
_MAX_FAILURES = 5  # of one watch; then it is left out, so that a broken one costs nothing
_KEPT = 500  # rows of a table, at its beginning and at its end


class Rows:
    """A table that keeps its first and its last rows, and how many there were."""

    def __init__(self, kept: int = _KEPT) -> None:
        self.count = 0
        self._kept = kept
        self._first: list[Any] = []
        self._last: collections.deque[Any] = collections.deque(maxlen=kept)

    def append(self, row: Any) -> None:
        self.count += 1
        (self._first if len(self._first) < self._kept else self._last).append(row)

    def listed(self) -> dict[str, Any]:
        return {"count": self.count, "rows": [*self._first, *self._last]}


class Alike:
    """Counts sizes. Batches of one size follow one another, so that a step only adds one; `settle` does the rest."""

    MAX_SIZES = 64

    def __init__(self) -> None:
        self.size: int | None = None
        self.alike = 0
        self.count = self.samples = 0
        self.sizes: dict[int, int] = {}

    def add(self, size: int | None) -> None:
        if size == self.size:
            self.alike += 1
        else:
            self.settle()
            self.size, self.alike = size, 1

    def settle(self) -> None:
        alike, self.alike = self.alike, 0
        self.more(self.size, alike)

    def more(self, size: int | None, times: int) -> None:
        self.count += times
        if size is not None and times:
            self.samples += size * times
            if size in self.sizes or len(self.sizes) < self.MAX_SIZES:
                self.sizes[size] = self.sizes.get(size, 0) + times


class Section:
    """One fit, one test, or what the script does outside of any trainer. Watches put their own notes in."""

    def __init__(self, kind: Kind, trainer: Callable[[], Any] | None = None) -> None:
        self.kind: Kind = kind
        self.began = time.time()
        self.clock = time.monotonic()
        self.ended: float | None = None
        self.trainer = trainer  # a weak reference
        self.outer: Section | None = None  # what goes on when this ends
        self.facts: dict[str, Any] = {}
        self.loaders: dict[Any, Any] = {}
        self.optimizers: dict[int, Any] = {}
        self.backwards = 0
        self.epoch = 0
        self.batches = Alike()  # that a trainer handed out
        self.used: Any = None  # the optimizer that stepped last
        self.next_forward: float = 0  # the number of the batch that is looked at next
        self.non_finite: list[dict[str, Any]] = []
        self.forwards: list[dict[str, Any]] = []
        self.epochs = Rows()
        self.metrics = Rows()

    @property
    def steps(self) -> int:
        return sum(optimizer.steps for optimizer in self.optimizers.values())

    def settle(self) -> None:
        """Says what the trainer handed out so far: of the fit and of the epoch that runs."""
        batches = self.batches
        batches.settle()
        self.facts.update(batches=batches.count, batch_sizes=batches.sizes)
        row = self.facts.get("_epoch")
        if row is not None:
            row["batches"], row["samples"] = batches.count - row["_batches"], batches.samples - row["_samples"]
            row["steps"] = self.steps - row["_steps"]

    def listed(self) -> dict[str, Any]:
        self.settle()
        return {
            "kind": self.kind,
            "within": self.outer.kind if self.outer is not None and self.outer.kind != "script" else None,
            "began": self.began,
            "seconds": round((self.ended or time.monotonic()) - self.clock, 3),
            **{name: value for name, value in self.facts.items() if not name.startswith("_")},
            "shared_inputs": self._shared_inputs(),
            "epochs": self.epochs.listed(),
            "metrics": self.metrics.listed(),
            "loaders": [loader.listed() for loader in self.loaders.values() if loader.passes.count],
            "optimizers": [optimizer.listed() for optimizer in self.optimizers.values()],
            "backwards": self.backwards,
            "forwards": self.forwards,
            "non_finite": self.non_finite,
        }

    def _shared_inputs(self) -> int | None:
        """Inputs that came by in training and in validation as well; None where not all of them were compared."""
        sets: dict[str, set[int]] = {"train": set(), "validation": set()}
        for loader in self.loaders.values():
            role = loader.role or ("train" if loader.backwards else "validation")
            if role in sets and loader.passes.count:
                if not loader.contents.whole:
                    return None
                sets[role] |= loader.contents.inputs
        return len(sets["train"] & sets["validation"]) if all(sets.values()) else None


class Recorder:
    """All that was recorded in this process. `section` is what runs now."""

    def __init__(self, folder: str) -> None:
        self.at_write: list[Callable[[], dict[str, Any]]] = []
        self.at_begin: list[Callable[[], None]] = []
        self.at_compile: list[Callable[[], None]] = []
        self.at_tick: list[Callable[[], None]] = []
        self.look_at_losses: Callable[[], None] = lambda: None
        # What the runner sees while the run goes on (live.py): nothing, unless it is asked for.
        self.mark: Callable[[Gap], None] = lambda kind: None
        self.saw_loss: Callable[[Section, int, int, float], None] = lambda section, epoch, backward, value: None
        self.after_step: Callable[[Any], None] = lambda optimizer: None
        self.end_live: Callable[[bool], None] = lambda diverged: None
        self.forwards: Any = None
        self.forked = False
        self.begin(folder)

    def begin(self, folder: str) -> None:
        """Forgets what was, and records into `folder`."""
        self.folder = folder
        self.began = time.time()
        self.ended = False
        self.rank = _rank()
        self.world_size = _number("WORLD_SIZE") or _number("SLURM_NTASKS") or 1
        self.problems: list[dict[str, str]] = []
        self._failures: dict[str, int] = {}
        self.seeds: list[dict[str, Any]] = []
        self.outside = Section("script")
        self.section = self.outside
        self.sections: list[Section] = []
        self.left_out = 0
        self.last_loader: Any = None
        self._slow: dict[str, Any] = {}
        self._file: writing.FactsFile | None = None
        self._next_tick = 0.0
        self._told_of_end = False
        for begin in self.at_begin:
            begin()

    def begin_forked(self) -> None:
        """A child begins anew. It writes only if it trains: workers of a DataLoader leave nothing."""
        self.forked = True
        self.begin(self.folder)

    def end_with_child(self) -> None:
        """A forked child that trains leaves without the interpreter's own end: its library tells of it instead."""
        if self.forked and not self._told_of_end:
            self._told_of_end = True
            util: Any = sys.modules.get("multiprocessing.util")
            if util is not None:
                util.Finalize(None, self.end, exitpriority=0)

    def open(self, section: Section) -> Section:
        """Makes `section` the one that runs, inside the present one; `close` goes back to that."""
        section.outer = self.section
        self.section = section
        if len(self.sections) < MAX_SECTIONS:
            self.sections.append(section)
        else:
            self.left_out += 1
        return section

    def close(self, section: Section) -> None:
        section.ended = time.monotonic()
        self.section = section.outer or self.outside

    def problem(self, what: str, error: object) -> None:
        text = f"{type(error).__name__}: {error}" if isinstance(error, BaseException) else str(error)
        if len(self.problems) < _MAX_PROBLEMS:
            self.problems.append({"what": what, "error": text[:300]})

    def guarded(self, watch: Callable[..., Any]) -> Callable[..., Any]:
        """The watch, whose failure is a fact and nothing else."""
        name = f"{watch.__module__.rpartition('.')[2]}.{watch.__qualname__}"

        @functools.wraps(watch)
        def call(*args: Any) -> Any:
            if self._failures and self._failures.get(name, 0) >= _MAX_FAILURES:
                return None
            try:
                return watch(*args)
            except Exception as error:  # noqa: BLE001 - see above; this is the one place
                self._failures[name] = self._failures.get(name, 0) + 1
                self.problem(name, error)
                return None

        return call

    @property
    def trains(self) -> bool:
        return bool(self.sections) or self.outside.steps > 0

    def tick(self) -> None:
        """After each step: writes where that is due, which is asked a few times a second."""
        now = time.monotonic()
        if now >= self._next_tick:
            self._next_tick = now + _TICK
            self.write(after=BETWEEN_STEPS)

    def write(self, *, after: float = 0.0, all_of_it: bool = False) -> None:
        """Replaces the file, if `after` seconds have passed since the last time; `all_of_it` also asks what is slow."""
        for tick in self.at_tick:
            tick()
        if self._file is None:
            self._file = writing.FactsFile(self.folder, self.rank)
        if not after or self._file.is_due(after):
            if all_of_it or not self._slow:
                from . import machine  # not for children that train nothing

                self._slow = self.guarded(machine.facts)() or {}
            self.guarded(self._file.write)(self.listed)

    def end(self) -> None:
        """The process ends of itself. Of a worker that trained nothing there is nothing to tell."""
        self.ended = True
        self.look_at_losses()
        self.end_live(False)
        processes: Any = sys.modules.get("multiprocessing.process")
        is_child = self.forked or (processes is not None and processes.parent_process() is not None)
        if self.trains or ("torch" in sys.modules and not is_child):
            self.write(all_of_it=True)

    def listed(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "schema": SCHEMA,
            "pid": os.getpid(),
            "parent": os.getppid(),
            "rank": self.rank,
            "world_size": self.world_size,
            "argv": [text[:200] for text in sys.argv[:20]],
            "began": self.began,
            "written": time.time(),
            "ended": self.ended,
            "uncaught": getattr(getattr(sys, "last_type", None), "__name__", None),
            "sections": [section.listed() for section in self.sections],
            "sections_left_out": self.left_out,
            "script": self.outside.listed(),
            "seeds": self.seeds,
            **self._slow,
        }
        for more in self.at_write:
            found.update(self.guarded(more)() or {})
        return {**found, "problems": self.problems}


def _rank() -> int:
    """As the launcher says it; a trainer knows better, once there is one."""
    for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK"):
        number = _number(name)
        if number is not None:
            return number
    return 0


def _number(name: str) -> int | None:
    text = os.environ.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 7 else None
