"""What the runner reads of job.json: the command, its variables and its limits.

Standard library only: the runner's interpreter knows no package. The server's ..job.Job writes the file and has checked
every value; to import that here would cost pydantic's start. So the fields of Order are listed again, by name alone.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

from . import attempt_files
from .limits import Limits

# Names of the variables that a batch script's setup made, with spaces between.
SETUP_VARIABLE = "PROGRESSIVE_TRAINING_SETUP"


class Order(NamedTuple):
    """What a job asks of its runner; see ..job.Job for each field."""

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
    max_files: int | None
    landlock: dict[str, Any] | None
    inherits: list[str]
    recording: dict[str, Any] | None
    watching: dict[str, Any] | None

    @classmethod
    def read(cls, folder: Path) -> "Order":
        """Raises: OSError, ValueError, KeyError."""
        value = cast("dict[str, Any]", json.loads(attempt_files.read_text(folder / attempt_files.JOB)))
        return cls(**{name: value[name] for name in cls._fields})

    def limits(self, scratch: Path) -> Limits:
        """What the job may use; its temporary files count with what is watched."""
        folders = (*self.watched, str(scratch))
        return Limits(
            self.max_processes, self.max_threads, self.max_file_bytes, self.max_watched_bytes, self.max_files, folders
        )

    def environment(self, here: Mapping[str, str]) -> dict[str, str]:
        """The job's variables, where `here` are those of the place that it runs in."""
        return {**(env := self._own(here)), **recorded(self.recording, env)}

    def _own(self, here: Mapping[str, str]) -> dict[str, str]:
        if not self.inherits:
            return self.env
        # The second are what execution_config.setup made on a cluster's node (cluster/submission.py).
        names = {*self.inherits, *here.get(SETUP_VARIABLE, "").split()}
        beginnings = tuple(name[:-1] for name in self.inherits if name.endswith("*"))
        return {**self.env, **{name: here[name] for name in here if name in names or name.startswith(beginnings)}}


def recorded(recording: Mapping[str, Any] | None, env: Mapping[str, str]) -> dict[str, str]:
    """What to add to a job's variables `env` so that what it does is recorded."""
    if recording is None:
        return {}
    path = filter(None, (recording["python_path"], env.get("PYTHONPATH")))
    return {**recording["variables"], "PYTHONPATH": os.pathsep.join(path)}
