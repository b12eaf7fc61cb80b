"""What the driver wants of a wire: to ask a model, in whichever form its API has messages and tools."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from pydantic import JsonValue

from ..base import AgentStopped
from .budget import Usage
from .tools import Answer, Definition

Message = Mapping[str, JsonValue]
"""One message as it goes over the wire; the driver keeps it and looks into none."""
Ended = Literal["itself", "at its limit", "paused"]


class Unanswerable(AgentStopped):
    """The API won't take the request as it is; a conversation that begins anew may be shorter, and is another one."""

    default_code = "request_refused"


@dataclass(frozen=True)
class Call:
    """A tool that the model called. `arguments` may be anything: a model wrote them."""

    id: str
    name: str
    arguments: JsonValue


@dataclass(frozen=True)
class Reply:
    """What the model said. `message` is sent back with the next request; None where there is nothing to send back.

    `raw` is the whole answer, for the transcript. A refusal carries its reason in `refusal`; `note`
    is for the user, who is told it once.
    """

    message: Message | None
    raw: JsonValue
    calls: tuple[Call, ...]
    usage: Usage
    ended: Ended = "itself"
    refusal: str | None = None
    note: str | None = None


class Wire(Protocol):
    """A model that can be asked. `secrets` must never be written down; `about` is told to the transcript."""

    @property
    def name(self) -> str: ...
    @property
    def secrets(self) -> tuple[str, ...]: ...
    @property
    def about(self) -> Mapping[str, JsonValue]: ...

    @property
    def most_tokens(self) -> int | None:
        """How long a reply may be, thinking included; None where only the model's own limit holds."""
        ...

    def tools(self, definitions: Sequence[Definition]) -> list[Message]:
        """The tools as the API takes them."""
        ...

    def said(self, messages: Sequence[Message], text: str) -> list[Message]:
        """The conversation with what we say to the model; only its last message may differ from one of `messages`."""
        ...

    def results(self, answers: Sequence[tuple[Call, Answer]]) -> list[Message]:
        """The calls' answers, to go after the reply that made them."""
        ...

    async def ask(self, system: tuple[str, ...], tools: Sequence[Message], messages: Sequence[Message]) -> Reply:
        """One reply, asked for again where what went wrong may pass. Raises `AgentStopped`, of it `Unanswerable`."""
        ...
