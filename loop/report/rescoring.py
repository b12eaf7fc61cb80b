"""What the report has scored first: versions of another protocol (R2) and external models (R4), several at a time.

Nothing of it is held in memory: an evaluation that runs, or waits to be collected, is an attempt without a verdict. So
any process goes on with what another began, and all of them together keep to the one bound.
"""

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from ..errors import EvaluationError, StillReading
from ..evaluate.evaluation import open_attempt, settle, start
from ..evaluate.evaluation_job import clean_up
from ..evaluate.external_model import ExternalAttempt
from ..jobs.job import Job
from ..project.attempts import Attempt, failure_of
from ..project.evaluation_protocol import acceptance, fingerprint
from ..project.failures import Failure
from ..project.project import Project
from ..project.receipts import INFRASTRUCTURE, EvalReceipt, LoopFile, Verdict
from ..project.version import Version
from ..rules.reading import Rules
from ..store import journal
from ..train.progress import Progress, progress_of
from ..train.training import next_jobs
from . import external_models

_ON_A_CLUSTER = 8
# A call starts and collects for so long, then lets others have the lock; the next one goes on.
_TURN_SECONDS = 2.0


@dataclass(frozen=True)
class Running:
    """One evaluation that runs, or was about to be collected when the turn was over."""

    attempt: Attempt
    progress: Progress

    @property
    def model(self) -> str | None:
        """The external model that it is of; None for a version's."""
        return self.attempt.name if isinstance(self.attempt, ExternalAttempt) else None


@dataclass(frozen=True)
class Rescoring:
    """The report waits for these; there is at least one.

    Of `versions` scored ones `stale` have no score under the present protocol yet, and of the external models `models`
    have none; those that run are counted. As long as versions are left to start, nobody has looked at the models.
    """

    running: tuple[Running, ...]
    versions: int
    stale: int
    models: int


def most_at_once(rules: Rules) -> int:
    """How many evaluations may run side by side; on this machine one by default: each disturbs the others' latency."""
    config = rules.file.execution_config
    return config.max_parallel or (1 if config.executor == "local" else _ON_A_CLUSTER)


def scored_by(attempt: Attempt) -> str:
    """The version or external model that an evaluation is of."""
    return attempt.name if isinstance(attempt, ExternalAttempt) else attempt.version.id


def open_attempts(project: Project) -> list[Attempt]:
    """Every scoring for the report that runs or waits to be collected; never a version's first one."""
    found = [attempt for version in _scored(project) if (attempt := open_attempt(version))]
    return [*found, *external_models.open_attempts(project)]


def _scored(project: Project) -> list[Version]:
    """Also those whose weights are gone, and which are scored no more."""
    versions = (Version(project, number) for number in project.versions())
    return [version for version in versions if version.receipt(EvalReceipt)]


@dataclass(frozen=True)
class Left:
    """Of so many scored versions, how many still lack a score under the protocol of what is scored now; 0 for none."""

    versions: int
    stale: int


def left(project: Project, found: Sequence[Attempt]) -> Left:
    """What is left beside these open attempts. Their plans name the protocol: to work it out may take long."""
    plans = [one.external_plan if isinstance(one, ExternalAttempt) else one.eval_plan for one in found]
    protocol = next((plan.fingerprint for plan in plans if plan), None)
    if protocol is None:
        return Left(0, 0)
    scored = [version for version in _scored(project) if not version.gone("best.ckpt")]
    return Left(len(scored), sum(_is_stale(version, protocol) for version in scored))


def _is_stale(version: Version, protocol: str) -> bool:
    receipt = version.receipt(EvalReceipt)
    return receipt is not None and receipt.fingerprint != protocol


def advance(project: Project, rules: Rules, loop: LoopFile, awaited: Collection[str] = ()) -> Rescoring | None:
    """Collects what has ended and starts what there is room for; what runs then, or None when nothing is left.

    `awaited` are the folders of attempts that the caller has waited for: the failure of one is told also where somebody
    else has cancelled or collected it. Call it with the lock held.
    Raises `EvaluationError` if a version can't be scored: no more are started, those that run go on and are collected
    by the next call. Raises what `start` does.
    """
    return _Turn(project, rules, loop, awaited).taken()


class _Turn:
    """One call's work, for a limited time."""

    def __init__(self, project: Project, rules: Rules, loop: LoopFile, awaited: Collection[str]) -> None:
        self._project, self._rules, self._loop = project, rules, loop
        self._scored = [version for version in _scored(project) if not version.gone("best.ckpt")]
        self._protocol = fingerprint(project, rules, loop) if self._scored else ""
        self._told = set(awaited)
        self._job: Job | None = None  # of the version that was started last
        # From here on: what comes before may take long by itself, and something must be done in each turn.
        self._deadline = time.monotonic() + _TURN_SECONDS

    @property
    def _is_over(self) -> bool:
        return time.monotonic() >= self._deadline

    def taken(self) -> Rescoring | None:
        while True:
            running = list(self._collected())
            stale = [version for version in self._scored if _is_stale(version, self._protocol)]
            self._require_sound(stale, running)
            waiting, begun = self._filled(stale, running)
            if not begun or self._is_over:
                found = Rescoring((*running, *begun), len(self._scored), len(stale), waiting)
                return found if found.running else None

    def _collected(self) -> Iterator[Running]:
        """What goes on running; the rest is settled, as far as the time allows."""
        project, rules, loop = self._project, self._rules, self._loop
        for attempt in open_attempts(project):
            status = attempt.status()
            if _is_of_another(attempt, self._protocol):
                _drop(attempt)
            elif status.state == "running" or self._is_over:
                yield Running(attempt, progress_of(attempt, status))
            elif isinstance(attempt, ExternalAttempt):
                external_models.settle(project, rules, loop, attempt, status)
            else:
                self._told.add(attempt.relative)
                settle(attempt, rules, loop, status)

    def _require_sound(self, stale: Sequence[Version], running: Sequence[Running]) -> None:
        """Raises `EvaluationError` for what failed now, or while the caller waited for it."""
        found = [(version, verdict) for version in stale if (verdict := self._failure(version))]
        if not found:
            return
        version, verdict = found[0]
        others = f"; neither can {', '.join(one.id for one, _ in found[1:])}" if found[1:] else ""
        todo = "correct what it names, then call"
        if verdict.kind == "cancelled":
            todo = "call"
        elif verdict.kind not in INFRASTRUCTURE:
            todo = f"ask the user: {verdict.advice}. Then call"
        meanwhile = f" ({len(running)} more scorings go on; it collects them)" if running else ""
        raise EvaluationError(
            f"{version.id} can't be scored under the present protocol: {verdict.summary}{others}",
            hint=f"{todo} final_report again{meanwhile}",
        )

    def _failure(self, version: Version) -> Verdict | None:
        tried = [one for one in version.attempts("eval") if not _is_of_another(one, self._protocol)]
        if not tried or tried[-1].relative not in self._told or (verdict := failure_of(tried[-1])) is None:
            return None
        # The machine, or a server that ended before it could submit, is no reason to stop: the first time.
        before = failure_of(tried[-2]) if len(tried) > 1 else None
        return verdict if verdict.kind != "lost" or (before and before.kind == "lost") else None

    def _filled(self, stale: Sequence[Version], running: Sequence[Running]) -> tuple[int, list[Running]]:
        """How many external models wait, as far as it was looked at, and what was started beside `running`."""
        # An evaluator on trial may be refused: until it is accepted, its first evaluation runs alone.
        trial = bool(stale) and acceptance(self._project) is None
        room = max(0, (1 if trial else most_at_once(self._rules)) - len(running))
        busy = {one.attempt.version for one in running if not isinstance(one.attempt, ExternalAttempt)}
        todo = [version for version in stale if version not in busy]
        models = self._models(with_nothing_else=not running and not todo) if len(todo) <= room and not trial else []
        ready = [model for model in models if model.plan is not None]
        begun = self._begun((*todo, *ready)[:room], running)
        if 0 < len(begun) < len(todo):
            # Not after each: the second of several would wait for the spare that was begun for it.
            following = next_jobs(todo[len(begun)], self._rules)
            following.expect(self._project.executor, self._job_of_a_version, ("eval",))
        return sum(model.waits for model in models), begun

    def _begun(self, chosen: Sequence[Version | external_models.External], running: Sequence[Running]) -> list[Running]:
        """Starts these, as far as the time allows: the first one always."""
        project, rules, loop = self._project, self._rules, self._loop
        begun: list[Running] = []
        for one in chosen:
            if begun and self._is_over:
                break
            beside = self._company([*running, *begun])
            if isinstance(one, Version):
                attempt, self._job = start(one, rules, loop, side_by_side=beside)
            else:
                attempt = external_models.start(project, rules, loop, one, side_by_side=beside)
            begun.append(Running(attempt, Progress()))
        return begun

    def _job_of_a_version(self) -> Job:
        assert self._job is not None, "versions are started before models, and one was"
        return self._job

    def _company(self, running: Sequence[Running]) -> int:
        """How many evaluations share this machine with one more; each that runs remembers that it isn't alone."""
        if self._rules.file.execution_config.executor != "local":
            return 1
        for one in running:
            one.attempt.save_company(2)
        return len(running) + 1

    def _models(self, *, with_nothing_else: bool) -> list[external_models.External]:
        try:
            return [one for one in external_models.standing(self._project, self._rules, self._loop) if one.waits]
        except StillReading:
            if with_nothing_else:
                raise
            return []  # meanwhile the versions are scored


def _is_of_another(attempt: Attempt, protocol: str) -> bool:
    """Whether a version's attempt was submitted under another protocol than the present one."""
    if isinstance(attempt, ExternalAttempt):
        return False
    plan = attempt.eval_plan
    return plan is not None and plan.fingerprint != protocol


def _drop(attempt: Attempt) -> None:
    """Ends what nobody wants to know any more: its score would be of a protocol that is gone."""
    project = attempt.project
    if attempt.submitted:
        project.executor.cancel(attempt.path)
    attempt.save_verdict(Failure("cancelled", "the protocol changed while it ran", "").verdict(None))
    clean_up(attempt)
    journal.record(project.workspace, "eval_cancelled", attempt.version.id, attempt=attempt.number)
