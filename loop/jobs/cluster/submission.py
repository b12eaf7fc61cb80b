"""What a scheduler is given: a readable script, and a token that proves the attempt's folder to be a shared one."""

import json
import secrets
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from ..job import Job, Placement
from ..runner import attempt_files as files
from ..runner.job_order import SETUP_VARIABLE
from ..starting import runner_command

SCRIPT = "submit.sh"
OUTPUT = "batch.txt"  # what the script says itself; the job's own output is in log.txt
ACCEPTED = "accepted.json"  # the scheduler's id for it
TOKEN = "token"
# Exit codes of the script itself, which no runner gives a job.
NOT_SHARED, NO_INTERPRETER = 166, 167

_BODY = """
folder={folder}
python={python}
runner={runner}

# The project has to be the same folder on this machine: the server left a token in it.
if [ "$(cat "$folder/{token_file}" 2>/dev/null)" != {token} ]; then
    echo "$(hostname) does not see $folder as the server does"
    exit {not_shared}
fi
if [ ! -x "$python" ] || [ ! -r "$runner" ]; then
    echo "$(hostname) has no $python or no $runner"
    exit {no_interpreter}
fi
{setup}
exec "$python" {options} "$runner" "$folder"
"""
_SETUP = """
# execution_config.setup; the variables that it makes reach the job.
before=$(compgen -e | sort)
{lines}
export {variable}="$(comm -13 <(echo "$before") <(compgen -e | sort) | tr '\\n' ' ')"
"""


@dataclass(frozen=True)
class Submission:
    """batch.json. `name` is unlike every other job's, so that a job can be found whose id was never written down."""

    backend: str
    address: str | None
    name: str

    @classmethod
    def new(cls, placement: Placement, job: Job) -> "Submission":
        name = f"{job.version_id}-{job.kind}-{job.attempt:03d}-{secrets.token_hex(6)}"
        return cls(placement.backend, placement.address, name)

    @classmethod
    def read(cls, attempt: Path) -> "Submission | None":
        """None if nothing was handed to a scheduler in this folder. Raises: OSError, ValueError, KeyError."""
        try:
            text = files.read_text(attempt / files.BATCH)
        except FileNotFoundError:
            return None
        value = cast("dict[str, str | None]", json.loads(text))
        return cls(str(value["backend"]), value["address"], str(value["name"]))

    def save(self, attempt: Path) -> None:
        files.write_json(attempt / files.BATCH, self.__dict__)


def read_id(attempt: Path) -> str | None:
    """The scheduler's id of the job; None if that was not written down. Raises: OSError, ValueError, KeyError."""
    try:
        return str(json.loads(files.read_text(attempt / ACCEPTED))["id"])
    except FileNotFoundError:
        return None


def save_id(attempt: Path, job: str) -> None:
    files.write_json(attempt / ACCEPTED, {"id": job})


def write_script(attempt: Path, header: str, placement: Placement) -> Path:
    """Writes the token and submit.sh, which runs the attempt in the foreground of wherever it is started.

    `header` is what the scheduler reads at its beginning. Returns the script. Raises: OSError.
    """
    token = secrets.token_hex(16)
    files.write_text(attempt / TOKEN, token + "\n")
    python, *options, runner, _ = runner_command(sys.executable, str(attempt))
    body = _BODY.format(
        folder=shlex.quote(str(attempt)),
        python=shlex.quote(python),
        runner=shlex.quote(runner),
        token_file=TOKEN,
        token=token,
        options=shlex.join(options),
        setup=_SETUP.format(lines="\n".join(placement.setup), variable=SETUP_VARIABLE) if placement.setup else "",
        not_shared=NOT_SHARED,
        no_interpreter=NO_INTERPRETER,
    )
    script = attempt / SCRIPT
    files.write_text(script, f"#!/bin/bash\n{header}{body}")
    script.chmod(0o700)
    return script
