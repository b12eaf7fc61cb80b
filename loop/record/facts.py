"""The facts that one process left. The script could have written them, so that a reader believes their shape only.

Schema 1. Counts are of this process: of several ranks, each has its own (ranks.py).
"""

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from .parts import (
    Count,
    Device,
    Diverged,
    End,
    Epochs,
    Fabric,
    Facts,
    Forward,
    Generators,
    Kind,
    Loader,
    Memory,
    Metrics,
    Name,
    NonFinite,
    Opened,
    Optimizer,
    Problem,
    Rehearsed,
    SavedBest,
    Seed,
    Settings,
    StandsIn,
    Text,
    Whole,
)

MAX_FILES = 4096
MAX_FILE_BYTES = 2 << 20  # the recorder itself stays below half of it
MAX_ALL_BYTES = 256 << 20


class Section(Facts):
    """A fit, a tuner's trial within one, a validate, test or predict; or `script`: what ran outside of any trainer."""

    kind: Kind
    within: Kind | None = None
    began: float
    seconds: float
    steps_before: Count = 0
    steps_after: Count | None = None
    epoch_before: Count = 0
    epoch_after: Count | None = None
    max_epochs_after: Whole | None = None
    checkpoint: Text | None = None
    generators: Generators | None = None
    weights: Name | None = None
    settings: Settings | None = None
    batches: Count = 0
    batch_sizes: Mapping[Name, Count] = {}
    validation_samples: Count | None = None
    test_samples: Count | None = None
    shared_inputs: Count | None = None
    epochs: Epochs = Epochs()
    metrics: Metrics = Metrics()
    loaders: tuple[Loader, ...] = ()
    optimizers: tuple[Optimizer, ...] = ()
    backwards: Count = 0
    forwards: tuple[Forward, ...] = ()
    fabric: tuple[Fabric, ...] = ()
    non_finite: tuple[NonFinite, ...] = ()
    diverged: Diverged | None = None
    checkpoints: tuple[SavedBest, ...] = ()
    end: End | None = None
    rehearsed: Rehearsed | None = None

    @property
    def steps(self) -> int:
        """Steps that optimizers really took."""
        return sum(optimizer.steps for optimizer in self.optimizers)

    @property
    def epochs_run(self) -> int:
        """Epochs that began and came to their end; one that was broken off isn't counted."""
        return self.epochs.count - sum(not row.whole for row in self.epochs.rows)

    def loaders_of(self, role: str) -> tuple[Loader, ...]:
        return tuple(loader for loader in self.loaders if loader.role == role)


class ProcessFacts(Facts):
    """What one process left. `ended`: it ended of itself; else it was killed or runs on, and this is its last word."""

    schema_: Literal[1] = Field(alias="schema")
    pid: Count
    rank: Count = 0
    world_size: Count = 1
    began: float = 0.0
    written: float = 0.0
    ended: bool = False
    uncaught: Name | None = None
    argv: tuple[Text, ...] = ()
    sections: tuple[Section, ...] = ()
    sections_left_out: Count = 0
    script: Section | None = None
    seeds: tuple[Seed, ...] = ()
    opened: Opened = Opened()
    python: Name | None = None
    modules: tuple[Text, ...] = ()
    stands_in: tuple[StandsIn, ...] = ()
    packages: Mapping[Name, Name | None] = {}
    memory: Memory = Memory()
    device: Device | None = None
    problems: tuple[Problem, ...] = ()

    @property
    def trained(self) -> bool:
        """Whether anything was trained here, by a trainer or by an optimizer alone."""
        return any(one.kind in ("fit", "tuner") for one in self.sections) or (
            self.script is not None and self.script.steps > 0
        )


def parsed(name: str, data: bytes) -> ProcessFacts | Problem:
    """The facts in one file's bytes, or what is wrong with them."""
    if len(data) > MAX_FILE_BYTES:
        return Problem(what=name, error=f"is larger than {MAX_FILE_BYTES} bytes")
    try:
        return ProcessFacts.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part)[:50] for part in first["loc"][:8])
        return Problem(what=name, error=f"is no facts file: {where}: {first['msg']}"[:500])


def read(folder: Path) -> tuple[tuple[ProcessFacts, ...], tuple[Problem, ...]]:
    """The facts of all processes that left some in `folder`, by the time they began, and what could not be read.

    Never raises for what lies there.
    """
    processes: list[ProcessFacts] = []
    problems: list[Problem] = []
    left = MAX_ALL_BYTES
    for name in _names(folder, problems):
        data = _contents(folder, name, min(left, MAX_FILE_BYTES + 1))
        found = data if isinstance(data, Problem) else parsed(name, data)
        left -= 0 if isinstance(data, Problem) else len(data)
        if isinstance(found, Problem):
            problems.append(found)
        else:
            processes.append(found)
    return tuple(sorted(processes, key=lambda one: one.began)), tuple(problems)


def _names(folder: Path, problems: list[Problem]) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry, _ in zip(entries, range(MAX_FILES + 1), strict=False)]
    except OSError as error:
        problems.append(Problem(what="facts", error=f"the folder can't be read: {error.strerror}"))
        return
    if len(names) > MAX_FILES:
        problems.append(Problem(what="facts", error=f"there are more than {MAX_FILES} files"))
    for name in sorted(names)[:MAX_FILES]:
        if name.endswith(".json"):
            yield name
        elif not name.endswith((".json.part", ".bin", ".live")):
            problems.append(Problem(what=_printable(name), error="is none of the recorder's files"))


def _contents(folder: Path, name: str, limit: int) -> bytes | Problem:
    try:
        file = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return Problem(what=_printable(name), error=f"can't be opened: {error.strerror}")
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            return Problem(what=_printable(name), error="is no plain file")
        parts: list[bytes] = []
        while limit > 0 and (part := os.read(file, limit)):
            parts.append(part)
            limit -= len(part)
        return b"".join(parts)
    except OSError as error:
        return Problem(what=_printable(name), error=f"can't be read: {error.strerror}")
    finally:
        os.close(file)


def _printable(name: str) -> str:
    return ascii(name)[1:-1][:200]
