"""Asking the user, where the client can, for what only the user may decide."""

from typing import Any

import anyio.to_thread
from mcp.server.mcpserver import Context
from mcp_types import ElicitRequest, ElicitRequestFormParams, ElicitResult, InputRequiredResult
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import BaseModel, Field

from ..loop.errors import UserDecision
from ..loop.project import Project
from ..loop.starting import accept_protocol, accept_rules

_KEY = "user_decision"


class Decision(BaseModel):
    accept: bool = Field(description="Accept the change and go on with the loop")


async def ask(project: Project, decision: UserDecision, context: Context[Any, Any]) -> InputRequiredResult | bool:
    """True once the user accepted the change, which is then pinned; False if not, or if the client can't ask.

    A client of the present protocol is asked by an `InputRequiredResult`, which the tool returns; it calls again.
    """
    capabilities = context.client_capabilities
    if capabilities is None or capabilities.elicitation is None:
        return False
    message = f"{decision.what}. Go on under the changed text?"
    if context.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        answer = await context.elicit(message, Decision)
        accepted = answer.action == "accept" and answer.data.accept
    else:
        response = (context.input_responses or {}).get(_KEY)
        if response is None:
            form = ElicitRequestFormParams(message=message, requested_schema=_schema())
            return InputRequiredResult(input_requests={_KEY: ElicitRequest(params=form)})
        accepted = (
            isinstance(response, ElicitResult)
            and response.action == "accept"
            and (response.content or {}).get("accept") is True
        )
    if accepted:
        accept = accept_rules if decision.subject == "rules" else accept_protocol
        await anyio.to_thread.run_sync(accept, project)
    return accepted


def _schema() -> dict[str, Any]:
    schema = Decision.model_json_schema()
    return {"type": "object", "properties": schema["properties"], "required": schema["required"]}
