"""The version's two processes, as the scorer speaks with them."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from ..confinement import close_others, keep_to_itself
from ..errors import EvalError, ScriptFault
from ..version.process import Order, run
from ..wire.messages import Channel, Ended, pair

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeArgument=false, reportUnknownLambdaType=false
# pyright: reportPrivateUsage=false
# What the script and torch hand over has no type here.

_FAREWELL_SECONDS = 2.0
_NEXT = "Next: correct the training script (repair_version), or write a 03_eval.py for it and use write_eval"


class Session:
    """A version's model and data, each behind a process of its own. Use it as a context manager."""

    def __init__(self, order: Order) -> None:
        self._name = order.script.name
        model, model_there = pair()
        data, data_there = pair()
        sys.stdout.flush()
        sys.stderr.flush()
        self._child: int | None = os.fork()
        if self._child == 0:
            model.close()
            data.close()
            # Not even a lock or a pipe of whoever started the scorer.
            close_others((model_there.fileno(), data_there.fileno()))
            self._become(order, Channel(model_there), Channel(data_there))
        keep_to_itself()
        model_there.close()
        data_there.close()
        self._model, self._data, self._scratch = Channel(model), Channel(data, hands_on=True), order.scratch
        begun = self._said(self._received(self._model, "its script"))
        self.not_hidden: str | None = begun["confined"]
        self.speaks: bool = begun["speaks"]
        self.monitors: list[dict[str, Any]] = begun["monitors"]
        self.about: dict[str, Any] = self._from_data(op="about")

    @staticmethod
    def _become(order: Order, model: Channel, data: Channel) -> None:
        """The child's whole life."""
        try:
            os.setpgid(0, 0)
            run(order, model, data)
        except BaseException:  # noqa: BLE001 - a fork must end here
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def model(self, **asked: Any) -> Any:
        """What the model's process found. Raises `EvalError` for what the script's code raised."""
        return self.asking(**asked)()

    def asking(self, **asked: Any) -> Callable[[], Any]:
        """Asks now, and returns what waits for the answer: something can be done meanwhile."""
        with contextlib.suppress(Ended):  # its end is told below
            self._model.send(asked)
        return lambda: self._said(self._received(self._model, "its model"))["found"]

    def tried(self, **asked: Any) -> tuple[Any, str | None]:
        """What the model's process found, or what it raised."""
        try:
            self._model.send(asked)
            message = self._model.receive()
        except Ended as ended:
            return None, str(ended)
        return message.get("found"), message.get("error")

    def batches(self, draw: int = 0) -> Generator[tuple[Any, float], None, None]:
        """Each batch as a tree, and the seconds that preparing it took. The next one is prepared meanwhile.

        Data that are drawn at random are the same for the same `draw`.
        """
        self._data.send({"op": "batches", "draw": draw})
        yield from self._walk()

    def singles(self, members: list[list[int]]) -> Generator[tuple[Any, float], None, None]:
        """A batch of each of these few samples."""
        self._data.send({"op": "singles", "members": members})
        yield from self._walk()

    def ids(self, count: int) -> list[str]:
        return [str(one) for one in self._from_data(op="ids", count=count)]

    def close(self) -> None:
        """Ends both with all that they started; nothing of them may be there when a score is written."""
        if self._child is None:
            return
        self._model.close()
        self._data.close()
        # Hung up on, both end by themselves, with what they had to print; whatever doesn't is ended.
        until = time.monotonic() + _FAREWELL_SECONDS
        while os.waitpid(self._child, os.WNOHANG)[0] == 0:
            if time.monotonic() > until:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._child, signal.SIGKILL)
                os.waitpid(self._child, 0)
                break
            time.sleep(0.002)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child, signal.SIGKILL)
        self._child = None
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _walk(self) -> Generator[tuple[Any, float], None, None]:
        self._data.send({"op": "next"})
        waiting = True
        try:
            while True:
                message, waiting = self._received(self._data, "its validation data"), False
                self._said(message)
                if message.get("end"):
                    return
                self._data.send({"op": "next"})
                waiting = True
                yield message["batch"], max(0.0, float(message["seconds"]))
        finally:
            if waiting:
                with contextlib.suppress(EvalError):
                    self._received(self._data, "its validation data")

    def _from_data(self, **asked: Any) -> Any:
        with contextlib.suppress(Ended):
            self._data.send(asked)
        return self._said(self._received(self._data, "its validation data"))

    def _received(self, channel: Channel, what: str) -> Any:
        try:
            return channel.receive()
        except Ended as ended:
            raise ScriptFault(
                f"the process of {self._name} that has {what} ended before it had answered ({ended}); its log "
                f"is above. {_NEXT}"
            ) from None

    def _said(self, message: Any) -> Any:
        if isinstance(message, dict) and "error" in message:
            text = " ".join(str(message["error"]).split())[:1500]
            if message.get("own"):
                raise ScriptFault(f"{text}; the traceback is above. {_NEXT}")
            raise (ScriptFault if message.get("fault") else EvalError)(text)
        return message


def scratch() -> Path:
    """A folder for temporary files of the version's processes alone."""
    return Path(tempfile.mkdtemp(prefix="version-"))
