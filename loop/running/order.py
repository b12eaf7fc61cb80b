"""job.json as the runner reads it.

Standard library only and Python 3.9: the runner reads this module in the user's interpreter.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

if TYPE_CHECKING or __package__:
    from . import attempt
    from .limits import Limits
else:
    import attempt
    from limits import Limits


class Order(NamedTuple):
    """What job.json asks for."""

    argv: list[str]
    cwd: str
    env: dict[str, str]
    timeout_seconds: float | None
    log_limit_bytes: int
    grace_seconds: float
    wrapper: list[str]
    max_processes: int | None
    max_threads: int | None
    max_file_bytes: int | None
    watched: list[str]
    max_watched_bytes: int | None

    @classmethod
    def read(cls, folder: Path) -> Order:
        """Raises: OSError, ValueError, KeyError."""
        value = cast("dict[str, Any]", json.loads(attempt.read_text(folder / attempt.JOB)))
        return cls(**{name: value[name] for name in cls._fields})

    def limits(self, scratch: Path) -> Limits:
        """What the job may use; its temporary files count with what is watched."""
        folders = (*self.watched, str(scratch))
        return Limits(self.max_processes, self.max_threads, self.max_file_bytes, self.max_watched_bytes, folders)
