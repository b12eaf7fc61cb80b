"""Subscriptions to loop://status: subscribers get a notification of each change, in either protocol era."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
from mcp.server.context import ServerRequestContext
from mcp.server.mcpserver import MCPServer
from mcp.server.session import ServerSession
from mcp.server.subscriptions import InMemorySubscriptionBus, ResourceUpdated, ServerEvent
from mcp_types import EmptyResult, SubscribeRequestParams, UnsubscribeRequestParams

from ...loop.project.project import Project

STATUS_URI = "loop://status"


class StatusWatch(InMemorySubscriptionBus):
    """Looks at the project twice a second while somebody is subscribed, and not at all otherwise.

    Clients of 2026-07-28 listen on this bus. For older ones it keeps the sessions that called resources/subscribe,
    until they unsubscribe or are gone.
    """

    def __init__(self, project: Project) -> None:
        super().__init__()
        self._project = project
        self._listening = 0
        self._sessions: dict[int, ServerSession] = {}
        self._wanted: anyio.Event | None = None  # set once somebody subscribes
        self._unwanted: anyio.Event | None = None  # set once nobody is left

    def subscribe(self, listener: Callable[[ServerEvent], None]) -> Callable[[], None]:
        remove = super().subscribe(listener)
        active = True
        self._listening += 1
        self._wake()

        def unsubscribe() -> None:
            nonlocal active
            self._listening -= active
            active = False
            remove()
            self._rest()

        return unsubscribe

    def serve_older_clients(self, server: MCPServer[Any]) -> None:
        """Adds resources/subscribe and resources/unsubscribe, which 2026-07-28 no longer has and `MCPServer` never."""
        lowlevel = server._lowlevel_server  # pyright: ignore[reportPrivateUsage]
        lowlevel.add_request_handler("resources/subscribe", SubscribeRequestParams, self._subscribe_session)
        lowlevel.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, self._unsubscribe_session)

    @asynccontextmanager
    async def running(self, server: MCPServer[Any]) -> AsyncGenerator[dict[str, Any]]:
        """The server's lifespan: the watch ends with it."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._watch)
            yield {}
            tasks.cancel_scope.cancel()

    async def _subscribe_session(
        self, ctx: ServerRequestContext[Any, Any], params: SubscribeRequestParams
    ) -> EmptyResult:
        if params.uri == STATUS_URI:
            # The SDK says that handlers push their clean-up here, and gives them no other way to it.
            connection = ctx.session._connection  # pyright: ignore[reportPrivateUsage]
            if id(connection) not in self._sessions:
                connection.exit_stack.callback(self._forget, id(connection))
            self._sessions[id(connection)] = ctx.session
            self._wake()
        return EmptyResult()

    async def _unsubscribe_session(
        self, ctx: ServerRequestContext[Any, Any], params: UnsubscribeRequestParams
    ) -> EmptyResult:
        if params.uri == STATUS_URI:
            self._forget(id(ctx.session._connection))  # pyright: ignore[reportPrivateUsage]
        return EmptyResult()

    @property
    def watching(self) -> bool:
        """Whether anybody is subscribed."""
        return bool(self._listening or self._sessions)

    def _wake(self) -> None:
        if self._wanted is not None:
            self._wanted.set()

    def _forget(self, connection: int) -> None:
        self._sessions.pop(connection, None)
        self._rest()

    def _rest(self) -> None:
        if self._unwanted is not None and not self.watching:
            self._unwanted.set()

    async def _watch(self) -> None:
        while True:
            if not self.watching:
                self._wanted = anyio.Event()
                await self._wanted.wait()
            await self._tell_changes()

    async def _tell_changes(self) -> None:
        """Tells of each change, for as long as somebody is subscribed."""
        from ..changes import changes  # it imports what scores a report, which a server's start must not wait for

        self._unwanted = anyio.Event()
        state: str | None = None
        async for seen in changes(self._project, self._unwanted):
            if state not in (None, seen.state):
                await self._tell()
            state = seen.state

    async def _tell(self) -> None:
        await self.publish(ResourceUpdated(uri=STATUS_URI))
        for key, session in list(self._sessions.items()):
            try:
                await session.send_resource_updated(STATUS_URI)
            except (anyio.ClosedResourceError, anyio.BrokenResourceError):
                self._forget(key)
