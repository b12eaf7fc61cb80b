"""The suite's task-supporting tools, kept in memory: what a store of tasks looks like to the extension."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from mcp.server.context import CallNext, HandlerResult
from mcp_types import CallToolRequestParams, InputRequiredResult
from pydantic import JsonValue

from progressive_training.server.protocol.tasks_extension import RequestContext, Task

from .asking_fixtures import form

_QUESTIONS: Mapping[str, tuple[str, ...]] = {"confirm_delete": ("confirm",), "multi_input": ("first", "second")}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@dataclass
class _Fixture:
    tool: str
    ends: float
    result: dict[str, Any]
    open_questions: set[str]
    created_at: str = field(default_factory=_now)
    cancelled: bool = False


class FixtureTasks:
    """The `TaskStore` of the suite's tools."""

    tools = frozenset(
        {"slow_compute", "failing_job", "protocol_error_job", "confirm_delete", "multi_input", "test_tool_with_task"}
    )

    def __init__(self) -> None:
        self._tasks: dict[str, _Fixture] = {}

    async def start(
        self, params: CallToolRequestParams, ctx: RequestContext, call_next: CallNext
    ) -> Task | HandlerResult:
        result: dict[str, Any] = {"content": [{"type": "text", "text": f"{params.name} is done"}]}
        if params.name == "test_tool_with_task":
            called = await call_next(ctx)
            if isinstance(called, InputRequiredResult) or not hasattr(called, "model_dump"):
                return called
            result = called.model_dump(mode="json", by_alias=True, exclude_none=True)  # type: ignore[union-attr]
        if params.name == "failing_job":
            result["isError"] = True
        seconds = float((params.arguments or {}).get("seconds", 0.3))
        questions = {f"{key}_{secrets.token_hex(4)}" for key in _QUESTIONS.get(params.name, ())}
        task_id = secrets.token_hex(16)
        self._tasks[task_id] = _Fixture(params.name, time.monotonic() + seconds, result, questions)
        return self._task(task_id, "working")

    async def get(self, task_id: str, ctx: RequestContext) -> Task | None:
        known = self._tasks.get(task_id)
        if known is None:
            return None
        if known.cancelled:
            return self._task(task_id, "cancelled")
        if known.open_questions:
            asked = {key: form(f"Answer {key}", "confirm", "boolean") for key in sorted(known.open_questions)}
            wire: dict[str, JsonValue] = {
                key: request.model_dump(mode="json", by_alias=True, exclude_none=True) for key, request in asked.items()
            }
            return self._task(task_id, "input_required", input_requests=wire)
        if time.monotonic() < known.ends:
            return self._task(task_id, "working")
        if known.tool == "protocol_error_job":
            return self._task(task_id, "failed", error={"code": -32603, "message": "it broke"})
        return self._task(task_id, "completed", result=known.result)

    async def update(self, task_id: str, responses: Mapping[str, JsonValue]) -> bool:
        known = self._tasks.get(task_id)
        if known is not None:
            known.open_questions -= set(responses)
        return known is not None

    async def cancel(self, task_id: str) -> bool:
        known = self._tasks.get(task_id)
        if (known is not None and time.monotonic() < known.ends) or (known is not None and known.open_questions):
            known.cancelled = True
        return known is not None

    def _task(self, task_id: str, status: Any, **more: Any) -> Task:
        created = self._tasks[task_id].created_at
        return Task(task_id, status, created, _now(), poll_seconds=0.1, **more)
