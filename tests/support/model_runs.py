"""A run of the agent that asks a model, over either wire, against a scripted API; the trainings are instant stubs."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from anthropic import AsyncAnthropic

from progressive_training.agents import anthropic, openai
from progressive_training.agents.base import AgentStopped, Event
from progressive_training.agents.model import Options, Spent, Transcript, Wire, drive

from .chat_api import ChatApi
from .instant import Instant
from .messages_api import MessagesApi, Request, Script
from .projects import Folder, connected

KEY = "sk-ant-a-key-that-nobody-may-ever-read"
VERSION_STEPS = ["run_train", "run_eval", "write_analysis", "write_action"]
WireName = Literal["anthropic", "openai"]
MODELS: dict[WireName, str] = {"anthropic": "claude-opus-5-5", "openai": "local-model"}


@dataclass
class Run:
    """One run of the agent: what came of it, what it told, and what the API was sent."""

    api: MessagesApi
    events: list[Event] = field(default_factory=list[Event])
    spent: Spent | None = None
    stopped: AgentStopped | None = None
    transcript: str = ""

    @property
    def steps(self) -> list[str]:
        return [event.step for event in self.events if event.step not in ("spent so far", "price")]

    @property
    def why(self) -> str:
        assert self.stopped is not None, "it ran to the end"
        return str(self.stopped)

    def conversations(self) -> list[list[Request]]:
        """The requests, a list for each message list that began anew."""
        found: list[list[Request]] = []
        for request in self.api.requests:
            if len(request.messages) == 1:
                found.append([])
            found[-1].append(request)
        return found


def options_of(wire: WireName, **limits: Any) -> Options:
    made = {"model": MODELS[wire], **limits}
    return anthropic.Options(**made) if wire == "anthropic" else Options(**made)


@asynccontextmanager
async def wired(name: WireName, url: str, options: Options, retries: int) -> AsyncIterator[Wire]:
    """The wire to a scripted API."""
    if name == "openai":
        async with openai.Endpoint(f"{url}/v1", KEY, retries=retries) as endpoint:
            yield openai.ChatCompletions(endpoint, options)
        return
    assert isinstance(options, anthropic.Options)
    async with AsyncAnthropic(api_key=KEY, base_url=url, max_retries=retries) as client:
        yield anthropic.MessagesApi(client, options)


async def run(
    folder: Folder,
    script: Script,
    options: Options | None = None,
    *,
    wire: WireName = "anthropic",
    retries: int = 2,
    **others: Any,
) -> Run:
    """The agent until it ends or stops."""
    last_version = others.pop("last_version", None)
    bending = {"bent": others.pop("bent")} if "bent" in others else {}
    options = options or options_of(wire)
    with ChatApi(script, **bending) if wire == "openai" else MessagesApi(script) as api:
        made = Run(api)
        async with (
            connected(folder, **{"executor": Instant(), **others}) as connection,
            wired(wire, api.url, options, retries) as asked,
        ):
            transcript = Transcript(folder.project().workspace.tree, asked.name, secrets=asked.secrets)
            made.transcript = transcript.path
            try:
                made.spent = await drive(
                    connection.client,
                    asked,
                    options,
                    transcript,
                    on_event=made.events.append,
                    last_version=last_version,
                )
            except AgentStopped as stopped:
                made.stopped = stopped
        return made


def lines(folder: Folder, run: Run) -> list[Any]:
    return [json.loads(line) for line in folder.read(run.transcript).splitlines()]


async def phase(folder: Folder) -> tuple[str, int | None] | str:
    async with connected(folder, executor=Instant()) as connection:
        return await connection.where()


def prefix(request: Request) -> bytes:
    """The bytes of the request's messages, up to the list's end."""
    text = request.raw.decode()
    begin = text.index('"messages":') + len('"messages":')
    begin += len(text[begin:]) - len(text[begin:].lstrip())
    _, length = json.JSONDecoder().raw_decode(text[begin:])
    return text[begin : begin + length].rstrip("]").encode()
