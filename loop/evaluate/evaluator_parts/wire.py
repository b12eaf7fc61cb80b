"""Messages between the scorer and the processes that run the script: JSON with raw bytes, never a pickle.

Whatever a message holds, reading it runs no code: the scorer reads what a version's own code has written.
"""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

import numpy
import torch

from .trees import Box, Opaque, raw

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeArgument=false, reportUnknownLambdaType=false
# pyright: reportPrivateUsage=false
# What the script and torch hand over has no type here.

_HEAD = struct.Struct(">QQ")
_MOST_HEAD = 256 << 20
_ALIGNED = 64  # so that each tensor begins where its elements may
_KINDS = {str(kind).replace("torch.", ""): kind for kind in vars(torch).values() if isinstance(kind, torch.dtype)}


class Ended(Exception):
    """The other side is gone, or says what nobody understands."""


def dumps(value: Any) -> list[Any]:
    """The message as parts to be written one after another."""
    parts: list[Any] = []
    head = json.dumps(_packed(value, parts), ensure_ascii=False).encode("utf-8", "surrogatepass")
    return [_HEAD.pack(len(head), sum(len(part) for part in parts)), head, *parts]


def loads(data: Any) -> Any:
    """The value of a whole message. Raises `Ended` for what is none."""
    size, _ = _HEAD.unpack_from(data)
    return _read(bytes(memoryview(data)[_HEAD.size : _HEAD.size + size]), memoryview(data)[_HEAD.size + size :])


class Channel:
    """One end of a connection; each side sends and receives whole messages in turn."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def send(self, value: Any) -> None:
        try:
            for part in dumps(value):
                self._end.sendall(part)
        except OSError as error:
            raise Ended(str(error)) from None

    def receive(self) -> Any:
        """The next message. Raises `Ended`."""
        size, length = _HEAD.unpack(self._exactly(_HEAD.size))
        if size > _MOST_HEAD:
            raise Ended("a message is too large")
        return _read(bytes(self._exactly(size)), memoryview(self._exactly(length)))

    def ask(self, **request: Any) -> Any:
        self.send(request)
        return self.receive()

    def close(self) -> None:
        self._end.close()

    def _exactly(self, size: int) -> bytearray:
        data = bytearray(size)
        view, done = memoryview(data), 0
        while done < size:
            try:
                got = self._end.recv_into(view[done:])
            except OSError as error:
                raise Ended(str(error)) from None
            if not got:
                raise Ended("it ended")
            done += got
        return data


def pair() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair()


def _packed(value: Any, parts: list[Any]) -> Any:
    if isinstance(value, (torch.Tensor, numpy.ndarray)):
        is_tensor = isinstance(value, torch.Tensor)
        data: Any = raw(value.detach().cpu() if isinstance(value, torch.Tensor) else value)
        parts.append(memoryview(data) if len(data) else b"")
        parts.append(b"\0" * (-len(data) % _ALIGNED))
        kind = str(value.dtype).replace("torch.", "")
        return {"t" if is_tensor else "a": [kind, list(value.shape), len(data)]}
    if isinstance(value, Opaque):
        parts += [value.data, b"\0" * (-len(value.data) % _ALIGNED)]
        return {"o": [value.name, len(value.data)]}
    if isinstance(value, Box):
        return {
            "b": [value.kind, value.ref, [[_packed(key, parts), _packed(child, parts)] for key, child in value.items]]
        }
    if isinstance(value, (list, tuple)):
        return {"l" if isinstance(value, list) else "p": [_packed(one, parts) for one in value]}
    if isinstance(value, dict):
        return {"d": [[_packed(key, parts), _packed(child, parts)] for key, child in value.items()]}
    if isinstance(value, bytes):
        parts += [value, b"\0" * (-len(value) % _ALIGNED)]
        return {"y": len(value)}
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    return {"o": [type(value).__name__, 0]}


def _read(head: bytes, body: memoryview) -> Any:
    try:
        value, used = _unpacked(json.loads(head.decode("utf-8", "surrogatepass")), body, 0)
    except (ValueError, KeyError, TypeError, RecursionError, struct.error) as error:
        raise Ended(f"a message can't be read: {error}") from None
    if used != len(body):
        raise Ended("a message has another length")
    return value


def _unpacked(value: Any, body: memoryview, used: int) -> tuple[Any, int]:
    if not isinstance(value, dict):
        if isinstance(value, list):
            raise ValueError("a bare list")
        return value, used
    ((mark, content),) = value.items()
    if mark in ("t", "a"):
        kind, size, length = content
        return _array(mark, kind, size, body[used : used + length]), used + length + -length % _ALIGNED
    if mark == "y":
        return bytes(body[used : used + content]), used + content + -content % _ALIGNED
    if mark == "o":
        name, length = content
        return Opaque(name, bytes(body[used : used + length])), used + length + -length % _ALIGNED
    if mark in ("l", "p"):
        found = []
        for one in content:
            child, used = _unpacked(one, body, used)
            found.append(child)
        return (found if mark == "l" else tuple(found)), used
    pairs = content[2] if mark == "b" else content
    items = []
    for key, one in pairs:
        name, used = _unpacked(key, body, used)
        child, used = _unpacked(one, body, used)
        items.append((name, child))
    return (Box(content[0], content[1], tuple(items)) if mark == "b" else dict(items)), used


def _array(mark: str, kind: str, size: list[int], data: memoryview) -> Any:
    if mark == "a":
        found = numpy.frombuffer(data, dtype=numpy.dtype(kind)) if len(data) else numpy.empty(0, numpy.dtype(kind))
        return found.reshape(size)
    if not len(data):
        return torch.empty(size, dtype=_KINDS[kind])
    return torch.frombuffer(data, dtype=_KINDS[kind]).reshape(size)
