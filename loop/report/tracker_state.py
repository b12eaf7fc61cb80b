"""What was mirrored to the user's experiment trackers, as their mirror remembers it; the loop itself never needs it."""

import hashlib
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict

from ..errors import LoopError, NewerRecord, ProjectError
from ..project.project import Project
from ..project.receipts import LoopFile
from ..rules.reading import Rules
from ..store.records import Record, load
from .trackers.start_mirror import FOLDER

TrackerName = Literal["mlflow", "tensorboard", "trackio", "wandb"]
TRACKERS: tuple[TrackerName, ...] = get_args(TrackerName)


class MirroredRun(Record):
    """`sent` is the hash of all that was sent, empty while that is not complete; `parts` those of its large parts."""

    run_id: str
    stamp: str
    sent: str
    parts: dict[str, str]


class TrackerState(Record):
    """`target` says where the runs are, and `loop` whose they are: under another one they are sent again."""

    target: str
    loop: str
    runs: dict[str, MirroredRun]
    problem: str | None = None
    notes: tuple[str, ...] = ()
    at: str


class TrackerView(BaseModel):
    """A configured tracker at a glance; `sent` counts the versions that are there whole."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    name: TrackerName
    target: str | None
    sent: int
    problem: str | None
    notes: tuple[str, ...]
    at: str | None


def configured(rules: Rules) -> tuple[TrackerName, ...]:
    """The trackers that the rules name."""
    config = rules.file.tracking_config
    return tuple(name for name in TRACKERS if getattr(config, name) is not None)


def state_file(name: TrackerName) -> str:
    return f"{FOLDER}/{name}.json"


def tracker_state(project: Project, name: TrackerName) -> TrackerState | None:
    """What is remembered; None where nothing is, or it is damaged: runs are then looked for, and never doubled.

    Raises `NewerRecord`.
    """
    try:
        return load(project.workspace.tree, state_file(name), TrackerState)
    except NewerRecord:
        raise
    except ProjectError:
        return None


def tracker_views(project: Project, rules: Rules) -> tuple[TrackerView, ...]:
    return tuple(_view(project, name) for name in configured(rules))


def _view(project: Project, name: TrackerName) -> TrackerView:
    try:
        state = tracker_state(project, name)
    except NewerRecord as error:
        return TrackerView(name=name, target=None, sent=0, problem=error_line(error), notes=(), at=None)
    if state is None:
        return TrackerView(name=name, target=None, sent=0, problem=None, notes=(), at=None)
    sent = sum(bool(run.sent) for run in state.runs.values())
    return TrackerView(name=name, target=state.target, sent=sent, problem=state.problem, notes=state.notes, at=state.at)


def loop_id(loop: LoopFile, salt: bytes) -> str:
    """An id of this loop that no other loop has, the same to its end; `salt` is drawn once for a project."""
    text = f"{loop.started_at} {loop.dataset_id} {loop.first_version}"
    return hashlib.sha256(salt + text.encode()).hexdigest()[:16]


def error_line(error: LoopError) -> str:
    """What is wrong and what to do, in one line."""
    told = f"{error.where}: {error.what}" if error.where else error.what
    return " ".join((f"{told}; {error.hint}" if error.hint else told).split())[:600]
