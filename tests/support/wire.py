"""A server over stdio, spoken to line by line: also lines that no client library would send."""

import contextlib
import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from .e2e import PROGRAM, environment


class Wire:
    """The client's end. Answers come in any order; each is kept until it is asked for."""

    def __init__(self, sender: IO[bytes], receiver: IO[bytes]) -> None:
        self._sender, self._receiver = sender, receiver
        self._answers: dict[Any, dict[str, Any]] = {}
        self._last = 0

    def open(self) -> None:
        """The handshake of the protocol that every client speaks."""
        self.request(
            "initialize", protocolVersion="2025-06-18", capabilities={}, clientInfo={"name": "w", "version": "1"}
        )
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def close(self) -> None:
        """The client goes: the server's stdin ends."""
        self._sender.close()

    def line(self, data: bytes) -> None:
        self._sender.write(data + b"\n")
        self._sender.flush()

    def send(self, message: Any) -> None:
        self.line(json.dumps(message).encode())

    def ask(self, method: str, **params: Any) -> int:
        """Sends a request without waiting; its id."""
        self._last += 1
        self.send({"jsonrpc": "2.0", "id": self._last, "method": method, "params": params})
        return self._last

    def answer(self, number: int | None) -> dict[str, Any]:
        """The answer to that request; None: the latest notification. Raises `EOFError` if the server ended before."""
        while number not in self._answers:
            line = self._receiver.readline()
            if not line:
                raise EOFError(f"the server ended before it answered {number}")
            message = json.loads(line)
            self._answers[message.get("id")] = message
        return self._answers.pop(number)

    def request(self, method: str, **params: Any) -> dict[str, Any]:
        return self.answer(self.ask(method, **params))

    def call(self, tool: str, arguments: Any) -> dict[str, Any]:
        """The whole answer: a `result` with `isError` or an `error`."""
        return self.request("tools/call", name=tool, arguments=arguments)


@contextlib.contextmanager
def served(
    project: Path, *, before: Sequence[str] = (), env: Mapping[str, str] | None = None, seconds: float = 120
) -> Iterator[tuple[Wire, "subprocess.Popen[bytes]"]]:
    """A server process for a project, past the handshake; `before` is a command that runs it. Ended at exit.

    After `seconds` it is killed: whoever waits for an answer then gets an `EOFError`.
    """
    process = subprocess.Popen(
        [*before, *PROGRAM, "serve", "--project", str(project)],
        cwd=project,
        env={**environment(), **(env or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdin is not None and process.stdout is not None
    limit = threading.Timer(seconds, os.killpg, (process.pid, signal.SIGKILL))
    limit.start()
    try:
        wire = Wire(process.stdin, process.stdout)
        wire.open()
        yield wire, process
    finally:
        with contextlib.suppress(OSError):
            process.stdin.close()
        process.wait()
        limit.cancel()
        process.stdout.close()
