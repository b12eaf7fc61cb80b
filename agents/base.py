"""What the agents share: how they call the loop over any MCP client, and how they report and stop."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from ..loop.errors import LoopError

if TYPE_CHECKING:
    from mcp.types import CallToolResult, ReadResourceResult

WAIT_SECONDS = 45
"""How long one call waits for a training; clients give up after 60."""


class AgentStopped(LoopError):
    """The driver can't go on by itself, and a person has to look."""

    default_code = "agent_stopped"


class ToolClient(Protocol):
    """The part of `mcp.Client` that the driver uses."""

    async def call_tool(self, name: str, arguments: dict[str, Any] | None = None) -> "CallToolResult": ...

    async def read_resource(self, uri: str) -> "ReadResourceResult": ...


class Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class NextCall(Wire):
    """The one legal next call, ready to be made."""

    tool: str
    arguments: dict[str, JsonValue] = Field(default_factory=dict)
    why: str = ""

    @property
    def version(self) -> int | None:
        value = self.arguments.get("version")
        return value if isinstance(value, int) else None


class Refusal(Wire):
    """Why a call was refused, by its code; `next` says what to do instead."""

    code: str = "refused"
    what: str
    where: str | None = None
    next: str | None = None


class _Refused(Wire):
    error: Refusal


def refusal_of(result: "CallToolResult") -> Refusal:
    """What a tool's error says; of one that isn't the loop's there are only words."""
    try:
        return _Refused.model_validate(result.structured_content).error
    except ValidationError:
        return Refusal(what=text_of(result))


def text_of(result: "CallToolResult") -> str:
    return "\n".join(block.text for block in result.content if block.type == "text") or "the tool gave no reason"


@dataclass(frozen=True)
class Event:
    """One Step that is done, in words."""

    step: str
    version: int | None
    text: str
