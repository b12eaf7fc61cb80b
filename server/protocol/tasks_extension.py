"""The tasks extension (`io.modelcontextprotocol/tasks`): a call that starts a job may answer with a task to poll.

Only for a client that declares the extension on the very request, and only at protocol versions that know it; every
other client starts and polls with the tool itself. What a task is, and where it is kept, is a `TaskStore`'s business.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.extension import Extension, MethodBinding
from mcp.server.mcpserver import require_client_extension
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import MCP_NAME_HEADER, decode_header_value
from mcp_types import INVALID_PARAMS, CallToolRequestParams, RequestParams
from mcp_types.jsonrpc import HEADER_MISMATCH
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import JsonValue

IDENTIFIER = "io.modelcontextprotocol/tasks"
TaskStatus = Literal["working", "input_required", "completed", "cancelled", "failed"]
RequestContext = ServerRequestContext[Any, Any]
_VERSIONS = frozenset(MODERN_PROTOCOL_VERSIONS)


@dataclass(frozen=True)
class Task:
    """A task as a client sees it. Times are ISO 8601; `result`, `error`, `input_requests` go with their status."""

    task_id: str
    status: TaskStatus
    created_at: str
    updated_at: str
    message: str | None = None
    poll_seconds: float = 2.0
    result: Mapping[str, JsonValue] | None = None
    error: Mapping[str, JsonValue] | None = None
    input_requests: Mapping[str, JsonValue] | None = None

    def created(self) -> dict[str, Any]:
        """CreateTaskResult: without what only `tasks/get` tells."""
        return {"resultType": "task", **self._common()}

    def detailed(self) -> dict[str, Any]:
        """GetTaskResult."""
        more = {"result": self.result, "error": self.error, "inputRequests": self.input_requests}
        return {
            "resultType": "complete",
            **self._common(),
            **{key: value for key, value in more.items() if value is not None},
        }

    def _common(self) -> dict[str, Any]:
        told = {} if self.message is None else {"statusMessage": self.message}
        return {
            "taskId": self.task_id,
            "status": self.status,
            "createdAt": self.created_at,
            "lastUpdatedAt": self.updated_at,
            "ttlMs": None,
            "pollIntervalMs": int(self.poll_seconds * 1000),
            **told,
        }


class TaskStore(Protocol):
    """Who makes and keeps tasks. `get`, `update` and `cancel` say None or False for an id that isn't theirs."""

    @property
    def tools(self) -> frozenset[str]:
        """The tools whose calls may become tasks."""
        ...

    async def start(
        self, params: CallToolRequestParams, ctx: RequestContext, call_next: CallNext
    ) -> Task | HandlerResult:
        """Runs the call; a `Task` only if it is kept so that `get` finds it from now on."""
        ...

    async def get(self, task_id: str, ctx: RequestContext) -> Task | None: ...

    async def update(self, task_id: str, responses: Mapping[str, JsonValue]) -> bool: ...

    async def cancel(self, task_id: str) -> bool: ...


class TaskParams(RequestParams):
    task_id: str


class UpdateParams(TaskParams):
    input_responses: dict[str, JsonValue]


class TasksExtension(Extension):
    """Serves the tasks of its stores; the first store that knows a tool or an id has it."""

    identifier = IDENTIFIER

    def __init__(self, stores: Sequence[TaskStore]) -> None:
        self._stores = tuple(stores)

    def methods(self) -> Sequence[MethodBinding]:
        return (
            MethodBinding("tasks/get", TaskParams, self._get, _VERSIONS),
            MethodBinding("tasks/update", UpdateParams, self._update, _VERSIONS),
            MethodBinding("tasks/cancel", TaskParams, self._cancel, _VERSIONS),
        )

    async def intercept_tool_call(
        self, params: CallToolRequestParams, ctx: RequestContext, call_next: CallNext
    ) -> HandlerResult:
        store = next((store for store in self._stores if params.name in store.tools), None)
        if store is None or ctx.protocol_version not in _VERSIONS or not _declared(ctx):
            return await call_next(ctx)
        started = await store.start(params, ctx, call_next)
        return started.created() if isinstance(started, Task) else started

    async def _get(self, ctx: RequestContext, params: TaskParams) -> HandlerResult:
        _check(ctx, params)
        for store in self._stores:
            task = await store.get(params.task_id, ctx)
            if task is not None:
                return task.detailed()
        raise _unknown(params.task_id)

    async def _update(self, ctx: RequestContext, params: UpdateParams) -> HandlerResult:
        return await self._acknowledged(ctx, params, lambda store: store.update(params.task_id, params.input_responses))

    async def _cancel(self, ctx: RequestContext, params: TaskParams) -> HandlerResult:
        return await self._acknowledged(ctx, params, lambda store: store.cancel(params.task_id))

    async def _acknowledged(
        self, ctx: RequestContext, params: TaskParams, act: Callable[[TaskStore], Awaitable[bool]]
    ) -> HandlerResult:
        _check(ctx, params)
        for store in self._stores:
            if await act(store):
                return {"resultType": "complete"}
        raise _unknown(params.task_id)


async def refuse_undeclared_listening(ctx: RequestContext, call_next: CallNext) -> HandlerResult:
    """Middleware: only a client that declared the extension may listen for tasks. Nothing is sent: they are polled."""
    if ctx.method == "subscriptions/listen" and ctx.params is not None:
        wanted = ctx.params.get("notifications")
        if isinstance(wanted, Mapping) and "taskIds" in wanted:
            require_client_extension(ctx, IDENTIFIER)
    return await call_next(ctx)


def _check(ctx: RequestContext, params: TaskParams) -> None:
    """The client knows tasks, and over HTTP the header that intermediaries route by names the same one."""
    require_client_extension(ctx, IDENTIFIER)
    headers: Mapping[str, str] = getattr(ctx.request, "headers", {})
    routed = headers.get(MCP_NAME_HEADER)
    if routed is not None and decode_header_value(routed) != params.task_id:
        raise MCPError(HEADER_MISMATCH, f"{MCP_NAME_HEADER} is not the taskId of the request")


def _declared(ctx: RequestContext) -> bool:
    capabilities = ctx.session.client_capabilities
    return capabilities is not None and IDENTIFIER in (capabilities.extensions or {})


def _unknown(task_id: str) -> MCPError:
    return MCPError(INVALID_PARAMS, f"there is no task {task_id!r}; call next_step to see what runs")
