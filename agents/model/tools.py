"""The loop's tools as a model is told of them, called over any connected MCP client."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from ...loop.errors import Busy, StillReading, UserDecision
from ...loop.project.receipts import INFRASTRUCTURE
from ...loop.store.paths import version_id
from ..base import WAIT_SECONDS, AgentStopped, NextCall, Refusal, refusal_of, text_of

if TYPE_CHECKING:
    from mcp import Client
    from mcp_types import Tool

READ_RESOURCE = "read_resource"
_WAIT = "wait_seconds"
_MAX_RESOURCE_CHARACTERS = 30_000


class Where(BaseModel):
    """Where the loop stands, as `next_step` says it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    phase: str
    version: int | None = None
    max_versions: int
    brief: str | None = None
    unfinished: str | None = None
    next: NextCall | None = None

    @property
    def version_id(self) -> str:
        return version_id(self.version) if self.version else ""

    @property
    def chapter(self) -> tuple[int | None, bool]:
        """What one conversation is about: a version, or the finished loop."""
        return self.version, self.phase == "done"

    @property
    def finished(self) -> bool:
        """Nothing is left to do, the report's analysis included."""
        return self.phase == "done" and self.unfinished is None


@dataclass(frozen=True)
class Definition:
    """A tool as the model is told of it."""

    name: str
    description: str
    input_schema: dict[str, JsonValue]
    waits: bool = False
    read_only: bool = False


@dataclass(frozen=True)
class Answer:
    """What a call came to. `content` is the structured result; a call that was refused has a `refusal` instead.

    `pictures` are PNG files in base64.
    """

    text: str
    content: Mapping[str, JsonValue]
    refusal: Refusal | None = None
    pictures: tuple[str, ...] = ()

    @property
    def is_error(self) -> bool:
        return self.refusal is not None

    @property
    def failed(self) -> bool:
        """Whether the call was refused, or its job failed."""
        return self.is_error or self.content.get("state") == "failed"

    @property
    def message(self) -> str:
        """What came of it, in the server's words."""
        return self.text if self.is_error else str(self.content.get("message", self.text))

    @property
    def for_the_user(self) -> bool:
        """Whether only the user may decide how to go on."""
        return self.refusal is not None and self.refusal.code == UserDecision.default_code

    @property
    def kind(self) -> str | None:
        """Why it was refused, or why its job failed, as a code."""
        failure = self.content.get("failure")
        kind = failure.get("kind") if isinstance(failure, dict) else None
        return self.refusal.code if self.refusal is not None else kind if isinstance(kind, str) else None

    @property
    def was_cancelled(self) -> bool:
        return self.refusal is None and self.kind == "cancelled"

    @property
    def may_pass(self) -> bool:
        """Whether nothing that was sent or tried is at fault: a lock, a machine."""
        codes = {Busy.default_code, StillReading.default_code} if self.refusal is not None else INFRASTRUCTURE
        return self.failed and self.kind in codes


class Steps:
    """What the model may call: the server's tools but those that end something, and its resources as one more."""

    def __init__(self, client: "Client", definitions: tuple[Definition, ...]) -> None:
        self._client = client
        self.definitions = definitions
        self.names = tuple(one.name for one in definitions)
        self.silent = {one.name for one in definitions if one.read_only}
        self._waits = {one.name for one in definitions if one.waits and not one.read_only}

    @classmethod
    async def of(cls, client: "Client") -> "Steps":
        """Reads what the server offers."""
        tools = (await client.list_tools()).tools
        kept = [_definition(tool) for tool in tools if not (tool.annotations and tool.annotations.destructive_hint)]
        listed = (await client.list_resources()).resources
        templates = (await client.list_resource_templates()).resource_templates
        uris = [str(one.uri) for one in listed] + [one.uri_template for one in templates]
        own = [uri for uri in uris if uri.startswith("loop://")]
        return cls(client, (*kept, _read_resource(own)))

    async def where(self) -> Where:
        """Where the loop stands now, with the brief. Raises `AgentStopped` if it can't be read."""
        answer = await self._called("next_step", {})
        if answer.is_error:
            raise stopped(answer)
        try:
            return Where.model_validate(answer.content)
        except ValidationError as error:
            hint = "use the agent and the server of one release"
            raise AgentStopped("next_step's answer can't be read", hint=hint) from error

    async def call(self, name: str, arguments: Mapping[str, JsonValue], wait: Callable[[], bool]) -> Answer:
        """One call; a job is waited for as long as `wait` says so. A refusal is an answer too."""
        if name == READ_RESOURCE:
            return await self._read(arguments)
        if name not in self._waits:
            return await self._called(name, arguments)
        while True:
            going_on = wait()
            answer = await self._called(name, {**arguments, _WAIT: WAIT_SECONDS if going_on else 0})
            if answer.content.get("state") != "running" or not going_on:
                return answer

    async def _called(self, name: str, arguments: Mapping[str, JsonValue]) -> Answer:
        result = await self._client.call_tool(name, dict(arguments))
        if result.is_error:
            return Answer(text_of(result), {}, refusal_of(result))
        pictures = tuple(block.data for block in result.content if block.type == "image")
        return Answer(text_of(result), cast(Mapping[str, JsonValue], result.structured_content or {}), None, pictures)

    async def _read(self, arguments: Mapping[str, JsonValue]) -> Answer:
        from mcp import MCPError

        uri = arguments.get("uri")
        if not isinstance(uri, str) or set(arguments) != {"uri"}:
            return _unread(f"{READ_RESOURCE} takes one argument, uri, a text")
        try:
            result = await self._client.read_resource(uri)
        except MCPError as error:
            return _unread(error.message)
        text = "".join(part for content in result.contents if isinstance(part := getattr(content, "text", ""), str))
        if len(text) > _MAX_RESOURCE_CHARACTERS:
            text = f"{text[:_MAX_RESOURCE_CHARACTERS]}\n… cut off here; {len(text):,} characters in all"
        return Answer(text or "it is empty", {})


def _unread(why: str) -> Answer:
    return Answer(why, {}, Refusal(what=why))


def stopped(answer: Answer) -> AgentStopped:
    """The error that ends the run with a tool's own words."""
    said = answer.refusal or Refusal(what=answer.message)
    hint = said.next or "see `progressive-training status`, then start the agent again"
    return AgentStopped(said.what, where=said.where, hint=hint)


def _definition(tool: "Tool") -> Definition:
    schema = cast(dict[str, JsonValue], tool.input_schema)
    properties = schema.get("properties")
    waits = isinstance(properties, dict) and _WAIT in properties
    if isinstance(properties, dict):
        # The agent waits for the model, which would only pay for polling.
        schema = {**schema, "properties": {name: spec for name, spec in properties.items() if name != _WAIT}}
    read_only = bool(tool.annotations and tool.annotations.read_only_hint)
    return Definition(tool.name, tool.description or "", schema, waits, read_only)


def _read_resource(uris: list[str]) -> Definition:
    text = "Read one document of the loop, e.g. a version's script: " + ", ".join(uris)
    uri: JsonValue = {"type": "string", "description": "such as loop://versions/1/script"}
    schema: dict[str, JsonValue] = {"type": "object", "properties": {"uri": uri}, "required": ["uri"]}
    return Definition(READ_RESOURCE, text, {**schema, "additionalProperties": False}, read_only=True)
