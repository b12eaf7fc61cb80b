"""The facts that one process left. The script could have written them, so that a reader believes their shape only.

Schema 1. Counts are of this process: of several ranks, each has its own (ranks.py).
"""

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

SCHEMA = 1
MAX_FILES = 4096
MAX_FILE_BYTES = 2 << 20  # the recorder itself stays below half of it
MAX_ALL_BYTES = 256 << 20

Kind = Literal["fit", "tuner", "validate", "test", "predict", "script"]
EndedBy = Literal[
    "max_epochs", "max_steps", "max_time", "early_stopping", "should_stop", "exception", "tuner", "done", "unknown"
]
Count = Annotated[int, Field(ge=0, lt=1 << 63)]
Whole = Annotated[int, Field(gt=-(1 << 64), lt=1 << 64)]
Text = Annotated[str, Field(max_length=2000)]
Name = Annotated[str, Field(max_length=500)]
Plain = bool | Whole | float | Text | None


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Problem(_Facts):
    """Something that could not be recorded, or not be read."""

    what: Text
    error: Text


class Span(_Facts):
    """What a value was over all steps; `changes` counts how often it differed from the step before."""

    first: float
    lowest: float
    highest: float
    last: float
    changes: Count = 0

    @property
    def constant(self) -> bool:
        return self.lowest == self.highest


class Group(_Facts):
    """A parameter group: its size, its learning rate and weight decay at the steps; None where only a device knows."""

    tensors: Count
    parameters: Count
    lr: Span | None = None
    weight_decay: Span | None = None
    settings: Mapping[Name, Plain | tuple[Plain, ...]] = {}


class Optimizer(_Facts):
    kind: Name = Field(alias="class")
    module: Name = ""
    steps: Count
    groups: tuple[Group, ...] = ()
    groups_left_out: Count = 0
    schedulers: tuple[Name, ...] = ()


class Epoch(_Facts):
    """One training epoch of a fit; `whole` where it came to its end."""

    epoch: Count
    batches: Count = 0
    samples: Count = 0
    steps: Whole = 0
    accumulation: Count | None = None
    seconds: float | None = None
    whole: bool = False


class Epochs(_Facts):
    """How many there were, and the first and last 500 of them."""

    count: Count = 0
    rows: tuple[Epoch, ...] = ()


class MetricRow(_Facts):
    """What was logged by the end of a validation, a test or a training epoch. None: no single number."""

    epoch: Count
    step: Count
    role: Name
    values: Mapping[Name, float | None]


class Metrics(_Facts):
    count: Count = 0
    rows: tuple[MetricRow, ...] = ()


class LoaderPass(_Facts):
    batches: Count = 0
    samples: Count = 0
    seconds: float = 0.0
    whole: bool = False


class Passes(_Facts):
    count: Count = 0
    rows: tuple[LoaderPass, ...] = ()


class Contents(_Facts):
    """Which samples the first pass delivered, as a digest that their order doesn't change; `whole` if all were read."""

    rows: Count = 0
    distinct_inputs: Count = 0
    whole: bool = False
    digest: Name = ""


class Loader(_Facts):
    """What one DataLoader delivered in one role. `sizes`: (first dimension of the batch, how many batches); `drawn`:
    the same by the number of indices that its sampler gave."""

    role: Name | None = None
    backwards: Count = 0
    loader: Name
    dataset: Name
    dataset_length: Count | None = None
    batch_size: Count | None = None
    drop_last: bool | None = None
    sampler: Name | None = None
    batch_sampler: Name | None = None
    workers: Count | None = None
    sizes: tuple[tuple[Count, Count], ...] = ()
    drawn: tuple[tuple[Count, Count], ...] = ()
    distinct_indices: Count | None = None
    contents: Contents = Contents()
    passes: Passes = Passes()


class Forward(_Facts):
    """What the model was given for one batch: calls of the first module, and samples in all of them."""

    batch: Count | None = None
    module: Name
    calls: Count
    samples: Count


class NonFinite(_Facts):
    epoch: Count
    backward: Count
    value: Name


class Generators(_Facts):
    """The random generators before a run: torch's seed, and a digest of each state."""

    torch_seed: Whole | None = None
    torch: Name | None = None
    random: Name | None = None
    numpy: Name | None = None


class SchedulerConfig(_Facts):
    kind: Name = Field(alias="class")
    interval: Name | None = None
    frequency: Plain = None


class EarlyStopping(_Facts):
    monitor: Name | None = None
    mode: Name | None = None
    patience: Plain = None


class Settings(_Facts):
    """What the trainer was set to when training began."""

    max_epochs: Whole | None = None
    min_epochs: Whole | None = None
    max_steps: Whole | None = None
    min_steps: Whole | None = None
    max_time: Name | None = None
    accumulate_grad_batches: Plain = None
    gradient_clip_val: Plain = None
    gradient_clip_algorithm: Plain = None
    limit_train_batches: Plain = None
    limit_val_batches: Plain = None
    limit_test_batches: Plain = None
    overfit_batches: Plain = None
    fast_dev_run: Plain = None
    check_val_every_n_epoch: Plain = None
    val_check_interval: Plain = None
    num_training_batches: Plain = None
    num_val_batches: Plain | tuple[Plain, ...] = None
    world_size: Count = 1
    num_nodes: Count = 1
    num_devices: Count = 1
    global_rank: Count = 0
    precision: Name | None = None
    strategy: Name | None = None
    accelerator: Name | None = None
    callbacks: tuple[Name, ...] = ()
    early_stopping: tuple[EarlyStopping, ...] = ()
    module: Name | None = None
    datamodule: Name | None = None
    automatic_optimization: bool = True
    parameters: Count = 0
    trainable: Count = 0
    hyper_parameters: Mapping[Name, Plain] = {}
    schedulers: tuple[SchedulerConfig, ...] = ()


class SavedBest(_Facts):
    """What a ModelCheckpoint keeps. Its best one was new at the end of `best_epoch`, after `best_step` steps."""

    kind: Name = Field(alias="class")
    monitor: Name | None = None
    mode: Name | None = None
    save_top_k: Plain = None
    save_last: Plain = None
    save_weights_only: Plain = None
    every_n_epochs: Plain = None
    every_n_train_steps: Plain = None
    dirpath: Text | None = None
    filename: Text | None = None
    checkpoint_name_last: Text | None = None
    best_model_path: Text | None = None
    last_model_path: Text | None = None
    best_score: float | None = None
    best_epoch: Count | None = None
    best_step: Count | None = None


class End(_Facts):
    """How a section ended. `what` names the callback or the error."""

    by: EndedBy
    what: Text | None = None


class Section(_Facts):
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
    non_finite: tuple[NonFinite, ...] = ()
    checkpoints: tuple[SavedBest, ...] = ()
    end: End | None = None

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


class Seed(_Facts):
    """A call that set a generator: `value` where it was a number, `by` the library function that did it, if one did."""

    call: Name
    value: Whole | None = None
    seeded: bool = True
    by: Name | None = None
    where: Text | None = None
    section: Count = 0
    times: Count = 1


class Opened(_Facts):
    """Files by how often this process opened them, and folders that it looked through. C libraries open unseen."""

    read: Mapping[Text, Count] = {}
    weights: tuple[Text, ...] = ()
    written: Mapping[Text, Count] = {}
    folders: Mapping[Text, Count] = {}
    looked_through: tuple[Text, ...] = ()


class Memory(_Facts):
    """Peak bytes."""

    peak_rss: Count | None = None
    children: Count | None = None


class Device(_Facts):
    name: Name
    count: Count
    cuda: Name | None = None
    driver: Text | None = None
    peak_allocated: Count = 0
    peak_reserved: Count = 0


class ProcessFacts(_Facts):
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
        elif not name.endswith(".json.part"):
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
