"""The append-only journal of what happened."""

import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from pydantic import JsonValue

from .paths import Workspace

EventName = Literal[
    "loop_started",
    "loop_adopted",
    "rehearsal_started",
    "rehearsed",
    "rehearsal_failed",
    "train_started",
    "trained",
    "train_failed",
    "repaired",
    "evaluator_written",
    "evaluator_accepted",
    "eval_started",
    "scored",
    "eval_failed",
    "eval_cancelled",
    "explore_started",
    "explored",
    "made_again",
    "score_restored",
    "score_discarded",
    "score_withdrawn",
    "external_started",
    "external_scored",
    "external_failed",
    "external_cancelled",
    "analysed",
    "action_selected",
    "authored",
    "put_aside",
    "rules_accepted",
    "protocol_accepted",
    "reported",
    "report_completed",
]
"""Everything that is ever recorded; the dashboard has words for each."""

_TAIL_BYTES = 1 << 16


@dataclass(frozen=True)
class Event:
    """One line of the journal. `event` is an `EventName`, or what another release has recorded."""

    seq: int
    at: str
    event: str
    version: str | None
    detail: Mapping[str, JsonValue]


def now() -> str:
    """The wall clock as ISO-8601 in UTC; for people. Order comes from sequence numbers, never from it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def record(workspace: Workspace, event: EventName, version: str | None = None, **detail: JsonValue) -> None:
    """Appends one event; call it with the lock held. The sequence number follows the last whole line's."""
    last, torn = _last(workspace)
    body: dict[str, JsonValue] = {"seq": last + 1, "at": now(), "event": event, "version": version, "detail": detail}
    text = json.dumps(body, ensure_ascii=False)
    # A line that a crash tore is closed first, so that this one stands alone.
    start = "\n" if torn else ""
    line = f'{start}{text[:-1]}, "crc": {zlib.crc32(text.encode())}}}\n'
    workspace.tree.append(workspace.journal, line.encode())


def events(workspace: Workspace, *, most: int = 1000) -> list[Event]:
    """The newest events in order; lines that are torn or don't match their checksum are left out."""
    tail, _ = _tail(workspace, max(_TAIL_BYTES, most * 400))
    return [event for line in tail if (event := _parse(line)) is not None][-most:]


def _last(workspace: Workspace) -> tuple[int, bool]:
    lines, torn = _tail(workspace, _TAIL_BYTES)
    return next((event.seq for line in reversed(lines) if (event := _parse(line))), 0), torn


def _tail(workspace: Workspace, most: int) -> tuple[list[bytes], bool]:
    try:
        with workspace.tree.opened(workspace.journal) as handle:
            size = os.fstat(handle).st_size
            data = os.pread(handle, most, max(0, size - most))
    except FileNotFoundError:
        return [], False
    return data.split(b"\n"), bool(data) and not data.endswith(b"\n")


def _parse(line: bytes) -> Event | None:
    body, separator, crc = line.rpartition(b', "crc": ')
    if not separator:
        return None
    text = body + b"}"
    if crc.rstrip(b"}") != str(zlib.crc32(text)).encode():
        return None
    content = json.loads(text)
    return Event(content["seq"], content["at"], content["event"], content["version"], content["detail"])
