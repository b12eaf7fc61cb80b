"""One message to the user's program or address."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import JsonValue

from ....rules.schema import NotifyConfig

WAITS = (1.0, 5.0, 25.0, 125.0)
"""Seconds between the tries."""
_COMMAND_SECONDS = 60.0
_HTTP_SECONDS = 15.0


def send(config: NotifyConfig, message: Mapping[str, JsonValue], *, waits: tuple[float, ...] = WAITS) -> str | None:
    """Gives it to the program, to the address, or both; what is in the way in the end, without address or variable."""
    data = json.dumps(message, ensure_ascii=False).encode()
    problems: list[str | None] = []
    if config.command:
        problems.append(_tried(lambda: _run(config.command, data), waits))
    if config.url is not None:
        url = config.url
        problems.append(_tried(lambda: _post(url, data), waits))
    return "; ".join(one for one in problems if one) or None


class _Passing(Exception):
    """It may go well the next time."""


def _tried(once: Callable[[], str | None], waits: tuple[float, ...]) -> str | None:
    for wait in waits:
        try:
            return once()
        except _Passing:
            time.sleep(wait)
    try:
        return once()
    except _Passing as problem:
        return str(problem)


def _run(command: tuple[str, ...], data: bytes) -> str | None:
    """The user's own program, with their rights and environment; not in the project, whose files are not trusted."""
    try:
        done = subprocess.run(
            command,
            input=data,
            cwd=Path.home(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_COMMAND_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise _Passing(f"the command did not end within {_COMMAND_SECONDS:.0f} s") from None
    except OSError as error:
        return f"the command can't be started: {error.strerror}"
    if done.returncode != 0:
        raise _Passing(f"the command ended with code {done.returncode}")
    return None


def _post(url: str, data: bytes) -> str | None:
    from httpx2 import HTTPError, InvalidURL, post

    address = os.environ.get(url[1:], "") if url.startswith("$") else url
    if not address:
        return f"the variable {url} of notify.url is not set"
    try:
        answer = post(address, content=data, headers={"content-type": "application/json"}, timeout=_HTTP_SECONDS)
    except InvalidURL:
        return "the address is none"
    except HTTPError as error:
        # Its words may hold the address, and the address a secret.
        raise _Passing(f"the address can't be reached ({type(error).__name__})") from None
    if answer.status_code in (408, 425, 429) or answer.status_code >= 500:
        raise _Passing(f"the address answers with HTTP {answer.status_code}")
    return None if answer.is_success else f"the address answers with HTTP {answer.status_code}"
