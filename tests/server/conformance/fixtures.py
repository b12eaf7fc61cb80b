"""What the official conformance suite asks a server to hold beside its own: tools, prompts and resources by its names.

Their names, texts and shapes are the suite's; `fixtures.add(server)` puts them into any server.
"""

import base64
import io
import json
import wave
from typing import Any

from mcp.server.context import ServerRequestContext
from mcp.server.mcpserver import MCPServer, require_client_extension
from mcp.server.mcpserver.prompts.base import UserMessage
from mcp.shared.exceptions import MCPError
from mcp_types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    AudioContent,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    EmptyResult,
    ImageContent,
    InputRequiredResult,
    SetLevelRequestParams,
    TextContent,
    TextResourceContents,
)

from progressive_training.server.protocol.tasks_extension import IDENTIFIER

from . import asking_fixtures
from .asking_fixtures import answer_of, form
from .registering import Here, prompt, tool

# One red pixel.
_PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGP4z8DwHwAFAAH/iZk9HQAAAABJRU5ErkJggg=="


def add(server: MCPServer[Any]) -> None:
    """Adds every fixture but the tasks, which `task_fixtures` keeps."""
    for fixture in (
        _contents,
        _progress,
        asking_fixtures.add_for_older_clients,
        asking_fixtures.add,
        _diagnosis,
        _task_tools,
        _resources,
        _prompts,
    ):
        fixture(server)
    # Only clients of the older eras set a level; 2026-07-28 has it in each request.
    lowlevel = server._lowlevel_server  # pyright: ignore[reportPrivateUsage]
    lowlevel.add_request_handler("logging/setLevel", SetLevelRequestParams, _set_level)


async def _set_level(ctx: ServerRequestContext[Any, Any], params: SetLevelRequestParams) -> EmptyResult:
    return EmptyResult()


def _text(text: str) -> TextContent:
    return TextContent(type="text", text=text)


def _image() -> ImageContent:
    return ImageContent(type="image", data=_PNG, mime_type="image/png")


def _resource(uri: str, mime_type: str, text: str) -> EmbeddedResource:
    return EmbeddedResource(type="resource", resource=TextResourceContents(uri=uri, mime_type=mime_type, text=text))


def _silence() -> str:
    made = io.BytesIO()
    with wave.open(made, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(8000)
        file.writeframes(b"\x80" * 8)
    return base64.b64encode(made.getvalue()).decode()


def _contents(server: MCPServer[Any]) -> None:
    @tool(server)
    def test_simple_text() -> str:
        return "This is a simple text response for testing."

    @tool(server)
    def test_image_content() -> ImageContent:
        return _image()

    @tool(server)
    def test_audio_content() -> AudioContent:
        return AudioContent(type="audio", data=_silence(), mime_type="audio/wav")

    @tool(server)
    def test_embedded_resource() -> EmbeddedResource:
        return _resource("test://embedded-resource", "text/plain", "This is an embedded resource content.")

    @tool(server)
    def test_multiple_content_types() -> list[ContentBlock]:
        mixed = _resource(
            "test://mixed-content-resource", "application/json", json.dumps({"test": "data", "value": 123})
        )
        return [_text("Multiple content types test:"), _image(), mixed]

    @tool(server)
    def test_error_handling() -> CallToolResult:
        return CallToolResult(content=[_text("This tool intentionally returns an error for testing")], is_error=True)


def _progress(server: MCPServer[Any]) -> None:
    @tool(server)
    async def test_tool_with_progress(ctx: Here) -> str:
        for done in (0, 50, 100):
            await ctx.report_progress(done, 100, f"Completed step {done} of 100")
        return "0"

    @tool(server)
    async def test_tool_with_logging(ctx: Here) -> str:
        for told in ("Tool execution started", "Tool processing data", "Tool execution completed"):
            await ctx.session.send_log_message("info", told, related_request_id=ctx.request_id)
        return "Tool with logging executed successfully"


def _diagnosis(server: MCPServer[Any]) -> None:
    @tool(server)
    def test_missing_capability(ctx: Here) -> str:
        if ctx.client_capabilities is None or ctx.client_capabilities.sampling is None:
            needed = {"requiredCapabilities": {"sampling": {}}}
            raise MCPError(MISSING_REQUIRED_CLIENT_CAPABILITY, "Missing required client capability", needed)
        return "Success"

    @tool(server)
    async def test_streaming_elicitation(ctx: Here) -> str:
        await ctx.report_progress(50, 100)
        return "Streaming complete"

    @tool(server)
    async def test_logging_tool(ctx: Here) -> str:
        await ctx.session.send_log_message("info", "Diagnostic trace", related_request_id=ctx.request_id)
        return "Logging evaluated"

    @tool(server)
    async def test_trigger_tool_change(ctx: Here) -> str:
        await ctx.notify_tools_changed()
        return "Mutation triggered"

    @tool(server)
    async def test_trigger_prompt_change(ctx: Here) -> str:
        await ctx.notify_prompts_changed()
        return "Mutation triggered"


def _task_tools(server: MCPServer[Any]) -> None:
    """As a client that declared no tasks sees them; `task_fixtures` makes tasks of all but the first."""

    @tool(server)
    def greet(name: str) -> str:
        return f"Hello, {name}!"

    @tool(server)
    def slow_compute(seconds: float, label: str = "") -> str:
        return f"computed {label}"

    def needs_tasks(ctx: Here) -> str:
        require_client_extension(ctx.request_context, IDENTIFIER)
        return "a task does this"

    @tool(server)
    def failing_job(ctx: Here) -> str:
        return needs_tasks(ctx)

    @tool(server)
    def protocol_error_job(ctx: Here) -> str:
        return needs_tasks(ctx)

    @tool(server)
    def confirm_delete(filename: str, ctx: Here) -> str:
        return needs_tasks(ctx)

    @tool(server)
    def multi_input(ctx: Here) -> str:
        return needs_tasks(ctx)

    @tool(server)
    def test_tool_with_task(ctx: Here) -> Any:
        """The question comes first; the call that answers it becomes the task."""
        require_client_extension(ctx.request_context, IDENTIFIER)
        name = answer_of(ctx, "user_name", "name")
        if name is None:
            return InputRequiredResult(input_requests={"user_name": form("What is your name?", "name")})
        return f"Hello, {name}!"


def _resources(server: MCPServer[Any]) -> None:
    @server.resource("test://static-text", mime_type="text/plain")
    def _text_resource() -> str:
        return "This is the content of the static text resource."

    @server.resource("test://static-binary", mime_type="image/png")
    def _binary_resource() -> bytes:
        return base64.b64decode(_PNG)

    @server.resource("test://template/{id}/data", mime_type="application/json")
    def _template(id: str) -> str:
        return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})

    @server.resource("test://watched-resource", mime_type="text/plain")
    def _watched() -> str:
        return "watched"


def _prompts(server: MCPServer[Any]) -> None:
    @prompt(server)
    def test_simple_prompt() -> str:
        return "This is a simple prompt for testing."

    @prompt(server)
    def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
        return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"

    @prompt(server)
    def test_prompt_with_embedded_resource(resourceUri: str) -> list[UserMessage]:
        shown = _resource(resourceUri, "text/plain", "Embedded resource content for testing.")
        return [UserMessage(shown), UserMessage("Please process the embedded resource above.")]

    @prompt(server)
    def test_prompt_with_image() -> list[UserMessage]:
        return [UserMessage(_image()), UserMessage("Please analyze the image above.")]
