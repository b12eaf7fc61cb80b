"""A Step's result or its refusal as what a client reads; the one place that translates errors for MCP."""

import anyio.to_thread
from mcp_types import CallToolResult, TextContent

from ..loop.errors import LoopError
from ..loop.project.project import Project
from ..loop.project.state import next_call
from ..tools import StepResult
from ..tools.results import where_now
from .telling import cause, remedy, told


def answer(result: StepResult) -> CallToolResult:
    """The same twice: structured, and as text for clients that read only that."""
    return CallToolResult(
        content=[TextContent(type="text", text=result.model_dump_json(exclude_none=True))],
        structured_content=result.model_dump(mode="json", exclude_none=True),
    )


async def refusal(project: Project, error: LoopError | OSError) -> CallToolResult:
    """What was wrong and what to do next. A `LoopError` that names no way on gets the one that is always right."""
    if isinstance(error, LoopError):
        return await failure(project, str(error), with_next=error.hint is None)
    return await failure(
        project, f"the project could not be read or written: {cause(error)}", first=remedy(error), with_next=True
    )


async def failure(project: Project, text: str, *, with_next: bool = True, first: str = "") -> CallToolResult:
    """The text as a tool error, with the legal next call unless it says what to do itself."""
    if with_next:
        text += await anyio.to_thread.run_sync(_way_on, project, first)
    return CallToolResult(content=[TextContent(type="text", text=told(text))], is_error=True)


def _way_on(project: Project, first: str) -> str:
    try:
        state, _ = where_now(project)
    except LoopError as error:
        return f"\nNext: {first}{error.hint}" if error.hint else ""
    except OSError:  # the project can't be read either, which is what is being told
        return f"\nNext: {first.rstrip()}" if first else ""
    return f"\nNext: {first}{next_call(state)}"
