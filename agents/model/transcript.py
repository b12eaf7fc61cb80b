"""What was asked and answered, kept for the user: append-only JSON lines that only the owner can read."""

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime

from pydantic import JsonValue

from ...loop.store.paths import STATE
from ...loop.store.tree import Tree
from ..supervised import RUN
from .budget import Spent

FOLDER = f"{STATE}/transcripts"


class Transcript:
    """One file a run, which begins with the agent's name. `secrets` are blanked wherever they turn up.

    Each line is durable when `add` returns.
    """

    def __init__(self, tree: Tree, agent: str, *, secrets: Sequence[str] = ()) -> None:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        self.path = f"{FOLDER}/{agent}-{os.environ.get(RUN, f'{stamp}-{os.getpid()}')}.jsonl"
        self._tree = tree
        self._secrets = tuple(secret for secret in secrets if secret)

    def spent(self) -> Spent:
        """What this run had spent when it last crashed; nothing for one that has just begun."""
        found = Spent()
        if not self._tree.is_file(self.path):
            return found
        with self._tree.opened(self.path) as file, os.fdopen(os.dup(file), "rb") as stream:
            for line in stream:
                # The crash may have torn the last line.
                with suppress(ValueError):
                    found = Spent(**json.loads(line).get("spent", vars(found)))
        return found

    def add(self, event: str, **detail: JsonValue) -> None:
        """Appends one line."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"at": at, "event": event, **detail}, ensure_ascii=False)
        for secret in self._secrets:
            line = line.replace(secret, "[secret]")
        *folder, name = self.path.split("/")
        with self._tree.folder(tuple(folder), create=True) as handle:
            # Not Tree.append: a transcript holds the user's code and data, and is for the owner's eyes.
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            file = os.open(name, flags, 0o600, dir_fd=handle)
        with os.fdopen(file, "ab") as stream:
            # Half a surrogate pair, which a model's JSON can hold, is kept as its escape.
            stream.write(line.encode("utf-8", "backslashreplace") + b"\n")
            stream.flush()
            os.fsync(file)


def encodable(value: JsonValue) -> bool:
    """Whether it can go over the wire: half a surrogate pair can't."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True
