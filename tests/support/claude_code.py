"""The real Claude Code in a home of its own, whose model is the offline agent behind a scripted Messages API.

`ClaudeCode` runs `claude` with no key, no telemetry, and a proxy that lets nothing out and counts what tried.
`OfflineModel` is the script: the offline agent's tool calls become the model's, and what Claude Code sends back as tool
results becomes what the agent sees. So the loop that runs is a real one, and every call goes through Claude Code.
"""

import json
import os
import queue
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import anyio
import anyio.to_thread
from mcp.types import CallToolResult, ContentBlock, ReadResourceResult, TextContent, TextResourceContents

from progressive_training.agents.offline import drive
from progressive_training.loop.errors import LoopError

from .messages_api import Reply, Request, Result, ToolUse, call, text

ROOT = Path(__file__).resolve().parents[2]
SERVER = "plugin:progressive-training:loop"
PREFIX = "mcp__plugin_progressive-training_loop__"
PATIENCE_SECONDS = 300.0


def program() -> str:
    """`claude`, from CLAUDE_CODE or PATH; the tests that ask for it fail where it is missing."""
    found = os.environ.get("CLAUDE_CODE") or shutil.which("claude")
    assert found, "claude is not installed: npm install @anthropic-ai/claude-code, or name it in CLAUDE_CODE"
    return found


def checkout(target: Path) -> Path:
    """What git would check out, with what is not yet committed; without the environment and the caches."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    for name in filter(None, names.decode().split("\0")):
        source, copy = ROOT / name, target / name
        if source.exists() or source.is_symlink():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copy, follow_symlinks=False)
    return target


@dataclass(frozen=True)
class Told:
    """One run of `claude`: its exit code, what it printed, and with `stream-json` its events."""

    code: int
    out: str
    err: str

    @property
    def events(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines() if line.startswith("{")]

    @property
    def result(self) -> Any:
        return next(event for event in reversed(self.events) if event["type"] == "result")


class NoWayOut:
    """A proxy that lets nothing through; `tried` is the first line of what was asked of it."""

    def __init__(self) -> None:
        self.tried: list[str] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._refuse, daemon=True)
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def _refuse(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with connection:
                self.tried.append(connection.recv(4096).decode(errors="replace").partition("\r\n")[0])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


@dataclass
class ClaudeCode:
    """`claude` for one project, with a home folder, and so with plugins and settings, of its own."""

    home: Path
    project: Path
    api: str
    proxy: str

    def __call__(self, *arguments: str) -> Told:
        done = subprocess.run(
            [program(), *arguments],
            cwd=self.project,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE_SECONDS,
        )
        return Told(done.returncode, done.stdout, done.stderr)

    def ask(self, prompt: str, *allowed: str) -> Told:
        """One turn without a terminal, in which only the tools that are allowed may be used without asking."""
        return self("-p", prompt, "--output-format", "stream-json", "--verbose", "--allowedTools", ",".join(allowed))

    @property
    def environment(self) -> dict[str, str]:
        """Only what it needs; the program of this very environment is on the PATH."""
        self.home.mkdir(exist_ok=True)
        return {
            "HOME": str(self.home),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "ANTHROPIC_BASE_URL": self.api,
            "ANTHROPIC_API_KEY": "dummy",
            "HTTP_PROXY": self.proxy,
            "HTTPS_PROXY": self.proxy,
            "NO_PROXY": "127.0.0.1",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
            "DISABLE_ERROR_REPORTING": "1",
            "DISABLE_TELEMETRY": "1",
        }


def results_of(request: Request) -> list[Result]:
    """The tool results since the model last spoke; Claude Code may add a reminder of its own after them."""
    spoken = max((place for place, one in enumerate(request.messages) if one["role"] == "assistant"), default=-1)
    since = (replace(request, body={"messages": [one]}) for one in request.messages[spoken + 1 :])
    return [result for alone in since for result in alone.results]


@dataclass
class OfflineModel:
    """A script for `MessagesApi`: `first` is said first, then the offline agent takes over.

    Claude Code may ask while the server still starts; like a model, this one then waits for it.
    """

    first: Sequence[Reply] = ()
    said: int = 0
    requests: list[Request] = field(default_factory=list[Request])
    results: list[Result] = field(default_factory=list[Result])
    stopped: LoopError | None = None
    _replies: "queue.Queue[Reply]" = field(default_factory=lambda: queue.Queue[Reply]())
    _answers: "queue.Queue[Result]" = field(default_factory=lambda: queue.Queue[Result]())
    _agent: threading.Thread | None = None

    def __call__(self, request: Request) -> Reply:
        self.requests.append(request)
        results = results_of(request)
        self.results += results
        if f"{PREFIX}next_step" not in request.tools:
            return call("WaitForMcpServers", servers=[SERVER])
        if self.said < len(self.first):
            self.said += 1
            return self.first[self.said - 1]
        if self._agent is None:
            self._agent = threading.Thread(target=anyio.run, args=(self._drive,), daemon=True)
            self._agent.start()
        else:
            self._answers.put(results[0])
        return self._replies.get(timeout=PATIENCE_SECONDS)

    async def _drive(self) -> None:
        try:
            report = await drive(self)
        except LoopError as error:
            self.stopped = error
            self._replies.put(text(f"I stopped: {error}"))
            return
        self._replies.put(text(f"The loop is over; the best of {report.versions} versions is {report.best}."))

    async def call_tool(self, name: str, arguments: dict[str, Any] | None = None) -> CallToolResult:
        result = await self._use(call(f"{PREFIX}{name}", **(arguments or {})))
        content: list[ContentBlock] = [TextContent(type="text", text=result.text)]
        if result.is_error:
            return CallToolResult(content=content, is_error=True)
        return CallToolResult(content=content, structured_content=result.json())

    async def read_resource(self, uri: str) -> ReadResourceResult:
        result = await self._use(call("ReadMcpResourceTool", server=SERVER, uri=uri))
        contents = result.json()["contents"]
        return ReadResourceResult(contents=[TextResourceContents(uri=one["uri"], text=one["text"]) for one in contents])

    async def _use(self, reply: Reply) -> Result:
        self._replies.put(reply)
        return await anyio.to_thread.run_sync(lambda: self._answers.get(timeout=PATIENCE_SECONDS))


@dataclass
class Hesitant(OfflineModel):
    """From its first call that changes the loop on, it ends its turn before each that does, to ask whether to go on."""

    asked: int = 0
    _held: Reply | None = None

    def __call__(self, request: Request) -> Reply:
        if self._held is not None:
            held, self._held = self._held, None
            self.requests.append(request)
            return held
        before = self.said
        reply = super().__call__(request)
        looks = (f"{PREFIX}next_step", f"{PREFIX}read_rules")
        calls = [one.name for one in reply.content if isinstance(one, ToolUse)]
        if self.said != before or not any(name.startswith(PREFIX) and name not in looks for name in calls):
            return reply
        self._held, self.asked = reply, self.asked + 1
        return text("That is done. Shall I go on?")
