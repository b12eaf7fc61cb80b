"""Asking the user, where the client can, for what only the user may decide."""

from contextlib import suppress
from functools import partial
from typing import Any, Literal

import anyio.to_thread
from mcp.server.mcpserver import Context
from mcp.shared.exceptions import MCPError
from mcp_types import ClientCapabilities, ElicitRequest, ElicitRequestFormParams, ElicitResult, InputRequiredResult
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import BaseModel, Field, ValidationError

from ...loop.errors import UserDecision
from ...loop.project.project import Project


class Decision(BaseModel):
    accept: bool = Field(description="Accept the change and go on with the loop")


async def ask(project: Project, decision: UserDecision, context: Context[Any, Any]) -> InputRequiredResult | bool:
    """True once the user said yes: the Step is then called again; False if they didn't, or if the client can't ask.

    A client of the present protocol is asked by an `InputRequiredResult`, which the tool returns; it calls again,
    maybe another server than this one. So the request's key says which change the answer is for.
    """
    if not can_ask(context.client_capabilities):
        return False
    if context.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        response = await _answered(decision, context)
    else:
        key = f"user_decision_{decision.digest}"
        response = (context.input_responses or {}).get(key)
        if response is None:
            return InputRequiredResult(input_requests={key: question(decision)})
    accepted = isinstance(response, ElicitResult) and is_yes(response)
    if accepted:
        await accept(project, decision.subject, decision.digest)
    return accepted


async def _answered(decision: UserDecision, context: Context[Any, Any]) -> ElicitResult | None:
    """What a client of an older protocol answers; None where it answers with an error, or with nothing usable."""
    session = context.session
    try:
        # Not context.elicit: it raises where a client accepts without the form's content, which is just no yes.
        return await session.elicit_form(_message(decision), _schema(), related_request_id=context.request_id)
    except (MCPError, ValidationError):
        return None


def can_ask(capabilities: ClientCapabilities | None) -> bool:
    """Whether a client with these capabilities shows its user a form. One that names no mode does (the older way)."""
    modes = None if capabilities is None else capabilities.elicitation
    return modes is not None and (modes.form is not None or modes.url is None)


def question(decision: UserDecision) -> ElicitRequest:
    return ElicitRequest(params=ElicitRequestFormParams(message=_message(decision), requested_schema=_schema()))


def is_yes(response: ElicitResult) -> bool:
    return response.action == "accept" and (response.content or {}).get("accept") is True


async def accept(project: Project, subject: Literal["rules", "protocol"], digest: str) -> None:
    """Pins the change that the user accepted; nothing if it is another by now. Raises `LoopError`."""
    from ...loop.project.integrity import accept_protocol, accept_rules

    accept_change = accept_rules if subject == "rules" else accept_protocol
    with suppress(UserDecision):  # the next call of the Step raises it, and the user is asked about that change
        await anyio.to_thread.run_sync(partial(accept_change, project, asked=digest))


def _message(decision: UserDecision) -> str:
    return f"{decision.what}. Go on under the changed text?"


def _schema() -> dict[str, Any]:
    schema = Decision.model_json_schema()
    return {"type": "object", "properties": schema["properties"], "required": schema["required"]}
