"""What an attempt is to run (job.json), and how it ended (result.json): the server's definitions of both files."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from ..errors import RunError

Backend = Literal["slurm", "ray"]
JobKind = Literal["train", "eval", "rehearse", "explore"]
WaitingFor = Literal["scheduler", "resources", "priority", "nodes", "limit", "condition", "release", "other_request"]
"""What a job that has not begun waits for.

"scheduler": its first look. "resources": a node with room. "priority": other jobs. "nodes": such as are down or closed.
"limit": one of its account. "condition": a time, a licence, a reservation, another job. "release": somebody holds it.
"other_request": as it was asked for it never begins.
"""

StalledIn = Literal["training", "validation", "start", "between"]
"""Where no new step comes: between two training batches, between two of a validation, from an epoch's start to its
first batch, or between these, where checkpoints are written."""

_STEPS: Mapping[StalledIn, str] = {
    "training": "training step",
    "validation": "validation batch",
    "start": "first step of an epoch",
    "between": "sign of life between two phases",
}
MIN_LOG_BYTES = 4096
RESUME_VARIABLE = "PROGRESSIVE_TRAINING_RESUME"
# Lightning's own: where a Trainer without a `default_root_dir` puts its logs, checkpoints and a tuner's files. That is
# the working folder otherwise, which is read-only in the sandbox.
DEFAULT_ROOT_VARIABLE = "PL_TRAINER_DEFAULT_ROOT_DIR"
# In `env` for one attempt only, and nothing but the script reads them: a warm start sets them late.
LATE_VARIABLES = frozenset({RESUME_VARIABLE, DEFAULT_ROOT_VARIABLE})

_STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, defer_build=True)


@dataclass(frozen=True)
class Placement:
    """What we ask the scheduler for; None = what it gives by itself.

    `gpus` and `cpus` are for each node, and so is `memory_gb`. `minutes` is the scheduler's own time limit. `tasks` is
    how many processes `srun` starts on each node. `setup` are shell lines that run on the node before the job.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(strict=True, extra="forbid", defer_build=True)

    backend: Backend
    gpus: int = 0
    cpus: int | None = None
    memory_gb: float | None = None
    minutes: float | None = None
    nodes: int = 1
    tasks: int = 1
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    extra: tuple[str, ...] = ()
    address: str | None = None
    setup: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recording:
    """How a recorder gets into each Python process of a job.

    `variables` are set, and `python_path` is put before whatever PYTHONPATH there is. An interpreter that waits already
    runs `source` instead.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    variables: Mapping[str, str]
    python_path: str
    source: str


@dataclass(frozen=True)
class StopWhen:
    """A condition that ends a training: a value of `metric` in its metrics.csv, from epoch `first` to `last`, as people
    count them. `told` is the condition in words."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    metric: str
    sign: Literal[">", ">=", "<", "<="]
    limit: float
    first: int
    last: int | None
    told: str


@dataclass(frozen=True)
class Watching:
    """What the runner looks at while a training runs: the folders of its recorder's facts and of its logs.

    Without a new step for ten times as long as one usually takes, and for `stalled_seconds` at least, it has stalled;
    that ends it if `stop_stalled`.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    facts: str
    logs: str
    stalled_seconds: float = 60.0
    stop_stalled: bool = False
    stop_when: tuple[StopWhen, ...] = ()


@dataclass(frozen=True)
class Landlock:
    """What the runner leaves a job where there is no bubblewrap, besides its temporary files: paths to be read, to be
    listed alone, and to be written. Without `network` it has a loopback of its own; without `tcp` nobody to talk to."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    read: tuple[str, ...]
    listed: tuple[str, ...]
    written: tuple[str, ...]
    network: bool
    tcp: bool


@dataclass(frozen=True)
class Job:
    """One command to run, without a shell, and its limits.

    `env` is the child's whole environment; the runner adds PYTHONFAULTHANDLER, PYTHONUNBUFFERED, TMPDIR and its marker.
    It is stored as readable text in the attempt folder (owner only): put no secret in it.
    `timeout_seconds=None` means no limit, and so for each `max_`. `grace_seconds` is what lies between TERM and KILL.
    `wrapper` is a command line in front of `argv`, as sandbox.py makes it; it binds the attempt's `tmp` to /tmp.
    `landlock` is what holds instead, where that isn't.
    `watched` are the folders that, with the job's temporary files, may hold `max_watched_bytes` in `max_files` files.
    `imports` is what its script does before all else (warm/leading_imports.py): an interpreter that waits for it may
    have done so much already. None: the job starts cold.
    `placement` says where it runs, if not on this machine. `inherits` are names of variables, or with a `*` how they
    begin, which it takes from the machine where it runs, before those of `env`.
    `recording` is how what it does is recorded, if it is; `watching` what may end it meanwhile.
    Raises: RunError for a value that no process could be started with.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    kind: JobKind
    version_id: str
    attempt: int
    argv: tuple[str, ...]
    cwd: str
    env: Mapping[str, str]
    timeout_seconds: float | None = None
    log_limit_bytes: int = 50 * 1024 * 1024
    grace_seconds: float = 10.0
    wrapper: tuple[str, ...] = ()
    max_processes: int | None = None
    max_threads: int | None = None
    max_file_bytes: int | None = None
    watched: tuple[str, ...] = ()
    max_watched_bytes: int | None = None
    max_files: int | None = None
    landlock: Landlock | None = None
    imports: tuple[str, ...] | None = None
    inherits: tuple[str, ...] = ()
    recording: Recording | None = None
    watching: Watching | None = None
    placement: Placement | None = None

    def __post_init__(self) -> None:
        for what in (*self.argv, *self.wrapper, *self.watched, self.cwd, *self.env, *self.env.values()):
            if "\0" in what or not _is_text(what):
                raise RunError(f"{what!r} can't be given to a process", hint="use text without NUL characters")
        if not self.argv or not self.argv[0]:
            raise RunError("the job has no command", hint="give the full command line, interpreter first")
        if self.timeout_seconds is not None and not 0 < self.timeout_seconds < math.inf:
            raise RunError(f"a time limit of {self.timeout_seconds} s", hint="give seconds above 0, or none")
        if not 0 <= self.grace_seconds < math.inf:
            raise RunError(f"a grace of {self.grace_seconds} s", hint="give 0 seconds or more")
        for most in (self.max_processes, self.max_threads, self.max_file_bytes, self.max_watched_bytes, self.max_files):
            if most is not None and most < 1:
                raise RunError(f"a limit of {most}", hint="give 1 or more, or none")
        if self.log_limit_bytes < MIN_LOG_BYTES:
            raise RunError(f"a log of {self.log_limit_bytes} bytes", hint=f"allow {MIN_LOG_BYTES} bytes or more")

    def to_json(self) -> str:
        return _JOB.dump_json(self, indent=2).decode() + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Job":
        """Raises: RunError that names the field."""
        try:
            return _JOB.validate_json(text)
        except ValidationError as error:
            raise RunError(f"not a job: {_first_fault(error)}") from error


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended. `rc` and `signal` are the script's own, and at most one of them is set.

    `reason`: "exited" (by itself, also by a signal that we did not send), "cancelled" (the runner was asked to end it),
    "timeout", "limit" (it used more than it may; `detail` says of what), "diverged", "stalled" or "stopped" (by what
    its runner watched), or "lost" (the runner died, so that nothing is known). `oom_kills` counts kills for
    memory meanwhile, in our control group or, where no group counts, on the machine; None = not known. `disk_full`: the
    runner itself found no room for the log or at the end.
    `gpu_peak_memory_bytes` is by what the used memory of the machine's NVIDIA GPUs grew at most, `gpu_utilisation` the
    mean share of time in which those computed; other programs on them count as well; None = no GPU was taken.
    `start` is "warm", or "cold" with the reason where it might have been warm.
    `cpu_seconds` counts the whole tree. `peak_memory_bytes` is the largest resident size of any one process of it, not
    their sum. `killed` names what did not end by itself or on TERM:
    leftovers of a script that had ended, and what needed KILL. Times are ISO-8601 UTC, for people; None = not known.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    rc: int | None
    signal: int | None
    signal_name: str | None
    reason: Literal["exited", "cancelled", "timeout", "limit", "diverged", "stalled", "stopped", "lost"]
    wall_seconds: float | None
    cpu_seconds: float | None
    peak_memory_bytes: int | None
    killed: tuple[str, ...]
    started_at: str | None
    finished_at: str | None
    log_truncated: bool
    detail: str | None = None
    oom_kills: int | None = None
    disk_full: bool = False
    start: str = ""
    gpu_peak_memory_bytes: int | None = None
    gpu_utilisation: float | None = None

    def to_json(self) -> str:
        return _OUTCOME.dump_json(self, indent=2).decode() + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Outcome":
        """Raises: RunError that names the field."""
        try:
            return _OUTCOME.validate_json(text)
        except ValidationError as error:
            raise RunError(f"not a result: {_first_fault(error)}") from error


#: Of a job of which nothing is known.
LOST = Outcome(
    rc=None,
    signal=None,
    signal_name=None,
    reason="lost",
    wall_seconds=None,
    cpu_seconds=None,
    peak_memory_bytes=None,
    killed=(),
    started_at=None,
    finished_at=None,
    log_truncated=False,
)


@dataclass(frozen=True)
class Stalled:
    """A training without a new step for `quiet_seconds`, where one usually takes `usual_seconds`."""

    within: StalledIn
    quiet_seconds: float
    usual_seconds: float

    def __str__(self) -> str:
        return f"no new {_STEPS[self.within]} for {self.quiet_seconds:.0f} s; usually {self.usual_seconds:.3g} s"


@dataclass(frozen=True)
class JobStatus:
    """How far an attempt is; `outcome` is None while it runs.

    `elapsed_seconds` never comes from the clock on the wall; None = not known.
    `waiting` is set while it has not begun: why, and what is known of when; `waiting_for` is the reason as a code, None
    where the scheduler's own is not known to us. `detail` says in words why it is lost. `stalled` is set while a
    training makes no step.
    """

    state: Literal["running", "finished", "lost"]
    outcome: Outcome | None
    elapsed_seconds: float | None
    detail: str | None = None
    waiting: str | None = None
    waiting_for: WaitingFor | None = None
    stalled: Stalled | None = None


def _first_fault(error: ValidationError) -> str:
    """The first of a validation's faults, as `field: message`."""
    fault = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in fault["loc"])
    return f"{where}: {fault['msg']}" if where else fault["msg"]


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate: bytes that were no UTF-8
        return False
    return True


_JOB = TypeAdapter(Job)
_OUTCOME = TypeAdapter(Outcome)
