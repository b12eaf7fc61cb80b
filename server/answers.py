"""A Step's result or its refusal as what a client reads; the one place that translates errors for MCP."""

import errno
import json
from collections.abc import Mapping

import anyio.to_thread
from mcp_types import CallToolResult, TextContent

from ..loop.errors import LoopError
from ..loop.project.project import Project
from ..loop.project.state import next_call
from ..loop.text import clean
from ..tools import StepResult
from ..tools.results import where_now

_MAX_WHAT = 3_000
_MAX_NEXT = 2_500
_NEXT = "\nNext: "
_REMEDIES = {
    errno.ENOSPC: "free disk space, then ",
    errno.EDQUOT: "free disk space, then ",
    errno.EROFS: "make the project's file system writable, then ",
}


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


def told(text: str) -> str:
    """An error's text, bounded and with invisible characters as escapes: it may quote what a client sent."""
    what, separator, following = text.rpartition(_NEXT)
    if not separator:
        return clean(text, _MAX_WHAT)
    return f"{clean(what, _MAX_WHAT)}{_NEXT}{clean(following, _MAX_NEXT)}"


def not_unicode(arguments: Mapping[str, object]) -> str | None:
    """Says it if a name or a text among the arguments has half a surrogate pair, which UTF-8 can't express."""
    try:
        json.dumps(arguments, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        return f"a text holds U+{ord(error.object[error.start]):04X}, half of a surrogate pair; send whole characters"
    return None


def cause(error: OSError) -> str:
    """What the system says, and of which file where it says that."""
    said = error.strerror or str(error)
    return f"{said}: {error.filename}" if error.filename else said


def remedy(error: OSError) -> str:
    """What must be done before any call can do better; "" where nothing is known."""
    return _REMEDIES.get(error.errno or 0, "")
