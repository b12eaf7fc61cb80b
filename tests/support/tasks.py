"""A client of the tasks extension: calls that may become tasks, and the tasks' three methods."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

import anyio
from mcp import Client
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim
from mcp_types import CallToolResult, Request, RequestParams, Result
from pydantic import ConfigDict, TypeAdapter

from progressive_training.server.protocol.tasks_extension import IDENTIFIER

from .e2e import plain_failures

_ANYTHING: Any = TypeAdapter(dict[str, Any])
OVER = ("completed", "cancelled", "failed")


class CreatedTask(Result):
    model_config = ConfigDict(extra="allow")
    result_type: Literal["task"]
    task_id: str
    status: str
    status_message: str | None = None


class _Params(RequestParams):
    model_config = ConfigDict(extra="allow")
    task_id: str


class _Request(Request[_Params, str]):
    name_param = "taskId"


class TasksOfClient(ClientExtension):
    identifier = IDENTIFIER

    def claims(self) -> Sequence[ResultClaim[Any]]:
        return (ResultClaim(result_type="task", model=CreatedTask, resolve=_resolved),)


async def _resolved(task: CreatedTask, context: ClaimContext) -> CallToolResult:
    """Polls to the end, as a client does that shows its user nothing of tasks."""
    while True:
        got = await context.session.send_request(
            _Request(method="tasks/get", params=_Params(task_id=task.task_id)), _ANYTHING
        )
        if got["status"] in OVER:
            return CallToolResult.model_validate(got["result"])
        await anyio.sleep(0.05)


@dataclass(frozen=True)
class Tasks:
    client: Client

    async def begin(self, tool: str, **arguments: Any) -> CreatedTask | CallToolResult:
        result = await self.client.session.call_tool(tool, arguments, allow_claimed=True)
        assert isinstance(result, CreatedTask | CallToolResult), result
        return result

    async def begun(self, tool: str, **arguments: Any) -> str:
        """The id of the task that this call must become."""
        created = await self.begin(tool, **arguments)
        assert isinstance(created, CreatedTask), created
        assert created.status == "working"
        return created.task_id

    async def ask(self, method: str, task_id: str, **more: Any) -> dict[str, Any]:
        request = _Request(method=f"tasks/{method}", params=_Params(task_id=task_id, **more))
        return await self.client.session.send_request(request, _ANYTHING)

    async def get(self, task_id: str) -> dict[str, Any]:
        return await self.ask("get", task_id)

    async def until(self, task_id: str, *statuses: str) -> dict[str, Any]:
        """The task as soon as it has one of these statuses; it must come to one within half a minute."""
        with anyio.fail_after(30):
            while (got := await self.get(task_id))["status"] not in statuses:
                await anyio.sleep(0.02)
        return got


@asynccontextmanager
async def tasks_of(server: Any, **others: Any) -> AsyncIterator[Tasks]:
    """A client that declares the extension."""
    with plain_failures():
        async with Client(server, extensions=[TasksOfClient()], **others) as client:
            yield Tasks(client)
