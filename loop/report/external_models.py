"""External models: each folder of Models/external/ is scored by the same 03_eval.py on the same samples (R4).

A model is scored as one job, in the sandbox, against the validation set of the loop's first scored version. What it
gives lies in Models/Artifacts/external/<name>/; the user's folder is only read. One that fails is a warning.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import EvaluationError, UnsafePath
from ..evaluate import external_model as jobs
from ..evaluate.evaluator_parts.external_model import script_of
from ..evaluate.evaluator_parts.project_copy import LEFT_OUT
from ..jobs.job import JobStatus
from ..jobs.logs import tail
from ..jobs.placing import level
from ..project.attempts import failure_of, numbers_of, submitted_whole
from ..project.disk import require_room
from ..project.evaluation_protocol import files_below, fingerprint
from ..project.failures import Failure, process_failure
from ..project.integrity import score_bytes
from ..project.project import Project
from ..project.receipts import INFRASTRUCTURE, EvalReceipt, LoopFile, TrainReceipt, Verdict
from ..project.version import Version
from ..rules.reading import Rules
from ..store import journal
from ..store.manifest import hashes
from ..store.paths import ARTIFACTS, EXTERNAL, STATE
from ..store.records import load
from ..text import Told, cell
from .leaderboard import NO_NAME

_LOG_TAIL_BYTES = 16_384
_LONGEST_NAME = 200  # bytes; our own files' names put more around it
_AGAIN, _TRIES = INFRASTRUCTURE - {"cancelled"}, 2  # where the machine was at fault


@dataclass(frozen=True)
class External:
    """An external model now: `receipt` if it is scored as it is, `problem` if it can't be; else it waits.

    A problem that isn't in our words is what its evaluation said.
    """

    name: str
    receipt: EvalReceipt | None = None
    problem: Told | str | None = None
    attempt: jobs.ExternalAttempt | None = None  # the open one
    plan: jobs.ExternalPlan | None = None  # of the one to start

    @property
    def waits(self) -> bool:
        return self.receipt is None and self.problem is None


def names(project: Project) -> list[str]:
    """The folders of Models/external/, which may be links to elsewhere."""
    found = project.workspace.tree.names_following(EXTERNAL)
    return [name for name in found if not name.startswith((".", "__"))]


def unready(project: Project) -> tuple[tuple[str, str], ...]:
    """The external models that offer no `load` and `predict`, and why: each needs an adapter.py."""
    found: list[tuple[str, str]] = []
    for name in _fit(project):
        try:
            script_of(project.workspace.root / EXTERNAL / name)
        except (LookupError, SyntaxError, ValueError, OSError) as error:
            found.append((name, str(error)))
    return tuple(found)


def standing(project: Project, rules: Rules, loop: LoopFile) -> list[External]:
    """Every external model as it is now; call it with the lock held."""
    reference = _reference(project)
    return [_standing(project, rules, loop, name, reference) for name in names(project)]


def open_attempts(project: Project) -> list[jobs.ExternalAttempt]:
    """The evaluations of external models that run or wait to be collected, one a model at most."""
    reference = _reference(project) or Version(project, 1)
    newest = [tried[-1] for name in _fit(project) if (tried := _tried(reference, name))]
    return [attempt for attempt in newest if attempt.verdict is None]


def scored(project: Project) -> list[tuple[str, EvalReceipt]]:
    """The external models that have a score beside the versions', as the newest report or scoring left it; by name."""
    tree = project.workspace.tree
    published = [name for name in _fit(project) if tree.is_file(f"{jobs.artifacts(name)}/eval_score.json")]
    return [(name, receipt) for name in published if (receipt := load(tree, jobs.receipt_file(name), EvalReceipt))]


def publish(project: Project, externals: Sequence[External], dataset_id: str) -> None:
    """Makes Models/Artifacts/external/ what the receipts say; call it with the lock held."""
    tree = project.workspace.tree
    scored = {one.name: one.receipt for one in externals if one.receipt}
    for name in tree.names(f"{ARTIFACTS}/external"):
        if name not in scored:
            tree.remove(jobs.artifacts(name))
    for name, receipt in scored.items():
        where, expected = f"{jobs.artifacts(name)}/eval_score.json", score_bytes(receipt, dataset_id)
        if tree.kind(where) not in ("file", None):
            tree.remove(where)
        if not tree.is_file(where) or tree.read(where) != expected:
            tree.write(where, expected)


def _reference(project: Project) -> Version | None:
    """The loop's first scored version: its data is what every version has started from."""
    versions = (Version(project, number) for number in project.versions())
    return next((one for one in versions if one.receipt(EvalReceipt) and one.receipt(TrainReceipt)), None)


def _standing(project: Project, rules: Rules, loop: LoopFile, name: str, reference: Version | None) -> External:
    if (unfit := _unfit(name)) is not None:
        return External(name, problem=unfit)
    if reference is None:
        return External(name, problem=Told("no version is scored, so there is nothing to compare it with"))
    try:
        digest = external_digest(project, name)
    except OSError as error:
        values = {"file": cell(str(error.filename), 500), "error": error.strerror}
        return External(name, problem=Told("its folder can't be read: {file}: {error}", values))
    tried = _tried(reference, name)
    if tried and tried[-1].verdict is None:  # also where its receipt was saved and the server ended then
        return External(name, attempt=tried[-1])
    protocol = fingerprint(project, rules, loop)
    receipt = load(project.workspace.tree, jobs.receipt_file(name), EvalReceipt)
    if receipt and (receipt.checkpoint_sha256, receipt.fingerprint) == (digest, protocol):
        return External(name, receipt=receipt)
    plan = jobs.ExternalPlan(
        fingerprint=protocol,
        checkpoint_sha256=digest,
        accepting=False,
        sandbox=level(rules.file.execution_config).name,
        last_version=max(project.versions()),
    )
    failures = [failure for one in tried if one.external_plan == plan and (failure := failure_of(one))]
    if failures and (failures[-1].kind not in _AGAIN or len(failures) >= _TRIES):
        return External(name, problem=failures[-1].summary)
    return External(name, plan=plan)


def _fit(project: Project) -> list[str]:
    return [name for name in names(project) if _unfit(name) is None]


def _unfit(name: str) -> Told | None:
    """Why no records can be kept under this name; None for nearly all."""
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        return Told("its folder's name is no UTF-8; rename it")
    if NO_NAME.fullmatch(name):
        return Told("its folder is named like a version, which it would be taken for; rename it")
    if length > _LONGEST_NAME:
        return Told("its folder's name is longer than {most} bytes; rename it", {"most": _LONGEST_NAME})
    return None


def _tried(reference: Version, name: str) -> list[jobs.ExternalAttempt]:
    found = numbers_of("eval", reference.project.workspace.tree.names(jobs.attempts_folder(name)))
    return [jobs.ExternalAttempt(reference, "eval", number, name) for number in found]


def start(
    project: Project, rules: Rules, loop: LoopFile, external: External, *, side_by_side: int = 1
) -> jobs.ExternalAttempt:
    """Submits the evaluation of one that waits without any, as one of so many; call it with the lock held."""
    reference = _reference(project)
    assert reference is not None and external.plan is not None, "it waits to be started"
    require_room(project.workspace, rules.file.execution_config)
    tried = _tried(reference, external.name)
    number = tried[-1].number + 1 if tried else 1
    attempt = jobs.ExternalAttempt(reference, "eval", number, external.name)
    with submitted_whole(attempt):
        attempt.save_plan(external.plan)
        attempt.save_company(side_by_side)
        attempt.submit(jobs.prepare(attempt, rules, loop))
    journal.record(project.workspace, "external_started", name=external.name, attempt=number)
    return attempt


def settle(project: Project, rules: Rules, loop: LoopFile, attempt: jobs.ExternalAttempt, status: JobStatus) -> None:
    """Publishes what an evaluation that has ended found, or records why it failed; call it with the lock held."""
    status = attempt.swept(status)
    plan, wall = attempt.external_plan, status.outcome.wall_seconds if status.outcome else None
    log = tail(attempt.log, _LOG_TAIL_BYTES)
    failure = process_failure(
        status.outcome, log, limit_minutes=jobs.minutes(rules), requested=attempt.cancel_requested, detail=status.detail
    )
    if plan is None:
        failure = failure or Failure("lost", "it was never started: the server ended in between", "")
    if failure is None and plan is not None:
        try:
            jobs.publish(attempt, rules, loop, plan)
        except (EvaluationError, UnsafePath) as error:
            failure = Failure("invalid score", f"{error.where}: {error.what}", "")
    passed = Verdict(status="PASS", summary="scored", wall_seconds=wall, at=journal.now())
    attempt.save_verdict(failure.verdict(wall) if failure else passed)
    event: journal.EventName = "external_failed" if failure else "external_scored"
    journal.record(project.workspace, event, name=attempt.name, attempt=attempt.number)
    jobs.clean_up(attempt)


def external_digest(project: Project, name: str) -> str:
    """Hash over the files of a folder of Models/external/, also of those that links lead to; environments aside."""
    folder = project.workspace.root / EXTERNAL / name
    cache = f"{STATE}/cache/external-{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"
    files = [(below, path) for below, path in files_below(folder) if not LEFT_OUT.intersection(below.split("/"))]
    found = hashes(project.workspace.tree, cache, files, what=f"the external model {name}")
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()
