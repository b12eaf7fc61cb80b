"""Step 1: train."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, JsonValue

from ..loop.errors import StillReading
from ..loop.project.project import Project
from ..loop.project.version import Version
from .looking.next_step import brief_now
from .parts import Parts
from .results import JobView, Value, failure_of, job_of, where_now, work
from .run_eval import EvalResult, run_eval

if TYPE_CHECKING:
    from ..loop.project.receipts import TrainReceipt
    from ..loop.train.training import TrainStatus

Resume = Annotated[bool, Field(description="go on from the checkpoint that an interrupted attempt left")]


class RuleResult(Value):
    """What became of one value that the user fixed, as far as it was measured."""

    rule: str
    value: JsonValue
    standing: Literal["in force", "broken", "not verified"]
    verdict: str


class TrainResult(EvalResult):
    """`completed` says what the loop found or wrote that the script left out.

    With `then_evaluate` it is the evaluation's result beside the training's; `brief` is the next Step's.
    """

    artifacts: str | None = None
    epochs: int | None = None
    wall_seconds: float | None = None
    rules: tuple[RuleResult, ...] = ()
    completed: tuple[str, ...] = ()


def run_train(
    project: Project,
    version: int,
    resume: Resume = False,
    then_evaluate: Annotated[bool, Field(description="go on to run_eval")] = False,
    brief: Annotated[bool, Field(description="add the next Step's brief")] = False,
    *,
    attach: int | None = None,
    attach_eval: int | None = None,
) -> TrainResult:
    """Train the version, or attach to its running training; call again until state is done or failed."""
    parts = Parts(named=then_evaluate)
    trained = parts.do("training", lambda: _trained(project, version, resume, attach))
    if trained.state == "done" and then_evaluate:
        scored = parts.do("evaluation", lambda: run_eval(project, version, attach=attach_eval))
        trained = _together(trained, scored)
    told = brief_now(project) if brief and trained.state != "running" else None
    # The brief says what was measured of each fixed value; twice would only cost tokens.
    return trained.model_copy(update={"brief": told} | ({"rules": ()} if told and trained.state == "done" else {}))


def _together(trained: TrainResult, scored: EvalResult) -> TrainResult:
    """The evaluation's result with the training's facts; of a training that was there before, what it says is short."""
    first = trained.message.split("\n")[0] if trained.already_done else trained.message
    return trained.model_copy(
        update={
            **{name: getattr(scored, name) for name in type(scored).model_fields},
            "message": f"{first}\n{scored.message}",
            "already_done": trained.already_done and scored.already_done,
            "warnings": (*trained.warnings, *scored.warnings),
        }
    )


def _trained(project: Project, version: int, resume: bool, attach: int | None) -> TrainResult:
    now = where_now(project)
    late = work().late_warning(project, project.rules(), now) if attach is None else None
    try:
        status = work().train(project, version, attach=attach, resumed=resume)
    except StillReading as reading:
        now = where_now(project)
        return TrainResult(
            state="running",
            message=f"{reading.what}. Call again.",
            reading=reading.what,
            began=False,
            phase=now.phase,
            version=version,
            next=now.next,
        )
    trained, receipt = Version(project, version), status.receipt
    state = where_now(project)
    said = (late,) if late is not None and status.progress is not None else ()
    job = job_of(trained.attempt("train", status.attempt), status.progress) if status.progress else None
    return TrainResult(
        state=status.state,
        message="\n- ".join((_message(trained, status, job), *said)),
        phase=state.phase,
        version=version,
        already_done=status.already_done,
        began=status.began,
        job=job,
        failure=failure_of(status.verdict),
        artifacts=trained.artifacts if receipt else None,
        epochs=receipt.epochs if receipt else None,
        wall_seconds=round(receipt.wall_seconds, 2) if receipt else None,
        rules=_rules(receipt) if receipt else (),
        completed=receipt.completed if receipt else (),
        warnings=(*map(str, receipt.warnings if receipt else status.noticed), *said),
        next=state.next,
    )


def _message(version: Version, status: "TrainStatus", job: JobView | None) -> str:
    name, gone = version.id, version.gone()
    if job is not None:
        doing = "waits to be trained" if job.waiting else "is training"
        said = f"{name} {doing}, attempt {status.attempt} ({job.line}). It goes on by itself; call again."
        return "\n- ".join((said, *map(str, status.noticed)))
    if status.receipt is not None:
        said = [*status.receipt.completed, *map(str, status.receipt.warnings)]
        left = f"{' and '.join(gone)} was removed since" if gone else "its artifacts are complete"
        done = f"{name} is trained (attempt {status.attempt}); {left}."
        return "\n- ".join((f"{done} {_standings(status.receipt)}".rstrip(), *said))
    summary = status.verdict.summary[:400] if status.verdict else ""
    return f"Training attempt {status.attempt} of {name} failed: {summary}. Its artifacts were wiped."


def _standings(receipt: "TrainReceipt") -> str:
    """`Of 3 fixed values 2 were in force, 1 is not verified.`"""
    if not receipt.rules:
        return ""
    sure = sum(one.standing == "in force" for one in receipt.rules)
    rest = f", {len(receipt.rules) - sure} not verified" if sure < len(receipt.rules) else ""
    return f"Of {len(receipt.rules)} fixed values {sure} were in force{rest}."


def _rules(receipt: "TrainReceipt") -> tuple[RuleResult, ...]:
    from ..loop.train.verdicts import told

    return tuple(
        RuleResult(rule=one.rule, value=one.value, standing=one.standing, verdict=str(told(one)))
        for one in receipt.rules
    )
