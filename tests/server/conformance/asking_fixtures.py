"""The suite's tools that ask something of the client, in the way of either era."""

import json
from typing import Any, cast

from mcp.server.mcpserver import MCPServer
from mcp_types import (
    CreateMessageRequest,
    CreateMessageRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    InputRequiredResult,
    ListRootsRequest,
    SamplingMessage,
    TextContent,
)

from .registering import Here, prompt, tool


def add_for_older_clients(server: MCPServer[Any]) -> None:
    """Requests of the server's own, which only the older eras have."""

    @tool(server)
    async def test_sampling(prompt: str, ctx: Here) -> str:
        asked = SamplingMessage(role="user", content=TextContent(type="text", text=prompt))
        answer = await ctx.session.create_message([asked], max_tokens=100, related_request_id=ctx.request_id)
        return f"LLM response: {getattr(answer.content, 'text', '')}"

    async def elicited(ctx: Here, message: str, schema: dict[str, Any]) -> str:
        answer = await ctx.session.elicit_form(message, schema, related_request_id=ctx.request_id)
        return f"action={answer.action}, content={json.dumps(answer.content or {})}"

    @tool(server)
    async def test_elicitation(message: str, ctx: Here) -> str:
        field = {"response": {"type": "string", "description": "User's response"}}
        schema = {"type": "object", "properties": field, "required": ["response"]}
        return f"User response: {await elicited(ctx, message, schema)}"

    @tool(server)
    async def test_elicitation_sep1034_defaults(ctx: Here) -> str:
        fields = {
            "name": {"type": "string", "default": "John Doe"},
            "age": {"type": "integer", "default": 30},
            "score": {"type": "number", "default": 95.5},
            "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
            "verified": {"type": "boolean", "default": True},
        }
        schema = {"type": "object", "properties": fields, "required": []}
        return f"Elicitation completed: {await elicited(ctx, 'Review the form', schema)}"

    @tool(server)
    async def test_elicitation_sep1330_enums(ctx: Here) -> str:
        plain = ["option1", "option2", "option3"]
        titled = [{"const": f"value{n}", "title": f"Choice {n}"} for n in (1, 2, 3)]
        several = {"type": "array", "minItems": 1, "maxItems": 3}
        fields = {
            "untitledSingle": {"type": "string", "enum": plain},
            "titledSingle": {"type": "string", "oneOf": titled},
            "legacyEnum": {"type": "string", "enum": ["opt1", "opt2"], "enumNames": ["Option One", "Option Two"]},
            "untitledMulti": {**several, "items": {"type": "string", "enum": plain}},
            "titledMulti": {**several, "items": {"anyOf": titled}},
        }
        schema = {"type": "object", "properties": fields, "required": []}
        return f"Elicitation completed: {await elicited(ctx, 'Select options', schema)}"


def form(message: str, field: str, kind: str = "string") -> ElicitRequest:
    """A question with one required field."""
    schema = {"type": "object", "properties": {field: {"type": kind}}, "required": [field]}
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def answer_of(ctx: Here, key: str, field: str) -> str | None:
    """What the client answered, if it answered this and rightly."""
    content: Any = getattr((ctx.input_responses or {}).get(key), "content", None)
    value = cast(dict[str, Any], content).get(field) if isinstance(content, dict) else None
    return None if value is None else str(value)


def _sampling(text: str, tokens: int) -> CreateMessageRequest:
    return CreateMessageRequest(
        params=CreateMessageRequestParams(
            messages=[SamplingMessage(role="user", content=TextContent(type="text", text=text))], max_tokens=tokens
        )
    )


def _sampled(ctx: Here, key: str) -> str | None:
    return getattr(getattr((ctx.input_responses or {}).get(key), "content", None), "text", None)


def _roots(ctx: Here, key: str) -> list[Any] | None:
    return getattr((ctx.input_responses or {}).get(key), "roots", None)


def add(server: MCPServer[Any]) -> None:
    """Questions as results, which the client answers by calling again."""

    @tool(server)
    def test_input_required_result_elicitation(ctx: Here) -> Any:
        name = answer_of(ctx, "user_name", "name")
        if name is None:
            return InputRequiredResult(input_requests={"user_name": form("What is your name?", "name")})
        return f"Hello, {name}!"

    @tool(server)
    def test_input_required_result_sampling(ctx: Here) -> Any:
        told = _sampled(ctx, "sample_request")
        if told is None:
            return InputRequiredResult(input_requests={"sample_request": _sampling("The capital of France?", 100)})
        return f"Sampling result: {told}"

    @tool(server)
    def test_input_required_result_list_roots(ctx: Here) -> Any:
        roots = _roots(ctx, "roots_request")
        if roots is None:
            return InputRequiredResult(input_requests={"roots_request": ListRootsRequest()})
        return f"Found {len(roots)} root(s)"

    def confirmed(ctx: Here, kind: str, told: str) -> Any:
        if ctx.request_state == kind and answer_of(ctx, "confirm", "ok") is not None:
            return told
        return InputRequiredResult(
            input_requests={"confirm": form("Please confirm", "ok", "boolean")}, request_state=kind
        )

    @tool(server)
    def test_input_required_result_request_state(ctx: Here) -> Any:
        return confirmed(ctx, "request-state", "state-ok: requestState validated")

    @tool(server)
    def test_input_required_result_tampered_state(ctx: Here) -> Any:
        return confirmed(ctx, "tamper-test", "integrity-ok: state verified")

    @tool(server)
    def test_input_required_result_multiple_inputs(ctx: Here) -> Any:
        name, greeting = answer_of(ctx, "user_name", "name"), _sampled(ctx, "greeting")
        roots = _roots(ctx, "client_roots")
        if name is None or greeting is None or roots is None:
            asked = {
                "user_name": form("What is your name?", "name"),
                "greeting": _sampling("Generate a greeting", 50),
                "client_roots": ListRootsRequest(),
            }
            return InputRequiredResult(input_requests=cast(Any, asked), request_state="multiple-inputs")
        return f"Name: {name}; Greeting: {greeting}; Roots: {len(roots)}"

    @tool(server)
    def test_input_required_result_multi_round(ctx: Here) -> Any:
        state = json.loads(ctx.request_state or "{}")
        name, color = answer_of(ctx, "step1", "name"), answer_of(ctx, "step2", "color")
        if "name" in state and color is not None:
            return f"Multi-round complete for {state['name']} who likes {color}"
        if state.get("round") == 1 and name is not None:
            asked = form("Step 2: What is your favorite color?", "color")
            return InputRequiredResult(
                input_requests={"step2": asked}, request_state=json.dumps({"round": 2, "name": name})
            )
        asked = form("Step 1: What is your name?", "name")
        return InputRequiredResult(input_requests={"step1": asked}, request_state=json.dumps({"round": 1}))

    @tool(server)
    def test_input_required_result_capabilities(ctx: Here) -> Any:
        if ctx.input_responses:
            return f"capabilities-ok: received {', '.join(ctx.input_responses)}"
        can, asked = ctx.client_capabilities, dict[str, Any]()
        if can is not None and can.elicitation is not None:
            asked["elicit_input"] = form("Elicitation input", "value")
        if can is not None and can.sampling is not None:
            asked["sample_input"] = _sampling("Sample request", 50)
        return InputRequiredResult(input_requests=asked) if asked else "No supported capabilities declared"

    @prompt(server)
    def test_input_required_result_prompt(ctx: Here) -> Any:
        context = answer_of(ctx, "user_context", "context")
        if context is None:
            return InputRequiredResult(input_requests={"user_context": form("What context?", "context")})
        return f"Prompt with context: {context}"
