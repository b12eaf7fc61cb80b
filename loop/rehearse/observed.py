"""What a rehearsal left, read as values. User code ran in its folders: what lies there is looked at without trust."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from pydantic import BaseModel, ConfigDict, ValidationError

from ..errors import LoopError, Unreadable
from ..evaluate.checks.output import read_metrics, read_strict
from ..evaluate.checks.own_word import EVALUATION, Said
from ..jobs.job import Outcome
from ..jobs.logs import tail
from ..project.attempts import Attempt
from ..project.project import Project
from ..project.receipts import LoopFile
from ..project.version import Version
from ..record.facts import Section
from ..record.ranks import RunFacts, run_facts
from ..rules.reading import Rules
from ..store.digest import sha256
from ..store.leftovers.reading import read
from ..text import cell
from ..train.completing import left_files
from .job import AGAIN_FACTS, EVALUATOR_LOG, FACTS, OUT, SAID_FILE, SCORED_CHECKPOINT, STAGE

_LOG_TAIL_BYTES = 16_384
_MAX_BYTES = 64 << 10
_SHOWN = 80


class Run(BaseModel):
    """How one process of the rehearsal ended."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    rc: int | None = None
    timed_out: bool = False
    seconds: float = 0.0
    checkpoint: str = ""


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    train: Run | None = None
    again: Run | None = None
    evaluate: Run | None = None


@dataclass(frozen=True)
class Sample:
    """A validation sample as the evaluator saw it, in a few words each."""

    input: str
    output: str
    target: str


@dataclass(frozen=True)
class Observed:
    """A rehearsal that has ended. `evaluator`: whether there was one to run."""

    attempt: Attempt
    rules: Rules
    loop: LoopFile
    outcome: Outcome | None
    evaluator: bool

    @cached_property
    def said(self) -> _Said:
        """Empty where the job itself was ended before it could say anything."""
        try:
            data = self.attempt.project.workspace.tree.read(f"{self.attempt.relative}/{SAID_FILE}", limit=_MAX_BYTES)
            return _Said.model_validate_json(data)
        except (FileNotFoundError, LoopError, ValidationError):
            return _Said()

    @property
    def seconds(self) -> float:
        wall = self.outcome.wall_seconds if self.outcome is not None else None
        return wall or 0.0

    @cached_property
    def facts(self) -> RunFacts:
        return run_facts(self.attempt.path / FACTS)

    @cached_property
    def again(self) -> RunFacts:
        return run_facts(self.attempt.path / AGAIN_FACTS)

    @property
    def fits(self) -> tuple[Section, ...]:
        return tuple(fit.first for fit in self.facts.fits if fit.first.batches)

    @cached_property
    def scored_fit(self) -> int | None:
        """Which of the fits left the checkpoint that was scored; None where none of them or several did."""
        tree, scored = self.attempt.project.workspace.tree, f"{self.attempt.relative}/{SCORED_CHECKPOINT}"
        if not tree.is_file(scored):
            return None
        wanted, found = sha256(tree, scored), list[int]()
        for number, fit in enumerate(self.fits):
            paths = (path for one in fit.checkpoints for path in (one.best_model_path, one.last_model_path))
            stage = self.staged.project.workspace.tree
            if any(sha256(stage, name) == wanted for name in left_files(self.staged, paths)):
                found.append(number)
        return found[0] if len(found) == 1 else None

    @property
    def is_cut(self) -> bool:
        """Whether a loop of the script's own was ended before its end."""
        return any(one.rehearsed is not None and one.rehearsed.cut for one in self.facts.loops)

    @cached_property
    def log(self) -> str:
        return tail(self.attempt.log, _LOG_TAIL_BYTES)

    @cached_property
    def evaluator_log(self) -> str:
        return tail(self.attempt.path / EVALUATOR_LOG, _LOG_TAIL_BYTES)

    @cached_property
    def staged(self) -> Version:
        """The version in the copy of the project, with the artifacts that it left there."""
        return Version(Project(self.attempt.path / STAGE), self.attempt.version.number)

    @cached_property
    def scores(self) -> dict[str, float]:
        """What the evaluator found; empty where it found nothing."""
        try:
            return read_metrics(self.attempt.project.workspace.tree, f"{self.attempt.relative}/{OUT}")
        except LoopError:
            return {}

    @cached_property
    def apart(self) -> Mapping[str, float]:
        """What other random numbers may make of each metric, where validation draws any."""
        where = f"{self.attempt.relative}/{OUT}/{EVALUATION}"
        try:
            return Said.model_validate_json(self.attempt.project.workspace.tree.read(where)).apart
        except (FileNotFoundError, LoopError, ValidationError):
            return {}

    @cached_property
    def num_samples(self) -> int | None:
        where = f"{self.attempt.relative}/{OUT}/eval_score.json"
        try:
            content = read_strict(self.attempt.project.workspace.tree, where)
        except LoopError:
            return None
        found = content.get("num_samples") if isinstance(content, dict) else None
        return found if type(found) is int else None

    def samples(self) -> list[Sample]:
        tree, root = self.attempt.project.workspace.tree, f"{self.attempt.relative}/{OUT}/infer_samples"
        found: list[Sample] = []
        for name in tree.names(root)[:2]:
            files = tree.names(f"{root}/{name}")
            parts = {stem: self._part(f"{root}/{name}", stem, files) for stem in ("input", "output", "gt")}
            found.append(Sample(parts["input"], parts["output"], parts["gt"]))
        return found

    def _part(self, folder: str, stem: str, files: list[str]) -> str:
        name = next((one for one in files if one.startswith(f"{stem}.")), None)
        if name is None:
            return "–"
        tree, where = self.attempt.project.workspace.tree, f"{folder}/{name}"
        try:
            if name.endswith(".npy"):
                return cell(str(read(tree, "array", where)), _SHOWN)
            if name.endswith(".json"):
                return cell(json.dumps(read(tree, "json", where), ensure_ascii=False), _SHOWN)
            return cell(tree.read(where)[:_MAX_BYTES].decode("utf-8", "replace"), _SHOWN)
        except Unreadable:
            return "an array" if name.endswith(".npy") else name
        except LoopError:
            return name
