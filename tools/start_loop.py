"""Step 0: start the loop, and rehearse its first version."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ..loop.project.project import Project
from ..loop.project.receipts import FindingCode, FindingLevel, LoopFile
from ..loop.project.version import Version
from ..loop.rules.reading import Rules
from ..loop.store.paths import EVAL_SCRIPT, version_id
from .results import JobView, StepResult, Value, failure_of, job_of, where_now, work

if TYPE_CHECKING:
    from ..loop.author.start import Started
    from ..loop.rehearse.rehearsal import RehearsalStatus


class RehearsalFinding(Value):
    """`code` is for programs, `text` for people."""

    code: FindingCode
    level: FindingLevel
    text: str


class StartResult(StepResult):
    dataset_id: str
    task_type: str | None
    val_samples: int | None
    findings: tuple[str, ...]
    rehearsal: tuple[RehearsalFinding, ...] = ()


def start_loop(
    project: Project,
    dataset_id: str | None = None,
    patch: Annotated[str | None, Field(description="diff that makes the baseline consistent, never better")] = None,
    *,
    from_baseline: bool = False,
    attach: int | None = None,
) -> StartResult:
    """Start (or adopt) the loop when the user asks: freezes the data, audits the baseline, makes and rehearses v001."""
    started = work().start_loop(project, dataset_id, patch, from_baseline=from_baseline)
    rules = project.rules()
    version = Version(project, started.cur)
    rehearsed = work().rehearse(project, started.cur, lambda loop: _evaluator(project, rules, loop), attach=attach)
    is_new = rehearsed.attempt > 0 or not started.already_done
    if rehearsed.state != "running" and is_new and not rehearsed.already_done:
        # Not before: two interpreters that get ready would take the rehearsal's processors.
        work().expect_first(version, rules)
    state = where_now(project)
    job = job_of(version.attempt("rehearse", rehearsed.attempt), rehearsed.progress) if rehearsed.progress else None
    findings = [*started.findings]
    findings += [f"stats.json doesn't say: {name}" for name in started.stats.unknown]
    if (said := work().unconfined(rules.file.execution_config)) is not None:
        findings.append(str(said))
    loop = started.loop
    already = started.already_done and (rehearsed.already_done or rehearsed.state == "off")
    return StartResult(
        state="running" if rehearsed.state == "running" else "failed" if rehearsed.state == "failed" else "done",
        message=_message(started, rehearsed, job, known=already),
        phase=state.phase,
        version=started.cur,
        already_done=already,
        job=job,
        failure=failure_of(rehearsed.verdict),
        dataset_id=loop.dataset_id,
        task_type=loop.task_type,
        val_samples=loop.val_samples,
        findings=tuple(findings),
        rehearsal=_shown(rehearsed),
        next=state.next,
    )


def _message(started: "Started", rehearsed: "RehearsalStatus", job: JobView | None, *, known: bool) -> str:
    verb = "was started already" if known else "is started"
    loop, name = started.loop, version_id(started.cur)
    said = f"The loop {verb} on data set {loop.dataset_id} (from: {loop.dataset_source}), at {name}."
    if job is not None:
        doing = "waits to be rehearsed" if job.waiting else "is being rehearsed"
        return f"{said} {name} {doing} ({job.line}), two minutes at most. Call again."
    if rehearsed.receipt is not None:
        where = f"Models/Artifacts/{name}/{work().PAGE}"
        lines = [f"{said} {work().headline(rehearsed.receipt)} ({where}).", *work().worst(rehearsed.receipt)]
        return "\n- ".join(lines)
    if rehearsed.verdict is not None:
        return f"{said} Its rehearsal ended by: {rehearsed.verdict.kind}. The loop may go on without it."
    return f"{said} It could not be rehearsed: {rehearsed.unable}" if rehearsed.unable else said


def _shown(rehearsed: "RehearsalStatus") -> tuple[RehearsalFinding, ...]:
    receipt = rehearsed.receipt
    found = receipt.findings if receipt is not None else ()
    return tuple(
        RehearsalFinding(code=one.code, level=one.level, text=str(work().finding_told(one))[:700]) for one in found
    )


def _evaluator(project: Project, rules: Rules, loop: LoopFile) -> str | None:
    """The project's own 03_eval.py, else a template's; None for a task that no template serves."""
    if work().has_evaluator(project):
        return project.workspace.tree.read(EVAL_SCRIPT).decode("utf-8", "replace")
    family = work().served_family(loop.task_type)
    return work().eval_script(rules, loop, family) if family is not None else None
