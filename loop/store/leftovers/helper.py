"""The process that reads what a run left: a fork of it for each file, sealed off and limited, and nothing else.

A request is one datagram with a description and descriptors: the pipe for the answer, then the files. So there is
nothing that two askers, or a fork of one, could disturb; a file that brings its reader down takes nobody along.
"""

import codecs
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from .forms import Refused, array_words, json_values, yaml_values
from .metrics import both_ends, by_epoch
from .samples import means, other_targets, scores_digest
from .seal import limit, seal

_FORMS: Mapping[str, Callable[..., Any]] = {
    "json": json_values,
    "yaml": yaml_values,
    "array": array_words,
    "metrics": by_epoch,
    "metrics_ends": both_ends,
    "samples": means,
    "targets": other_targets,
    "scores": scores_digest,
}
_MOST_REQUEST, _MOST_FILES = 65_536, 8


def main(requests: int) -> None:
    """Answers until its standard input ends: whoever started it is gone then."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how a reader ended
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is the server's to answer
    codecs.lookup("utf-8-sig")  # nothing can be imported any more once it is sealed
    seal()
    with socket.socket(fileno=requests) as asked:
        while True:
            ready, _, _ = select.select([asked, sys.stdin], [], [])
            if sys.stdin in ready:
                return
            data, files, _, _ = socket.recv_fds(asked, _MOST_REQUEST, _MOST_FILES)
            if files and os.fork() == 0:
                asked.close()
                _answer(json.loads(data), files[0], files[1:])
            for file in files:
                os.close(file)


def _answer(request: Mapping[str, Any], out: int, files: Sequence[int]) -> NoReturn:
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # who asked has given up
    try:
        limit(request["seconds"], request["memory"])
        said = json.dumps({"value": _FORMS[request["form"]](files, **request["options"])}).encode()
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is said, and this process is at its end
        said = json.dumps({"error": _told(error), "line": getattr(error, "line", None)}).encode()
    view = memoryview(said)
    while view:
        view = view[os.write(out, view) :]
    os._exit(0)


def _told(error: BaseException) -> str:
    if isinstance(error, Refused):
        return str(error)
    known: dict[type[BaseException], str] = {
        MemoryError: "it takes too much memory",
        RecursionError: "it is nested too deeply",
        TimeoutError: "it takes too long to read",
    }
    words = known.get(type(error)) or f"{type(error).__name__}: {error}"
    return " ".join(words.split())[:300]
