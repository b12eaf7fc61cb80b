"""What the agents share: how they call the loop over any MCP client, and how they report and stop."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from ..loop.errors import LoopError

if TYPE_CHECKING:
    from mcp.types import CallToolResult, ReadResourceResult

WAIT_SECONDS = 45
"""How long one call waits for a training; clients give up after 60."""


class AgentStopped(LoopError):
    """The driver can't go on by itself, and a person has to look."""


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


@dataclass(frozen=True)
class Event:
    """One Step that is done, in words."""

    step: str
    version: int | None
    text: str
