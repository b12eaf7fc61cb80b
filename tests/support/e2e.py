"""Real processes around a project: the command line, servers, and what /proc knows of its trainings."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client

from progressive_training.loop.jobs.runner.processes import MARKER

from .projects import STATE, TRAINER, Folder, edited

PROGRAM = [sys.executable, "-m", "progressive_training.server"]
PATIENCE_SECONDS = 60.0
TOKEN = "a-token-of-thirty-two-characters"
BEARER = f"Bearer {TOKEN}"
_MAIN = "    threshold, rows = fit()\n"
# It has trained and not yet saved: there it stays until the test opens the gate.
GATED_TRAINER = edited(
    TRAINER, (_MAIN, _MAIN + '    while not Path("gate").exists():\n        __import__("time").sleep(0.01)\n')
)


def until(condition: Callable[[], Any], what: str) -> None:
    """Returns as soon as the condition holds; fails when it does not within a minute."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"this never came: {what}"
        time.sleep(0.01)


def free_port(host: str = "127.0.0.1") -> int:
    with socket.create_server((host, 0)) as listening:
        return listening.getsockname()[1]


def listens(port: int, host: str = "127.0.0.1") -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@contextlib.contextmanager
def plain_failures() -> Iterator[None]:
    """The client's task groups wrap a failed assertion; the assertion itself is what one wants to read."""
    try:
        yield
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        raise error from None


def environment(**more: str) -> dict[str, str]:
    """The test's own, in an active environment and with a terminal of 80 columns."""
    path = os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()])
    return {**os.environ, "PATH": path, "COLUMNS": "80", **more}


def cli(folder: Path, *arguments: str, patience: float = PATIENCE_SECONDS, **more: str) -> Ran:
    """One command in a folder, with `more` in its environment, to its end."""
    done = subprocess.run(
        [*PROGRAM, *arguments],
        cwd=folder,
        env=environment(**more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=patience,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def pasted(line: str, folder: Path, **more: str) -> Ran:
    """A printed line in a shell of a folder."""
    done = subprocess.run(
        ["/bin/sh", "-c", line], cwd=folder, env=environment(**more), capture_output=True, encoding="utf-8", timeout=60
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def without_the_program() -> str:
    """A PATH on which the program is not, as where its environment is not active."""
    return os.pathsep.join(one for one in os.get_exec_path() if not (Path(one) / "progressive-training").exists())


@contextlib.contextmanager
def started(
    folder: Path, *arguments: str, stdin: int = subprocess.DEVNULL, more: Mapping[str, str] | None = None
) -> Iterator["subprocess.Popen[str]"]:
    """One command in a folder, with `more` in its environment, still running; a process group as in a terminal."""
    process = subprocess.Popen(
        [*PROGRAM, *arguments],
        cwd=folder,
        env=environment(**(more or {})),
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    )
    try:
        with process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()
    finally:
        assert process.poll() is not None


def ended(process: "subprocess.Popen[str]") -> Ran:
    """What a process said and how it ended, once it ends by itself."""
    out, err = process.communicate(timeout=PATIENCE_SECONDS)
    return Ran(process.returncode, out, err)


@contextlib.contextmanager
def served(folder: Folder, host: str = "127.0.0.1", *options: str, **more: str) -> Iterator[int]:
    """A server over HTTP with these options and, in its environment, TOKEN and `more`; its port."""
    port = free_port(host)
    with started(
        folder.root, "serve", "--http", f"{host}:{port}", *options, more={"PROGRESSIVE_TRAINING_TOKEN": TOKEN, **more}
    ) as server:
        until(lambda: listens(port, host) or server.poll() is not None, "the server's port")
        assert server.poll() is None, ended(server).err
        yield port


def endpoint(port: int, bearer: str = BEARER) -> Any:
    """What an MCP client connects to, which sends the token."""
    client = create_mcp_http_client(headers={"Authorization": bearer})
    return streamable_http_client(f"http://127.0.0.1:{port}/mcp", http_client=client)


def attempts(folder: Folder) -> list[str]:
    """`v001/train-001` and so on: what was run, and how often."""
    root = folder.path(f"{STATE}/attempts")
    return sorted(job.parent.relative_to(root).as_posix() for job in root.glob("*/*/job.json"))


def in_mid_training(folder: Folder, version: int = 1) -> Callable[[], bool]:
    log = folder.path(f"{STATE}/attempts/v{version:03d}/train-001/log.txt")
    return lambda: log.exists() and "epoch 2" in log.read_text(encoding="utf-8")


def job_processes(folder: Folder) -> list[int]:
    """The living processes of the project's trainings and evaluations: scripts with their children, and runners."""
    markers = [json.loads(path.read_text())["marker"] for path in folder.root.glob(f"{STATE}/attempts/*/*/runner.json")]
    jobs = str(folder.path(f"{STATE}/attempts"))
    return sorted(
        {pid for marker in markers for pid in processes_with(MARKER, marker)}
        | {pid for pid in _pids() if _alive(pid) and jobs in _text(pid, "cmdline")}
    )


def processes_with(name: str, value: str) -> list[int]:
    """The living processes whose environment has this variable."""
    return [pid for pid in _pids() if _alive(pid) and f"{name}={value}" in _text(pid, "environ").split("\0")]


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _alive(pid: int) -> bool:
    return _text(pid, "stat").rpartition(")")[2].split()[:1] not in ([], ["Z"], ["X"])


def _text(pid: int, name: str) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/{name}").read_bytes().decode(errors="replace")
    return ""
