"""In the server: reads an attempt's records, wherever its job runs, and makes the first of them, job.json."""

import os
import shutil
from pathlib import Path
from typing import cast, get_args

from pydantic import ConfigDict, TypeAdapter, ValidationError

from ..errors import RunError
from .job import Job, Stalled, StalledIn
from .runner import attempt_files as files
from .runner.status_files import Heartbeat, RunnerIdentity

# Deferred: nothing is compiled at a server's start.
_IDENTITY = TypeAdapter(RunnerIdentity, config=ConfigDict(defer_build=True))
_HEARTBEAT = TypeAdapter(Heartbeat, config=ConfigDict(defer_build=True))


def check_startable(job: Job) -> None:
    if not Path(job.cwd).is_dir():
        raise RunError("the working folder doesn't exist", where=job.cwd)
    # As the kernel would look for it, from the job's own folder and PATH.
    program = job.argv[0] if "/" not in job.argv[0] else str(Path(job.cwd) / job.argv[0])
    if shutil.which(program, path=job.env.get("PATH", os.defpath)) is None:
        raise RunError(
            "the interpreter was not found, or may not be executed", where=job.argv[0], hint="give its full path"
        )


def submitted_before(attempt: Path) -> RunError:
    return RunError("this attempt has had its job", where=str(attempt), hint="use a new attempt folder")


def create_job(attempt: Path, job: Job) -> None:
    if (attempt / files.JOB).exists():  # nobody else can make it now: the caller holds the lock
        raise submitted_before(attempt)
    try:
        files.write_text(attempt / files.JOB, job.to_json())
    except OSError as error:
        raise RunError(f"the attempt can't be written: {error.strerror}", where=str(attempt)) from error


def read_identity(attempt: Path) -> RunnerIdentity | None:
    try:
        return _IDENTITY.validate_json(files.read_text(attempt / files.RUNNER))
    except (OSError, UnicodeDecodeError, ValidationError):
        return None


def read_heartbeat(attempt: Path) -> Heartbeat | None:
    try:
        return _HEARTBEAT.validate_json(files.read_text(attempt / files.HEARTBEAT))
    except (OSError, UnicodeDecodeError, ValidationError):
        return None


def read_job(attempt: Path) -> Job | None:
    """None where it can't be used."""
    try:
        return Job.from_json(files.read_text(attempt / files.JOB))
    except (OSError, UnicodeDecodeError, RunError):
        return None


def read_stall(attempt: Path) -> Stalled | None:
    """What the runner says of a training that makes no step; None while all is well, or nothing is known."""
    beat = read_heartbeat(attempt)
    if beat is None or beat.quiet_seconds is None or beat.usual_seconds is None:
        return None
    if beat.stalled_in not in get_args(StalledIn):
        return None
    return Stalled(cast("StalledIn", beat.stalled_in), beat.quiet_seconds, beat.usual_seconds)
