"""The facts file of this process: replaced as a whole, never large, and rare enough to cost nothing."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from typing import Any

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false, reportPrivateUsage=false
# What the script and torch hand over has no type here.

MAX_BYTES = 1 << 20
_SHARE = 300  # a write may take so small a part of the time since the last one
# What goes first where the facts are too large: the tables.
_LARGEST = ("metrics", "epochs", "loaders")


class FactsFile:
    """`rank<R>-<host>-<pid>-<when>.json`: other ranks, hosts and forks have their own."""

    def __init__(self, folder: str, rank: int) -> None:
        host = "".join(letter for letter in os.uname().nodename[:40] if letter.isalnum() or letter == "-")
        self.path = os.path.join(folder, f"rank{rank}-{host}-{os.getpid()}-{time.time_ns():x}.json")
        self._last = -math.inf
        self._cost = 0.0

    def is_due(self, seconds: float) -> bool:
        """Whether so much time has passed since the last write that another costs next to nothing."""
        return time.monotonic() - self._last > max(seconds, _SHARE * self._cost)

    def write(self, facts: Callable[[], dict[str, Any]]) -> None:
        """Replaces the file by what `facts` gives: to gather it is a part of what a write costs."""
        began = time.monotonic()
        beside = f"{self.path}.part"
        with open(beside, "wb") as file:
            file.write(encoded(facts()))
        os.replace(beside, self.path)
        self._last = time.monotonic()
        self._cost = self._last - began


def encoded(facts: dict[str, Any]) -> bytes:
    """Strict JSON of at most a megabyte: infinity and NaN are text, and tables go where it would be more."""
    import json  # not for children that train nothing

    data = json.dumps(plain(facts), separators=(",", ":"), allow_nan=False).encode()
    for name in _LARGEST:
        if len(data) <= MAX_BYTES:
            break
        for section in (*facts["sections"], facts["script"]):
            section.pop(name, None)
        facts["problems"] = [*facts["problems"], {"what": "size", "error": f"over 1 MB: {name} are left out"}]
        data = json.dumps(plain(facts), separators=(",", ":"), allow_nan=False).encode()
    if len(data) > MAX_BYTES:
        raise ValueError(f"the facts take {len(data)} bytes")
    return data


def plain(value: Any, depth: int = 0) -> Any:
    """The value in JSON's own types. What is of no such type is told by its name."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return value[:500].encode("utf-8", "backslashreplace").decode()
    if isinstance(value, int):
        return int(value) if -(1 << 64) < value < 1 << 64 else f"<a number of {int(value).bit_length()} bits>"
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else "NaN" if math.isnan(value) else str(float(value))
    if depth < 8 and isinstance(value, dict):
        return {str(key)[:200]: plain(inner, depth + 1) for key, inner in value.items()}
    if depth < 8 and isinstance(value, (list, tuple)):
        return [plain(inner, depth + 1) for inner in value]
    return f"<{type(value).__name__}>"
