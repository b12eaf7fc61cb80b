"""Messages between the scorer and the processes that run the script: JSON with raw bytes, never a pickle.

Whatever a message holds, reading it runs no code: the scorer reads what a version's own code has written. Large tensors
lie in memory of their own (`blocks`, Linux), so that a batch goes from process to process without being copied.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
from typing import Any

import numpy
import torch

from ..trees import Box, Opaque, raw
from . import blocks

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


def dumps(value: Any, shared: list[blocks.Block] | None = None) -> list[Any]:
    """The message as parts to be written one after another; what was put into `shared` goes beside it."""
    parts: list[Any] = []
    head = json.dumps(_packed(value, parts, shared), ensure_ascii=False).encode("utf-8", "surrogatepass")
    return [_HEAD.pack(len(head), sum(len(part) for part in parts)), head, *parts]


def loads(data: Any) -> Any:
    """The value of a whole message that shares nothing. Raises `Ended` for what is none."""
    size, _ = _HEAD.unpack_from(data)
    return _read(bytes(memoryview(data)[_HEAD.size : _HEAD.size + size]), memoryview(data)[_HEAD.size + size :], [])


class Channel:
    """One end of a connection; each side sends and receives whole messages in turn.

    `hands_on`: what is received is never written to, and goes to others as it came.
    """

    def __init__(self, end: socket.socket, *, hands_on: bool = False) -> None:
        self._end, self._hands_on = end, hands_on

    def send(self, value: Any) -> None:
        shared: list[blocks.Block] = []
        try:
            parts = dumps(value, shared)
            # One byte says how many come with it.
            if blocks.AVAILABLE:
                socket.send_fds(self._end, [bytes([len(shared)])], [one.handle for one in shared])
            for part in parts:
                self._end.sendall(part)
        except OSError as error:
            raise Ended(str(error)) from None

    def receive(self) -> Any:
        """The next message. Raises `Ended`."""
        handles = self._handles() if blocks.AVAILABLE else []
        with contextlib.ExitStack() as owned:
            for handle in handles:
                owned.callback(os.close, handle)
            size, length = _HEAD.unpack(self._exactly(_HEAD.size))
            if size > _MOST_HEAD:
                raise Ended("a message is too large")
            text, body = bytes(self._exactly(size)), memoryview(self._exactly(length))
            try:
                for handle in handles:
                    blocks.seal(handle)
            except OSError as error:
                raise Ended(f"shared memory can't be used: {error}") from None
            owned.pop_all()
        return _read(text, body, [blocks.Block(handle, hands_on=self._hands_on) for handle in handles])

    def ask(self, **request: Any) -> Any:
        self.send(request)
        return self.receive()

    def close(self) -> None:
        self._end.close()

    def _handles(self) -> list[int]:
        """The shared memory of the message that begins."""
        try:
            count, handles, _, _ = socket.recv_fds(self._end, 1, blocks.MOST)
        except OSError as error:
            raise Ended(str(error)) from None
        if list(count) == [len(handles)]:
            return handles
        for handle in handles:
            os.close(handle)
        raise Ended("it ended")

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


def _packed(value: Any, parts: list[Any], shared: list[blocks.Block] | None) -> Any:
    if isinstance(value, (torch.Tensor, numpy.ndarray)):
        is_tensor = isinstance(value, torch.Tensor)
        data: Any = raw(value.detach().cpu() if isinstance(value, torch.Tensor) else value)
        if shared is not None and blocks.is_worth(len(data), len(shared)):
            shared.append(blocks.holding(data))
            kind = str(value.dtype).replace("torch.", "")
            return {"st" if is_tensor else "sa": [kind, list(value.shape), len(data)]}
        parts.append(memoryview(data) if len(data) else b"")
        parts.append(b"\0" * (-len(data) % _ALIGNED))
        kind = str(value.dtype).replace("torch.", "")
        return {"t" if is_tensor else "a": [kind, list(value.shape), len(data)]}
    if isinstance(value, Opaque):
        parts += [value.data, b"\0" * (-len(value.data) % _ALIGNED)]
        return {"o": [value.name, len(value.data)]}
    if isinstance(value, Box):
        return {
            "b": [
                value.kind,
                value.ref,
                [[_packed(key, parts, shared), _packed(child, parts, shared)] for key, child in value.items],
            ]
        }
    if isinstance(value, (list, tuple)):
        return {"l" if isinstance(value, list) else "p": [_packed(one, parts, shared) for one in value]}
    if isinstance(value, dict):
        return {"d": [[_packed(key, parts, shared), _packed(child, parts, shared)] for key, child in value.items()]}
    if isinstance(value, bytes):
        parts += [value, b"\0" * (-len(value) % _ALIGNED)]
        return {"y": len(value)}
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    return {"o": [type(value).__name__, 0]}


def _read(head: bytes, body: memoryview, shared: list[blocks.Block]) -> Any:
    try:
        value, used = _unpacked(json.loads(head.decode("utf-8", "surrogatepass")), body, 0, shared)
    except (ValueError, LookupError, TypeError, RuntimeError, OSError, struct.error) as error:
        raise Ended(f"a message can't be read: {error}") from None
    if used != len(body) or shared:
        raise Ended("a message has another length")
    return value


def _unpacked(value: Any, body: memoryview, used: int, shared: list[blocks.Block]) -> tuple[Any, int]:
    if not isinstance(value, dict):
        if isinstance(value, list):
            raise ValueError("a bare list")
        return value, used
    ((mark, content),) = value.items()
    if mark in ("t", "a"):
        kind, size, length = content
        return _array(mark, kind, size, body[used : used + length]), used + length + -length % _ALIGNED
    if mark in ("st", "sa"):
        kind, size, length = content
        return _array(mark[1], kind, size, shared.pop(0).data(length)), used
    if mark == "y":
        return bytes(body[used : used + content]), used + content + -content % _ALIGNED
    if mark == "o":
        name, length = content
        return Opaque(name, bytes(body[used : used + length])), used + length + -length % _ALIGNED
    if mark in ("l", "p"):
        found = []
        for one in content:
            child, used = _unpacked(one, body, used, shared)
            found.append(child)
        return (found if mark == "l" else tuple(found)), used
    pairs = content[2] if mark == "b" else content
    items = []
    for key, one in pairs:
        name, used = _unpacked(key, body, used, shared)
        child, used = _unpacked(one, body, used, shared)
        items.append((name, child))
    return (Box(content[0], content[1], tuple(items)) if mark == "b" else dict(items)), used


def _array(mark: str, kind: str, size: list[int], data: memoryview) -> Any:
    if mark == "a":
        found = numpy.frombuffer(data, dtype=numpy.dtype(kind)) if len(data) else numpy.empty(0, numpy.dtype(kind))
        return found.reshape(size)
    if not len(data):
        return torch.empty(size, dtype=_KINDS[kind])
    return torch.frombuffer(data, dtype=_KINDS[kind]).reshape(size)
