"""The parts of a run that a recorder's file tells of, as values. Bounded, since the script could have written them."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Kind = Literal["fit", "tuner", "validate", "test", "predict", "script"]
EndedBy = Literal[
    "max_epochs", "max_steps", "max_time", "early_stopping", "should_stop", "exception", "tuner", "done", "unknown"
]
Count = Annotated[int, Field(ge=0, lt=1 << 63)]
Whole = Annotated[int, Field(gt=-(1 << 64), lt=1 << 64)]
Text = Annotated[str, Field(max_length=2000)]
Name = Annotated[str, Field(max_length=500)]
Plain = bool | Whole | float | Text | None


class Facts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Problem(Facts):
    """Something that could not be recorded, or not be read."""

    what: Text
    error: Text


class Span(Facts):
    """What a value was over all steps; `changes` counts how often it differed from the step before."""

    first: float
    lowest: float
    highest: float
    last: float
    changes: Count = 0

    @property
    def constant(self) -> bool:
        return self.lowest == self.highest


class Group(Facts):
    """A parameter group: its size, its learning rate and weight decay at the steps; None where only a device knows."""

    tensors: Count
    parameters: Count
    lr: Span | None = None
    weight_decay: Span | None = None
    settings: Mapping[Name, Plain | tuple[Plain, ...]] = {}


class Optimizer(Facts):
    kind: Name = Field(alias="class")
    module: Name = ""
    steps: Count
    groups: tuple[Group, ...] = ()
    groups_left_out: Count = 0
    schedulers: tuple[Name, ...] = ()


class Epoch(Facts):
    """One training epoch of a fit; `whole` where it came to its end."""

    epoch: Count
    batches: Count = 0
    samples: Count = 0
    steps: Whole = 0
    accumulation: Count | None = None
    seconds: float | None = None
    whole: bool = False


class Epochs(Facts):
    """How many there were, and the first and last 500 of them."""

    count: Count = 0
    rows: tuple[Epoch, ...] = ()


class MetricRow(Facts):
    """What was logged by the end of a validation, a test or a training epoch. None: no single number."""

    epoch: Count
    step: Count
    role: Name
    values: Mapping[Name, float | None]


class Metrics(Facts):
    count: Count = 0
    rows: tuple[MetricRow, ...] = ()


class LoaderPass(Facts):
    batches: Count = 0
    samples: Count = 0
    seconds: float = 0.0
    whole: bool = False


class Passes(Facts):
    count: Count = 0
    rows: tuple[LoaderPass, ...] = ()


class Contents(Facts):
    """Which samples the first pass delivered, as a digest that their order doesn't change; `whole` if all were read."""

    rows: Count = 0
    distinct_inputs: Count = 0
    whole: bool = False
    digest: Name = ""


class Loader(Facts):
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
    generator_seed: Whole | None = None
    sizes: tuple[tuple[Count, Count], ...] = ()
    drawn: tuple[tuple[Count, Count], ...] = ()
    distinct_indices: Count | None = None
    contents: Contents = Contents()
    passes: Passes = Passes()


class Forward(Facts):
    """What the model was given for one batch: calls of the first module, and samples in all of them.

    `wrapper` spreads it over ranks, which may have a share of its `parameters` each. `autocast`: what it computes in.
    """

    batch: Count | None = None
    module: Name
    calls: Count
    samples: Count
    wrapper: Name | None = None
    parameters: Count | None = None
    trainable: Count | None = None
    device: Name | None = None
    dtype: Name | None = None
    autocast: Name | None = None


class Fabric(Facts):
    """How a script's Fabric was set up."""

    strategy: Name
    accelerator: Name
    precision: Name | None = None
    world_size: Count | None = None


class NonFinite(Facts):
    epoch: Count
    backward: Count
    value: Name


class Diverged(Facts):
    """Why a training ended itself: the first loss that was no number, the last one before it, and what became of it.

    `spoiled`: a step was taken by it, and weights are no numbers any more.
    """

    epoch: Count
    backward: Count
    value: Name
    last_finite: float | None = None
    spoiled: bool = False


class Generators(Facts):
    """The random generators before a run: torch's seed, and a digest of each state."""

    torch_seed: Whole | None = None
    torch: Name | None = None
    random: Name | None = None
    numpy: Name | None = None


class SchedulerConfig(Facts):
    kind: Name = Field(alias="class")
    interval: Name | None = None
    frequency: Plain = None


class EarlyStopping(Facts):
    monitor: Name | None = None
    mode: Name | None = None
    patience: Plain = None


class Settings(Facts):
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


class SavedBest(Facts):
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


class End(Facts):
    """How a section ended. `what` names the callback or the error."""

    by: EndedBy
    what: Text | None = None


class Near(Facts):
    """Validation samples that are nearly a training sample, and training samples that are nearly another one.

    `by_chance`: the part that data of their dimension would have. `fine`: its values tell samples apart, as those of a
    few coarse columns don't. `example`: indices of a validation and of a training sample, in their data sets.
    """

    kind: Literal["distance", "text"]
    looked: Count
    near: Count
    within_looked: Count
    within_near: Count
    by_chance: float = 0.0
    fine: bool = False
    example: tuple[Count, Count] | None = None


class Grouped(Facts):
    """Groups by one name: how many have samples on both sides, and how many of the validation's samples those are."""

    name: Name
    groups: Count
    shared: Count
    validation_groups: Count
    samples: Count
    looked: Count
    example: Name = ""


class Answer(Facts):
    """A part of the input that says the target."""

    input: Name
    target: Name
    how: Literal["equal", "affine", "monotone", "one_to_one", "word"]


class Leaks(Facts):
    """What was looked at for leaks; `near` and `answers` are None where that couldn't be."""

    train: Count = 0
    validation: Count = 0
    whole: bool = False
    near: Near | None = None
    groups: tuple[Grouped, ...] = ()
    answers: tuple[Answer, ...] | None = None


class Rehearsed(Facts):
    """What a rehearsal found beside: how long things take, what batches are made of, and how much was compared.

    `train_batches` and `validations_an_epoch` are as the script asked for; `cut`: a loop of its own was ended.
    """

    train_batches: Count | None = None
    validations_an_epoch: float = 1.0
    batch_seconds: float | None = None
    validation_seconds: float | None = None
    validation_samples: Count | None = None
    validation_cut: bool = False
    train_batch: Text = ""
    validation_batch: Text = ""
    compared_rows: Count | None = None
    compared_whole: bool = False
    leaks: Leaks = Leaks()
    cut: bool = False


class Seed(Facts):
    """A call that set a generator: `value` where it was a number, `by` the library function that did it, if one did."""

    call: Name
    value: Whole | None = None
    seeded: bool = True
    by: Name | None = None
    where: Text | None = None
    section: Count = 0
    times: Count = 1


class Opened(Facts):
    """Files by how often this process opened them, and folders that it looked through or made, whether they were there
    or not. C libraries open unseen."""

    read: Mapping[Text, Count] = {}
    weights: tuple[Text, ...] = ()
    written: Mapping[Text, Count] = {}
    folders: Mapping[Text, Count] = {}
    looked_through: tuple[Text, ...] = ()
    made: tuple[Text, ...] = ()


class StandsIn(Facts):
    """A file of the project that ran since a library asked for a module of that name; `by` is the library's file."""

    file: Text
    by: Text


class Memory(Facts):
    """Peak bytes."""

    peak_rss: Count | None = None
    children: Count | None = None


class Device(Facts):
    name: Name
    count: Count
    cuda: Name | None = None
    driver: Text | None = None
    peak_allocated: Count = 0
    peak_reserved: Count = 0
