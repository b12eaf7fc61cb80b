"""Listening for HTTP: uvicorn, with an end to who sends slowly, sends endless headers or opens connections only."""

import asyncio
import resource
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from starlette.types import ASGIApp

# An open page or a client that listens for changes holds its stream open; without an end, Ctrl-C would wait for it.
_LAST_SECONDS = 3


@dataclass(frozen=True)
class Limits:
    """`head_seconds` are for a request line with its headers, `body_seconds` for what follows, however it trickles.

    An answer may take as long as it likes: trainings are waited for, and pages listen for changes.
    """

    head_seconds: float = 10
    body_seconds: float = 30
    head_bytes: int = 16 * 1024
    connections: int = 512


LIMITS = Limits()


def configured(app: "ASGIApp", host: str = "127.0.0.1", port: int = 0, limits: Limits = LIMITS) -> uvicorn.Config:
    """How all of our HTTP is served."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = limits.connections if files == resource.RLIM_INFINITY else min(limits.connections, max(files // 2, 1))

    # By what h11 calls the client's state: before a request, and in its body.
    given = {str(h11.IDLE): limits.head_seconds, str(h11.SEND_BODY): limits.body_seconds}
    waiting: dict[_Limited, asyncio.TimerHandle] = {}

    class Limited(_Limited):
        seconds, most_connections, waited_for = given, most, waiting

    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=Limited,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        h11_max_incomplete_event_size=limits.head_bytes,
        timeout_graceful_shutdown=_LAST_SECONDS,
    )


class _Limited(H11Protocol):
    """One connection. A deadline is set where a part of a request begins, and no byte that comes puts it off."""

    seconds: Mapping[str, float]
    most_connections: int
    waited_for: "dict[_Limited, asyncio.TimerHandle]"
    _part = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._look()
        if len(self.connections) > self.most_connections:
            # The one that has kept us waiting for longest: at most this one, if all others are being answered.
            oldest = next(iter(self.waited_for))
            oldest.transport.abort()
            oldest.forget()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.forget()

    def handle_events(self) -> None:
        super().handle_events()
        self._look()

    def _look(self) -> None:
        """Sets the deadline of the part that the client is to send now, and none while it waits for us."""
        part = str(self.conn.their_state)
        if part != self._part:
            self._part = part
            self._stop_waiting()
            if part in self.seconds:
                self.waited_for[self] = self.loop.call_later(self.seconds[part], self.transport.abort)

    def forget(self) -> None:
        """It counts no longer, though its end may be told to us later."""
        self.connections.discard(self)
        self._stop_waiting()

    def _stop_waiting(self) -> None:
        if (deadline := self.waited_for.pop(self, None)) is not None:
            deadline.cancel()
