"""Step 2: evaluate."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..loop.errors import EvaluationError, StillReading
from ..loop.project.project import Project
from ..loop.project.receipts import LoopFile
from ..loop.project.state import derive
from ..loop.project.version import Version
from ..loop.rules.reading import Rules
from ..loop.store.paths import EVAL_SCRIPT
from .looking.next_step import brief_now
from .results import JobView, StepResult, failure_of, job_of, metric_line, where_now, work

if TYPE_CHECKING:
    from ..loop.evaluate.evaluation import EvalStatus
    from ..loop.evaluate.evaluator import EvalSettings


class EvalResult(StepResult):
    """What an evaluation found, beside what every Step returns; `brief` is there where it was asked for."""

    metrics: Mapping[str, float] = {}
    num_samples: int | None = None
    latency_ms: float | None = None
    formulas: Mapping[str, str] = {}
    warnings: tuple[str, ...] = ()
    brief: str | None = None


def run_eval(project: Project, version: int, *, brief: bool = False, attach: int | None = None) -> EvalResult:
    """Score the trained version's best.ckpt on the whole validation set; call again until done or failed."""
    scored = _scored(project, version, attach)
    told = brief_now(project) if brief and scored.state != "running" else None
    return scored.model_copy(update={"brief": told})


def _scored(project: Project, version: int, attach: int | None) -> EvalResult:
    rules = project.rules()
    before = derive(project, rules)
    waits = before.trained and before.phase in ("evaluate", "repair") and before.cur == version
    if waits and before.loop:
        _make_evaluator(project, rules, before.loop)
    try:
        status = work().evaluate(project, version, attach=attach)
    except StillReading as reading:
        return EvalResult(
            state="running",
            message=f"{reading.what}. Call again.",
            reading=reading.what,
            began=False,
            phase=before.phase,
            version=version,
            next=derive(project, rules).next,
        )
    if status.state == "done" and not status.already_done:
        best = work().best_version(project, rules, before=version)
        work().record_judgements(Version(project, version), rules, best)
    scored, receipt = Version(project, version), status.receipt
    state = where_now(project)
    job = job_of(scored.attempt("eval", status.attempt), status.progress) if status.progress else None
    return EvalResult(
        state=status.state,
        message=_message(scored.id, status, job),
        phase=state.phase,
        version=version,
        already_done=status.already_done,
        began=status.began,
        job=job,
        failure=failure_of(status.verdict),
        metrics={metric.name: metric.value for metric in receipt.metrics} if receipt else {},
        num_samples=receipt.num_samples if receipt else None,
        latency_ms=receipt.latency_ms if receipt else None,
        formulas=receipt.formulas if receipt else {},
        warnings=tuple(str(one) for one in receipt.warnings) if receipt else (),
        next=state.next,
    )


def _make_evaluator(project: Project, rules: Rules, loop: LoopFile) -> None:
    """The loop's own, where there is none; and made anew as long as it has scored nothing, since rules may change."""
    if not work().has_evaluator(project):
        work().write_evaluator(project, own_evaluator(rules, loop), author="template")
    elif (settings := work().renewable(project, loop)) is not None and work().served_family(loop.task_type):
        text = own_evaluator(rules, loop, settings)
        work().write_evaluator(project, text, author="template", settings=settings)


def _message(name: str, status: "EvalStatus", job: JobView | None) -> str:
    if job is not None:
        doing = "waits to be" if job.waiting else "is being"
        return f"{name} {doing} evaluated ({job.line}). Call again."
    if status.receipt is not None:
        return f"{name} is scored on {status.receipt.num_samples} samples: {metric_line(status.receipt.metrics)}."
    summary = status.verdict.summary[:600] if status.verdict else ""
    return f"The evaluation of {name} failed: {summary}. No score was published."


def own_evaluator(rules: Rules, loop: LoopFile, settings: "EvalSettings | None" = None) -> str:
    """The loop's own 03_eval.py for its task. Raises `EvaluationError` for one that it doesn't serve."""
    family = work().served_family(loop.task_type)
    if family is None:
        raise EvaluationError(
            f"has to be written: the loop's own doesn't serve task_type {loop.task_type!r}",
            where=EVAL_SCRIPT,
            hint="write it with write_eval(source); next_step's brief says what it gets and must leave",
        )
    return work().eval_script(rules, loop, family, settings)
