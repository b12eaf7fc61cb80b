"""What user_defined_rules.json may hold: its sections, their keys, types and defaults."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from .execution import ExecutionConfig, Section, ServerAddress
from .stop_when import ConditionText


def _name_elsewhere(text: str) -> str:
    if not 1 <= len(text) <= 128 or text != text.strip() or not text.isprintable() or set(text) & set("/\\#?%:"):
        raise ValueError("must be one plain line of at most 128 characters without / \\ # ? % :")
    return text


_ElsewhereName = Annotated[str, AfterValidator(_name_elsewhere)]


class LoopConfig(Section):
    # The last version is analysed too, and its action is what a person should try next: raised, the loop goes on by it.
    max_versions: Annotated[int, Field(ge=1, le=999_999)] = 10
    max_attempts: Annotated[int, Field(ge=1, le=1000)] = 5
    # Declared actions that one version may carry out; the source's rule is one.
    actions_per_version: Annotated[int, Field(ge=1, le=8)] = 1
    # For each action.
    max_changed_statements: Annotated[int, Field(ge=1, le=100_000)] = 300
    max_train_minutes: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    max_eval_minutes: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    max_explore_minutes: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 2.0
    # A training without a new step for so long, and for ten times as long as usual, is said to have stalled.
    stalled_minutes: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    stop_stalled: bool = False
    # A metric of metrics.csv -> the condition that ends a training, as stop_when.py reads it.
    stop_when: dict[Annotated[str, Field(min_length=1, max_length=200)], ConditionText] = Field(default_factory=dict)
    # Ends of the whole loop beside max_versions, whichever comes first (ends.py).
    max_hours: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    target: Annotated[dict[str, Annotated[float, Field(allow_inf_nan=False)]], Field(min_length=1)] | None = None
    patience: Annotated[int, Field(ge=1, le=999_999)] | None = None


class DatasetConfig(Section):
    dataset_id: Annotated[str, Field(min_length=1)] | None = None


class TrainingConfig(Section):
    """Everything in it is fixed: `epochs`, `batch_size`, `learning_rate` … whatever the user names."""


class EvalConfig(Section):
    primary_metric: Annotated[str, Field(min_length=1)] = "loss"
    metrics: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    repeats: Annotated[int, Field(ge=1, le=100)] = 1
    infer_samples: Annotated[int, Field(ge=0, le=10_000)] = 10


class MlflowConfig(Section):
    # Without one, the server's own MLFLOW_TRACKING_URI. No credentials in it: agents are shown the rules.
    tracking_uri: ServerAddress | None = None
    experiment: _ElsewhereName | None = None


class TensorboardConfig(Section):
    log_dir: Annotated[str, Field(min_length=1, max_length=2000)] = "Models/tensorboard"


class TrackioConfig(Section):
    project: _ElsewhereName | None = None


class WandbConfig(Section):
    project: _ElsewhereName | None = None
    mode: Literal["offline", "online"] = "offline"


class TrackingConfig(Section):
    """Where versions are mirrored to; a tracker that isn't named is off. Names are the project folder's by default."""

    mlflow: MlflowConfig | None = None
    tensorboard: TensorboardConfig | None = None
    trackio: TrackioConfig | None = None
    wandb: WandbConfig | None = None


def _notified_address(text: str) -> str:
    if not re.fullmatch(r"https?://[^@\s]+|\$[A-Za-z_][A-Za-z0-9_]*", text):
        raise ValueError("must be http(s)://… without name or password, or $NAME: a variable that holds the address")
    return text


class NotifyConfig(BaseModel):
    """Who is told of a new best, a decision, the end: a program on its standard input, an address by POST, or both.

    A secret address belongs in a variable, since agents are shown the rules. Unknown keys are refused.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", defer_build=True)

    # Not strict: a list of JSON, from the rules and from a record.
    command: tuple[Annotated[str, Field(min_length=1, max_length=10_000)], ...] = Field(
        default=(), max_length=100, strict=False
    )
    url: Annotated[str, AfterValidator(_notified_address)] | None = None

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if not self.command and self.url is None:
            raise ValueError("must name a command or a url")
        return self


class RulesFile(Section):
    """The whole of user_defined_rules.json."""

    seed: int = 42
    report_language: Literal["en", "ko"] = "en"
    rehearse: bool = True
    # Whether the end of an agent's turn is held up while the loop has a legal call (docs/clients.md).
    keep_going: bool = True
    loop_config: LoopConfig = Field(default_factory=LoopConfig)
    dataset_config: DatasetConfig = Field(default_factory=DatasetConfig)
    training_config: TrainingConfig = Field(default_factory=TrainingConfig)
    eval_config: EvalConfig = Field(default_factory=EvalConfig)
    execution_config: ExecutionConfig = Field(default_factory=ExecutionConfig)
    notify: NotifyConfig | None = None
    tracking_config: TrackingConfig = Field(default_factory=TrackingConfig)
    # A list of names that stand for the same thing as a rule, beside the built-in table (docs/contract.md).
    synonyms: dict[str, tuple[str, ...]] = Field(default_factory=dict)
