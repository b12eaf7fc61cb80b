"""Asking the user, where the client can, for what only the user may decide."""

from typing import Any, Literal

import anyio.to_thread
from mcp.server.mcpserver import Context
from mcp_types import ClientCapabilities, ElicitRequest, ElicitRequestFormParams, ElicitResult, InputRequiredResult
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import BaseModel, Field

from ..loop.errors import UserDecision
from ..loop.project import Project

_KEY = "user_decision"


class Decision(BaseModel):
    accept: bool = Field(description="Accept the change and go on with the loop")


async def ask(project: Project, decision: UserDecision, context: Context[Any, Any]) -> InputRequiredResult | bool:
    """True once the user accepted the change, which is then pinned; False if not, or if the client can't ask.

    A client of the present protocol is asked by an `InputRequiredResult`, which the tool returns; it calls again.
    """
    if not can_ask(context.client_capabilities):
        return False
    if context.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        answer = await context.elicit(_message(decision), Decision)
        accepted = answer.action == "accept" and answer.data.accept
    else:
        response = (context.input_responses or {}).get(_KEY)
        if response is None:
            return InputRequiredResult(input_requests={_KEY: question(decision)})
        accepted = isinstance(response, ElicitResult) and is_yes(response)
    if accepted:
        await accept(project, decision.subject)
    return accepted


def can_ask(capabilities: ClientCapabilities | None) -> bool:
    """Whether a client with these capabilities shows its user a question."""
    return capabilities is not None and capabilities.elicitation is not None


def question(decision: UserDecision) -> ElicitRequest:
    return ElicitRequest(params=ElicitRequestFormParams(message=_message(decision), requested_schema=_schema()))


def is_yes(response: ElicitResult) -> bool:
    return response.action == "accept" and (response.content or {}).get("accept") is True


async def accept(project: Project, subject: Literal["rules", "protocol"]) -> None:
    """Pins what the user accepted. Raises `LoopError`."""
    from ..loop.starting import accept_protocol, accept_rules

    await anyio.to_thread.run_sync(accept_rules if subject == "rules" else accept_protocol, project)


def _message(decision: UserDecision) -> str:
    return f"{decision.what}. Go on under the changed text?"


def _schema() -> dict[str, Any]:
    schema = Decision.model_json_schema()
    return {"type": "object", "properties": schema["properties"], "required": schema["required"]}
