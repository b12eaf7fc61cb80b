"""What each finished Step leaves: the receipts, from which phase and next step are derived, and never the reverse."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..rules.ends import EndedBy
from ..store.records import Record
from .notices import Notice

FailureKind = Literal[
    "code error",
    "rule violation",
    "evaluation output",
    "diverged",
    "out of memory",
    "killed",
    "timeout",
    "stalled",
    "stopped",
    "disk full",
    "limit",
    "missing artifacts",
    "unreadable output",
    "cancelled",
    "lost",
    "invalid score",
    "other samples",
]
# Nothing is wrong with the code: the same version is simply run again.
INFRASTRUCTURE: frozenset[FailureKind] = frozenset({"killed", "disk full", "cancelled", "lost"})
# Cut off from outside: what it had learnt so far may be gone on from.
RESUMABLE: frozenset[FailureKind] = frozenset({*INFRASTRUCTURE, "timeout", "stalled"})


class Agreed(Record):
    """The changed evaluator and data set that the user agreed to, until the evaluator is tried again."""

    files: Mapping[str, str]
    dataset_sha256: str


FindingCode = Literal[
    "ran",
    "crashed",
    "diverged",
    "out_of_memory",
    "needs_gpu",
    "needs_network",
    "needs_arguments",
    "needs_package",
    "out_of_sight",
    "stands_in",
    "hangs",
    "slow",
    "ended",
    "left",
    "lacks",
    "completed",
    "left_unseen",
    "rule",
    "rule_unseen",
    "took",
    "sample",
    "not_lightning",
    "untrained",
    "unrecorded",
    "validation_same",
    "validation_differs",
    "validation_unchecked",
    "no_validation",
    "folds",
    "folds_apart",
    "shared",
    "disjoint",
    "shared_unchecked",
    "near",
    "groups_shared",
    "feature_is_target",
    "no_leak",
    "leaks_unchecked",
    "same_score",
    "other_score",
    "score_alone",
    "score_uncompared",
    "no_evaluator",
    "evaluator_failed",
    "evaluator_slow",
    "no_checkpoint",
    "monitors",
    "monitors_other",
    "monitors_nothing",
    "night",
    "night_unscored",
    "night_unknown",
    "too_long",
    "hours",
    "disk",
    "too_big",
]
FindingLevel = Literal["ok", "note", "warning", "problem"]


class Finding(Record):
    """One thing that a rehearsal found. `values` fill its words (rehearse/words.py); those in `_seconds` and `_bytes`
    are numbers of these."""

    code: FindingCode
    level: FindingLevel
    values: Mapping[str, str | int | float | bool | None] = {}


class RehearsalReceipt(Record):
    """The first version was tried for half a minute. `script_sha256` is of the script that was tried."""

    attempt: int
    script_sha256: str
    seconds: float
    findings: tuple[Finding, ...]
    at: str

    @property
    def ok(self) -> bool:
        return all(one.level != "problem" for one in self.findings)


class LoopFile(Record):
    """loop.json: decided once at Step 0, to the loop's end, or by the user later."""

    dataset_id: str
    dataset_source: str
    task_type: str | None
    val_samples: int | None
    started_at: str
    first_version: int
    rules_sha256: str | None
    instruction_sha256: str | None
    agreed: Agreed | None = None


class StartReceipt(Record):
    """The first version was made from the baseline, or adopted as somebody had written it: `findings` say which.

    Older releases left none for an adopted one.
    """

    script_sha256: str
    applied: tuple[str, ...]
    findings: tuple[str, ...]
    asked: tuple[str, ...] = ()  # the rules that it set nowhere: several places differ
    at: str


class EvalPlan(Record):
    """Under which protocol, and of which weights, an evaluation was submitted."""

    fingerprint: str
    checkpoint_sha256: str
    accepting: bool
    sandbox: str = ""
    trained: int | None = Field(default=None, description="the training attempt whose weights these are")
    noticed: tuple[Notice, ...] = Field(default=(), description="what was said when it began")


class Plan(Record):
    """What was true when a training was submitted."""

    script_sha256: str
    snapshot: dict[str, str] = Field(description="relative path -> sha256 of the script and its local modules")
    untouchable: dict[str, str] = Field(description="relative path -> size, times and inode, to see training touch it")
    sandbox: str = ""
    confined: bool = False
    resumed_from: int | None = None
    changed: dict[str, list[int]] = Field(default={}, description="changed symbol -> its lines that are watched")
    noticed: tuple[Notice, ...] = Field(default=(), description="what was said when it began")


class Completed(Record):
    """What was found or written of an attempt's artifacts, kept until its receipt says so."""

    said: tuple[str, ...]


class KeptCheckpoint(Record):
    """The checkpoint that an interrupted training left to go on from, and the script that made it."""

    attempt: int
    snapshot: dict[str, str]
    last_sha256: str
    names: tuple[str, ...] = Field(description="what was kept: last.ckpt, best.ckpt, logs")
    epochs: int | None
    at: str


class Company(Record):
    """How many evaluations ran on the machine at the same time, this one included. There is none if it ran alone."""

    evaluations: int


class Verdict(Record):
    """What became of an attempt, by its artifacts and not by its exit code."""

    status: Literal["PASS", "FAIL"]
    kind: FailureKind | None = None
    summary: str
    advice: str = ""
    trace: str = ""
    wall_seconds: float | None = None
    saved_seconds: float | None = Field(default=None, description="about how long it would have gone on")
    script_at_fault: bool = Field(default=False, description="an evaluation that failed by the version's own code")
    at: str


class Repair(Record):
    """A repair that was made after a failed attempt (T4)."""

    root_cause_hypothesis: str
    code_change_summary: str
    files: dict[str, str] = Field(description="relative path -> sha256 of each file that it changed")
    diff: str
    at: str


Standing = Literal["in force", "broken", "not verified"]
Reason = Literal[
    "measured",
    "ended_early",
    "scheduled",
    "partly_none",
    "stated",
    "other_value",
    "beyond_parent",
    "record_differs",
    "checkpoint_differs",
    "no_facts",
    "nothing_measures",
    "fits_differ",
    "groups_differ",
    "asked",
    "own_schedule",
    "loaders_differ",
    "sizes_vary",
    "never_seeded",
    "seeds_differ",
]


class RuleVerdict(Record):
    """What became of one fixed value in a training.

    `reason` says how that is known, or why not; `found` what was measured or stated, in words of numbers and names;
    `beside` what belongs to it, such as the effective batch.
    """

    rule: str
    value: bool | int | float | str | None
    standing: Standing
    reason: Reason
    found: str = ""
    beside: str = ""


class Metric(Record):
    """`"0.75"` is no number and `"yes"` no truth value: an evaluator writes these."""

    model_config = ConfigDict(strict=True)

    # It stands in tables and headings: one plain line.
    name: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}|`]+$")]
    value: Annotated[float, Field(allow_inf_nan=False)]
    higher_is_better: bool


class Acceptance(Record):
    """The evaluator was tried and accepted: from now on it and the data set stay as they are."""

    files: dict[str, str] = Field(description="03_eval.py and its local imports -> sha256")
    dataset_sha256: str
    spread: float
    warnings: tuple[Notice, ...]
    at: str
    protocol: str | None = Field(default=None, description="sha256 of what the loop's own evaluator decided")
    packages: dict[str, str] | None = Field(
        default=None, description="versions of what scores are computed with; older records don't say, nor ask for them"
    )


class SeedNoise(Record):
    """What the seed alone does to each metric: one version, trained once with each of `seeds`."""

    version: str
    seeds: tuple[int, ...]
    values: dict[str, tuple[float, ...]]


class TrainReceipt(Record):
    attempt: int
    script_sha256: str
    snapshot: dict[str, str]
    artifacts: dict[str, str] = Field(description="best.ckpt, last.ckpt, spec.json -> sha256, of blocks if it is large")
    assets: dict[str, str] | None = Field(
        default=None, description="the same of every file in additional_assets; None in older records"
    )
    imported: dict[str, str] = Field(default={}, description="the project's files that ran -> sha256 when it had ended")
    epochs: int | None
    rules: tuple[RuleVerdict, ...] = Field(default=(), description="each fixed value, and whether it was in force")
    completed: tuple[str, ...] = Field(default=(), description="what the loop wrote or found that the script left out")
    wall_seconds: float
    peak_memory_bytes: int | None
    gpu_peak_memory_bytes: int | None = None
    gpu_utilisation: float | None = Field(default=None, description="mean of the GPUs that it took, 0 to 1")
    monitors: tuple[str, ...] = Field(default=(), description="what checkpointing or early stopping looks at")
    sandbox: str = Field(default="", description='what it ran in: "bubblewrap", or "none" and why')
    start: str = Field(default="", description='"warm", or "cold" and why, where it could have been warm')
    resumed_from: int | None = Field(
        default=None, description="the interrupted attempt whose last.ckpt it went on from"
    )
    warnings: tuple[Notice, ...] = ()
    at: str


class EvalReceipt(Record):
    scanned = True

    attempt: int
    fingerprint: str
    checkpoint_sha256: str
    weights: str | None = Field(default=None, description="digest of best.ckpt's tensors, or of all its bytes")
    samples_sha256: str = Field(description="of the per-sample scores that the noise labels are computed from")
    num_samples: int
    metrics: tuple[Metric, ...]
    latency_ms: float
    created_at: str
    sandbox: str = ""
    start: str = ""
    side_by_side: int = Field(default=1, description="evaluations on the machine while it was scored, itself included")
    formulas: dict[str, str] = Field(
        default_factory=dict, description='whose formula: "server", or the "script"\'s own'
    )
    warnings: tuple[Notice, ...] = ()

    @property
    def other_targets(self) -> Notice | None:
        """The remark that it was measured by other targets than the first version's, so that the two don't compare."""
        return next((warning for warning in self.warnings if warning.key == "other_targets"), None)

    @property
    def by_script(self) -> tuple[str, ...]:
        """The metrics by the script's own formula, as its `validation_step` logs them."""
        return tuple(metric.name for metric in self.metrics if self.formulas.get(metric.name) == "script")


class AnalysisReceipt(Record):
    document_sha256: str
    summary: str
    last_gain: int | None = Field(
        default=None, description="the newest version, up to this one, that gained beyond noise; older records: None"
    )
    at: str


class ActionPart(Record):
    """One of several actions of a version, each with symbols of its own."""

    goal: str
    change: str
    where: tuple[str, ...]
    expected_impact: str
    risk: str
    verification: str


class ActionReceipt(Record):
    """The version's one action. Of several, `parts` holds each, and the other fields all of them, numbered."""

    scanned = True

    document_sha256: str
    goal: str
    change: str
    where: tuple[str, ...]
    expected_impact: str
    risk: str
    verification: str
    deferred: tuple[str, ...] = ()  # the other hypotheses, ranked
    parts: tuple[ActionPart, ...] = Field(
        default=(), description="where the user allows several and several were taken"
    )
    at: str


class NextReceipt(Record):
    """The next version was authored: exactly this diff, for exactly this action."""

    scanned = True

    script_sha256: str
    diff: str
    symbols: tuple[str, ...]
    code_sha256: str = Field(description="of what the changed symbols are now, to see the same tried again")
    notes: tuple[Notice, ...]
    at: str


class ReportReceipt(Record):
    """The report was made. `reason` says in words why the loop ended; `ended_by` is absent in older records."""

    folder: str
    last_version: int
    reason: str
    ended_by: EndedBy | None = None
    best: str | None
    with_analysis: bool
    analysis: str = Field(default="", description="the agent's, to be there again where the report is made again")
    at: str


class Score(BaseModel):
    """eval_score.json as an evaluator writes it and as it is published."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)

    dataset_id: str
    created_at: str
    num_samples: Annotated[int, Field(ge=1)]
    metrics: Annotated[list[Metric], Field(min_length=1)]
    latency_ms: Annotated[float, Field(ge=0, allow_inf_nan=False)]
