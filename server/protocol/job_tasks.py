"""The loop's jobs as tasks of the protocol: whoever polls one gets the result of the Step that it stands for."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal, cast, get_args

import anyio.to_thread
from mcp.server.context import CallNext, HandlerResult
from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR, CallToolRequestParams, CallToolResult, ElicitResult
from pydantic import BaseModel, JsonValue, ValidationError

from ...loop.errors import Busy, LoopError, OutOfOrder, UserDecision
from ...loop.project.attempts import JobKind
from ...loop.project.project import Project
from ...loop.project.state import derive, next_call
from ...loop.project.version import Version
from ...loop.store import journal
from ...loop.store.paths import version_number
from ...tools import StepResult, cancel_run, final_report, run_eval, run_train, start_loop
from ...tools.results import JobView
from ..answers import answer, refusal
from .task_records import TaskRecord, TaskRecords, ToldArguments, Tool
from .tasks_extension import RequestContext, Task
from .user_decisions import accept, can_ask, is_yes, question

_KINDS: Mapping[Tool, JobKind] = {"start_loop": "rehearse", "run_train": "train", "run_eval": "eval"}
_TOOLS: Mapping[JobKind, Tool] = {kind: tool for tool, kind in _KINDS.items()}


class _Running(BaseModel):
    """The result of a Step whose job goes on."""

    state: Literal["running"]
    job: JobView
    message: str


class LoopTasks:
    """The `TaskStore` of one project."""

    tools: frozenset[str] = frozenset((*get_args(Tool), "author_next_version"))

    def __init__(self, project: Project) -> None:
        self._project = project
        self._records = TaskRecords(project)

    async def start(
        self, params: CallToolRequestParams, ctx: RequestContext, call_next: CallNext
    ) -> Task | HandlerResult:
        result = await call_next(ctx)
        content = cast(object, result.structured_content) if isinstance(result, CallToolResult) else None
        try:
            running = _Running.model_validate(content)
        except ValidationError:
            return result
        try:
            task_id, record = await anyio.to_thread.run_sync(self._create, params, running.job)
        except (LoopError, OSError):
            # The job runs all the same, and its plain result says how to go on with it.
            return result
        line = running.message if record.tool == "final_report" else running.job.line
        return _working(task_id, record, line, running.job.eta_seconds)

    async def get(self, task_id: str, ctx: RequestContext) -> Task | None:
        record = await anyio.to_thread.run_sync(self._records.load, task_id)
        if record is None or record.status != "working":
            return None if record is None else _ended(task_id, record)
        try:
            return await self._looked(task_id, record, ctx)
        except Busy as error:  # of the task that says nothing, and the next look may tell
            return _working(task_id, record, error.what)
        except LoopError as error:
            raise MCPError(INTERNAL_ERROR, str(error)) from error

    async def _looked(self, task_id: str, record: TaskRecord, ctx: RequestContext) -> Task:
        try:
            result = await anyio.to_thread.run_sync(self._call(record))
        except Busy:
            raise
        except UserDecision as decision:
            if not record.declined and can_ask(ctx.session.client_capabilities):
                return await self._asked(task_id, record, decision)
            return await self._end(task_id, record, await refusal(self._project, decision))
        except (LoopError, OSError) as error:
            return await self._end(task_id, record, await refusal(self._project, error))
        if result.state == "running":
            if record.tool == "final_report" and result.folders != record.awaited:
                waits = {"awaited": result.folders}
                record = await anyio.to_thread.run_sync(self._records.change, task_id, record, waits)
            elif record.tool == "run_train" and result.job is not None and result.job.kind == "eval":
                goes_on = {"tool": "run_eval", "attempt": result.job.attempt}
                record = await anyio.to_thread.run_sync(self._records.change, task_id, record, goes_on)
            return _working(task_id, record, result.line, result.job.eta_seconds if result.job else None)
        cancelled = result.failure is not None and result.failure.kind == "cancelled"
        return await self._end(task_id, record, answer(result), cancelled=cancelled)

    async def update(self, task_id: str, responses: Mapping[str, JsonValue]) -> bool:
        record = await anyio.to_thread.run_sync(self._records.load, task_id)
        if record is None:
            return False
        response = responses.get(record.question)
        if record.pending is None or response is None:
            return True
        try:
            agreed = is_yes(ElicitResult.model_validate(response))
        except ValidationError:
            agreed = False
        try:
            if agreed:
                await accept(self._project, record.pending, record.about)
            answered = {"pending": None, "answered": record.answered + 1, "declined": not agreed}
            await anyio.to_thread.run_sync(self._records.change, task_id, record, answered)
        except LoopError as error:
            raise MCPError(INTERNAL_ERROR, str(error)) from error
        return True

    async def cancel(self, task_id: str) -> bool:
        record = await anyio.to_thread.run_sync(self._records.load, task_id)
        if record is None:
            return False
        if record.status == "working":
            try:
                await anyio.to_thread.run_sync(self._cancel, task_id, record)
            except LoopError as error:
                raise MCPError(INTERNAL_ERROR, str(error)) from error
        return True

    def _create(self, params: CallToolRequestParams, job: JobView) -> tuple[str, TaskRecord]:
        """The task of this job: the one that waits for it already, or a new one."""
        given = params.arguments or {}
        current = self._project.versions()[-1]
        if params.name == "final_report":
            told = ToldArguments(analysis=given.get("analysis"), stop_reason=given.get("stop_reason"))
            # it has many jobs, one after another, and is still one task
            return self._records.of("final_report", current, 0, told, current=current, awaited=(job.folder,))
        number = version_number(job.folder.split("/")[-2])
        assert number is not None, "a version's job lies in the version's folder"
        # What trains and evaluates in one call is a task of the job that runs: the next one takes its place.
        chained = params.name == "author_next_version"
        then = ToldArguments(
            then_evaluate=chained or bool(given.get("then_evaluate")), brief=chained or bool(given.get("brief"))
        )
        return self._records.of(_TOOLS[job.kind], number, job.attempt, then, current=current)

    def _call(self, record: TaskRecord) -> Callable[[], StepResult]:
        """The Step that reports on the job, and starts none in its place."""
        if record.tool == "start_loop":
            return partial(start_loop, self._project, attach=record.attempt)
        if record.tool == "run_train":
            then = {"then_evaluate": record.then_evaluate, "brief": record.brief}
            return partial(run_train, self._project, record.version, attach=record.attempt, **then)
        if record.tool == "run_eval":
            return partial(run_eval, self._project, record.version, brief=record.brief, attach=record.attempt)
        return partial(self._report, record)

    def _report(self, record: TaskRecord) -> StepResult:
        state = derive(self._project, self._project.rules())
        if state.cur != record.current:
            raise OutOfOrder("the loop has gone on since this report was begun", hint=next_call(state))
        return final_report(self._project, record.analysis, record.stop_reason, awaited=record.awaited)

    def _cancel(self, task_id: str, record: TaskRecord) -> None:
        from ...loop.report.cancel import cancel_report

        if record.tool == "final_report":
            # First: nobody who looks at the task shall start the next jobs.
            self._records.change(task_id, record, _cancelled())
            cancel_report(self._project)
            return
        attempt = Version(self._project, record.version).attempt(_KINDS[record.tool], record.attempt)
        # One that had ended by itself keeps the result that it came to.
        if attempt.verdict is None and not cancel_run(self._project, record.version).already_done:
            self._records.change(task_id, record, _cancelled())

    async def _asked(self, task_id: str, record: TaskRecord, decision: UserDecision) -> Task:
        if (record.pending, record.about) != (decision.subject, decision.digest):
            asked = {"pending": decision.subject, "about": decision.digest, "updated_at": journal.now()}
            record = await anyio.to_thread.run_sync(self._records.change, task_id, record, asked)
            if record.status != "working":
                return _ended(task_id, record)
        request = question(decision).model_dump(mode="json", by_alias=True, exclude_none=True)
        return Task(
            task_id=task_id,
            status="input_required",
            created_at=record.created_at,
            updated_at=record.updated_at,
            message=decision.what,
            input_requests={record.question: request},
        )

    async def _end(self, task_id: str, record: TaskRecord, result: CallToolResult, *, cancelled: bool = False) -> Task:
        ended = {
            "status": "cancelled" if cancelled else "completed",
            "result": result.model_dump(mode="json", by_alias=True, exclude_none=True),
            "pending": None,
            "updated_at": journal.now(),
        }
        return _ended(task_id, await anyio.to_thread.run_sync(self._records.change, task_id, record, ended))


def _cancelled() -> Mapping[str, object]:
    return {"status": "cancelled", "updated_at": journal.now()}


def _working(task_id: str, record: TaskRecord, message: str, eta: float | None = None) -> Task:
    return Task(
        task_id=task_id,
        status="working",
        created_at=record.created_at,
        updated_at=journal.now(),
        message=message,
        poll_seconds=2.0 if eta is None else min(max(eta / 3, 1.0), 15.0),
    )


def _ended(task_id: str, record: TaskRecord) -> Task:
    return Task(
        task_id=task_id,
        status=record.status,
        created_at=record.created_at,
        updated_at=record.updated_at,
        message="cancelled on request" if record.status == "cancelled" else None,
        result=record.result if record.status == "completed" else None,
    )
