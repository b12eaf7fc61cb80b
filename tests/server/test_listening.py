"""How long and how much a client may send before it is heard: real sockets, an answer that waits at a gate."""

import contextlib
import http.client
import socket
import threading
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from progressive_training.server.listening import Limits, configured
from support.e2e import until

GET = b"GET /now HTTP/1.1\r\nHost: here\r\n\r\n"


@contextlib.contextmanager
def listening(limits: Limits, gate: threading.Event, asked: threading.Event | None = None) -> Iterator[int]:
    """The port of a server under these limits; `/later` sets `asked` and answers once the gate is open."""

    def now(_request: Request) -> Response:
        return PlainTextResponse("now")

    def later(_request: Request) -> Response:
        if asked is not None:
            asked.set()
        gate.wait(60)
        return PlainTextResponse("later")

    async def body(request: Request) -> Response:
        return PlainTextResponse(str(len(await request.body())))

    app = Starlette(routes=[Route("/now", now), Route("/later", later), Route("/body", body, methods=["POST"])])
    server = uvicorn.Server(configured(app, limits=limits))
    with socket.create_server(("127.0.0.1", 0)) as opened:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]})
        thread.start()
        try:
            until(lambda: server.started, "the server")
            yield opened.getsockname()[1]
        finally:
            gate.set()
            server.should_exit = True
            thread.join(60)


def connected(port: int, data: bytes = b"") -> socket.socket:
    opened = socket.create_connection(("127.0.0.1", port), timeout=60)
    opened.sendall(data)
    return opened


def status(opened: socket.socket) -> int | None:
    """The status of the next answer, all of which is read; None where the server hangs up."""
    answer = http.client.HTTPResponse(opened)
    with contextlib.suppress(ConnectionResetError, http.client.BadStatusLine):
        answer.begin()
        answer.read()
        return answer.status
    return None


def is_cut_off(opened: socket.socket, trickle: bytes) -> bool:
    """Whether the server hangs up on a client that sends a byte now and again."""
    opened.settimeout(0.05)
    for _ in range(400):
        try:
            opened.sendall(trickle)
            return not opened.recv(1)
        except TimeoutError:
            continue
        except (ConnectionResetError, BrokenPipeError):
            return True
    return False


@pytest.mark.parametrize(
    "begun",
    [b"", b"GET /now HTTP/1.1\r\nX: ", b"POST /body HTTP/1.1\r\nHost: here\r\nContent-Length: 90000\r\n\r\n"],
    ids=["nothing", "a header", "a body"],
)
def test_who_sends_slowly_is_cut_off_and_a_long_answer_is_not(begun: bytes) -> None:
    gate = threading.Event()
    with listening(Limits(head_seconds=0.3, body_seconds=0.3), gate) as port:
        waiting = connected(port, GET.replace(b"now", b"later"))
        assert is_cut_off(connected(port, begun), b"x" if begun else b"")
        gate.set()
        assert status(waiting) == 200


def test_a_second_request_of_a_connection_has_its_own_time() -> None:
    with listening(Limits(head_seconds=0.3), threading.Event()) as port:
        kept = connected(port)
        for _ in range(2):
            kept.sendall(GET)
            assert status(kept) == 200
        assert is_cut_off(kept, b"x")


def test_headers_without_an_end_are_refused() -> None:
    with listening(Limits(head_bytes=1024), threading.Event()) as port:
        assert status(connected(port, b"GET /now HTTP/1.1\r\nX: " + b"x" * 2048)) == 400
        assert status(connected(port, GET)) == 200


def test_idle_connections_make_room_and_who_waits_for_an_answer_keeps_theirs() -> None:
    gate, asked = threading.Event(), threading.Event()
    with listening(Limits(head_seconds=60, connections=3), gate, asked) as port:
        waiting = connected(port, GET.replace(b"now", b"later"))
        assert asked.wait(60)
        idle = [connected(port), connected(port)]
        more = [connected(port), connected(port)]
        assert [status(one) for one in idle] == [None, None]
        more[-1].sendall(GET)
        assert status(more[-1]) == 200
        gate.set()
        assert status(waiting) == 200
