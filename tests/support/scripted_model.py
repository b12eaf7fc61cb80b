"""A model that follows `next`: what a Claude model would call at each Step, without any thought."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from .messages_api import Answer, Dropped, HttpError, Reply, Request, call
from .projects import ACTION, ANALYSIS, Folder

Turn = Answer | Callable[[Request], Answer]


@dataclass
class Follower:
    """Raises LEARNING_RATE a little from version to version; `instead` is what it does at its n-th request, from 1."""

    folder: Folder
    instead: Mapping[int, Turn] = field(default_factory=dict[int, Turn])
    _asked: Iterator[int] = field(default_factory=lambda: count(1))

    def __call__(self, request: Request) -> Answer:
        turn = self.instead.get(next(self._asked))
        if turn is None:
            return self.follow(request)
        return turn if isinstance(turn, (Reply, HttpError, Dropped)) else turn(request)

    def follow(self, request: Request) -> Reply:
        """The one legal call."""
        phase, version = where(request)
        match phase:
            case "start":
                return call("start_loop")
            case "train" | "training":
                return call("run_train", version=version)
            case "evaluate" | "evaluating":
                return call("run_eval", version=version)
            case "analysis":
                return call("write_analysis", version=version, **ANALYSIS)
            case "action":
                return call("write_action", version=version, **{**ACTION, "change": self._change(version)})
            case "author":
                edit = tuple(f"LEARNING_RATE = {rate}" for rate in _rates(version))
                diff = self.folder.diff(f"02_train_v{version:03d}.py", (edit[0], edit[1]))
                return call("author_next_version", version=version, diff=diff)
            case "report":
                return call("final_report")
            case "done":
                return call("final_report", analysis="The higher rates came closer.")
            case _:
                raise AssertionError(f"no call is known for phase {phase}")

    def _change(self, version: int) -> str:
        return "LEARNING_RATE from {} to {}".format(*_rates(version))


def _rates(version: int) -> tuple[float, float]:
    return round(0.19 + version / 100, 2), round(0.2 + version / 100, 2)


def where(request: Request) -> tuple[str, int]:
    """Phase and version, from the newest message that says them."""
    for message in reversed(request.messages):
        for block in reversed(message["content"] if message["role"] == "user" else []):
            found = _of_result(block) if block["type"] == "tool_result" else _of_opening(block["text"])
            if found is not None:
                return found
    raise AssertionError("no message says where the loop stands")


def _of_result(block: Any) -> tuple[str, int] | None:
    content = block["content"]
    said = content if isinstance(content, str) else content[0]["text"]
    result = {} if block.get("is_error") or not said.startswith("{") else json.loads(said.split("\n\n")[0])
    return (result["phase"], result.get("version") or 0) if "phase" in result else None


def _of_opening(said: str) -> tuple[str, int] | None:
    match = re.match(r"The loop stands at: (?:v(\d+))?.*, phase (\w+)\.", said)
    return (match[2], int(match[1] or 0)) if match else None
