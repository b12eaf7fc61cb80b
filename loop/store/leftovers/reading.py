"""Asks the helper for one file that a run left, and gets plain values, or the reason why there are none."""

import atexit
import contextlib
import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

from pydantic import JsonValue

from ...errors import RunError, Unreadable
from ..tree import Tree

Form = Literal["json", "yaml", "array", "metrics", "metrics_ends", "samples", "targets", "scores"]
_OF_SAMPLES: tuple[Form, ...] = ("samples", "targets", "scores")
_SECONDS, _BYTES_A_SECOND = 10, 1 << 20
_WAIT_SECONDS = 15.0
_MEMORY, _SAMPLES_MEMORY = 1 << 30, 8 << 30
_MOST_ANSWER = 64 << 20
_PROGRAM = Path(__file__).with_name("__main__.py")


def read(tree: Tree, form: Form, *relative: str, **options: JsonValue) -> JsonValue:
    """What one file holds, or what several do together: JSON's own values, whatever the file tried.

    Raises `FileNotFoundError`, `UnsafePath`, and `Unreadable` with the reason: what is wrong with the file, or that
    reading it took too long, too much memory, or brought the reader down. Raises `RunError` where none can be started.
    """
    with contextlib.ExitStack() as opened:
        files = [opened.enter_context(tree.opened(name)) for name in relative]
        return ask(form, files, relative[0], **options)


def ask(form: Form, files: list[int], where: str, **options: JsonValue) -> JsonValue:
    """The same of files that are open already; `where` is what an error names."""
    size = sum(os.fstat(file).st_size for file in files)
    lines = form in ("metrics", *_OF_SAMPLES)
    seconds = _SECONDS + (size // _BYTES_A_SECOND if lines else 0)
    memory = _SAMPLES_MEMORY if form in _OF_SAMPLES else _MEMORY
    request = {"form": form, "options": options, "seconds": seconds, "memory": memory}
    said = _said(json.dumps(request).encode(), files, seconds + _WAIT_SECONDS)
    if said is None:
        raise Unreadable("can't be read: reading it takes too long, or brings its reader down", where=where)
    try:
        found: object = json.loads(said)
    except (ValueError, RecursionError) as error:
        raise Unreadable("can't be read: its reader gave no answer that can be used", where=where) from error
    answer = cast("dict[str, Any]", found if isinstance(found, dict) else {})
    if "value" not in answer:
        line = answer.get("line")
        place = f"{where}:{line}" if type(line) is int else where
        raise Unreadable(f"can't be read: {answer.get('error')}", where=place)
    return answer["value"]


class _Helper(NamedTuple):
    process: "subprocess.Popen[bytes]"
    requests: socket.socket


_helpers: list[_Helper] = []
_starting = threading.Lock()


def _said(request: bytes, files: list[int], seconds: float) -> bytes | None:
    """The answer; None without one. A helper that somebody has killed is replaced, once."""
    for _ in range(2):
        helper = _helper()
        answer, theirs = os.pipe()
        try:
            try:
                socket.send_fds(helper.requests, [request], [theirs, *files])
            except OSError:
                _gone(helper)
                continue
            finally:
                os.close(theirs)
            said = _whole(answer, seconds)
        finally:
            os.close(answer)
        if said != b"" or helper.process.poll() is None:
            return said or None
        _gone(helper)
    return None


def _whole(answer: int, seconds: float) -> bytes | None:
    """All that is said until the end; None if that takes longer, or is more than anybody needs."""
    deadline, parts, size = time.monotonic() + seconds, list[bytes](), 0
    waiting = select.poll()  # and not select(), which knows the first thousand descriptors only
    waiting.register(answer, select.POLLIN)
    while size <= _MOST_ANSWER:
        if not waiting.poll(1000 * max(0.0, deadline - time.monotonic())):
            return None
        part = os.read(answer, 1 << 20)
        if not part:
            return b"".join(parts)
        parts.append(part)
        size += len(part)
    return None


def _helper() -> _Helper:
    with _starting:
        if not _helpers:
            _helpers.append(_started())
        return _helpers[0]


def _started() -> _Helper:
    spec = find_spec("yaml")
    assert spec is not None and spec.origin is not None, "PyYAML is one of our requirements"
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with theirs:
        # -I and -S: nothing of the user's can be imported; -B: nothing is written beside it.
        python = [os.path.normpath(sys.executable), "-I", "-S", "-B", "-X", "utf8"]
        command = [*python, str(_PROGRAM), str(theirs.fileno()), str(Path(spec.origin).parents[1])]
        try:
            process = subprocess.Popen(
                command,
                cwd="/",
                env={},
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            raise RunError(
                f"what reads the files of runs can't be started: {error.strerror}", where=sys.executable
            ) from error
    ours.settimeout(_WAIT_SECONDS)
    return _Helper(process, ours)


def _gone(helper: _Helper) -> None:
    with _starting:
        if helper in _helpers:
            _helpers.remove(helper)
    _end(helper)


def _end(helper: _Helper) -> None:
    helper.requests.close()
    assert helper.process.stdin is not None
    with contextlib.suppress(OSError):
        helper.process.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        helper.process.wait(timeout=5)


@atexit.register
def _end_all() -> None:
    for helper in _helpers:
        _end(helper)


def as_object(content: JsonValue) -> Mapping[str, object] | None:
    """What was read, if it is an object."""
    return content if isinstance(content, dict) else None
