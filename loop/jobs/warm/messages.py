"""What the server and the runner of a spare say to each other, over the socket that the spare hangs on.

Standard library only: the runner's interpreter knows no package. In this order:

    the server  a SpareOrder: what to wait with
    the runner  {"pid": …, "stamp": …}, who it is; {"ended": why, "ready": had it imported all} if it is of no use
    the server  a Handover: the job, and with it the descriptor of the attempt's run.lock, which is held
    the runner  the report that every runner gives on a start: {"pid": …} or {"error": …}

Messages are lines of JSON. Only the order goes after its length: see receive_order.
"""

import json
import os
import socket
from pathlib import Path
from typing import Any, NamedTuple

_HEAD_BYTES = 8  # how long the order is, in digits


class SpareOrder(NamedTuple):
    """What to wait with. `argv` is the interpreter and its options; `wrapper` has `folder`/tmp as its /tmp.

    `doors` are the folders that hold nothing in it but what is the job's own, of which it knows nothing yet.
    """

    folder: str
    argv: tuple[str, ...]
    cwd: str
    env: dict[str, str]
    wrapper: tuple[str, ...]
    doors: tuple[str, ...]
    max_file_bytes: int | None
    imports: tuple[str, ...]
    root: str
    idle_seconds: float
    delay_seconds: float


class Handover(NamedTuple):
    """The job that a spare is to become, as user_interpreter.py reads it. `lock` is a descriptor, which holds it."""

    attempt: Path
    lock: int
    job: dict[str, Any]


def send_order(line: socket.socket, order: SpareOrder) -> None:
    text = json.dumps(order._asdict()).encode()
    line.sendall(b"%*d" % (_HEAD_BYTES, len(text)) + text)


def receive_order(line: socket.socket) -> SpareOrder | None:
    """The server's first message; None if the server is gone."""
    # To its last byte and no further. The job may follow at once, and the descriptor that comes with it is lost to
    # whoever takes the job's first byte with a plain recv instead of recv_fds: the attempt would then hold no lock.
    received, length = b"", _HEAD_BYTES
    while len(received) < length:
        data = line.recv(length - len(received))
        if not data:
            return None
        received += data
        if len(received) == _HEAD_BYTES:
            length += int(received)
    return SpareOrder(**json.loads(received[_HEAD_BYTES:]))


def send_handover(line: socket.socket, handover: Handover) -> None:
    """Raises: OSError; TimeoutError if the socket has a time limit."""
    message = json.dumps({"attempt": str(handover.attempt), "job": handover.job}).encode() + b"\n"
    # The descriptor goes with the first byte, however much of the rest the socket takes at once.
    sent = socket.send_fds(line, [message], [handover.lock])
    line.sendall(message[sent:])


class HandoverReader:
    """Puts a handover together from what has arrived."""

    MAX_BYTES = 1 << 20

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._received = b""
        self._lock = -1

    def read(self) -> bool:
        """Takes what is there; False when the server is gone, or says more than a handover can be."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self._line, 1 << 16, 1)
        except OSError:
            return False
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
            self._lock = descriptor
        self._received += data
        return bool(data) and len(self._received) <= self.MAX_BYTES

    def whole(self) -> Handover | None:
        """The handover, once all of it is there."""
        if not self._received.endswith(b"\n") or self._lock < 0:
            return None
        message = json.loads(self._received)
        return Handover(Path(message["attempt"]), self._lock, message["job"])
