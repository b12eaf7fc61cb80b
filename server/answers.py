"""A Step's result or its refusal as what a client reads; the one place that translates errors for MCP."""

import base64
import errno
import json
from collections.abc import Mapping
from typing import Literal

import anyio.to_thread
from mcp_types import CallToolResult, ImageContent, TextContent

from ..loop.errors import ErrorCode, LoopError
from ..loop.project.project import Project
from ..loop.project.state import next_call
from ..loop.text import clean
from ..tools import StepResult
from ..tools.results import where_now

RefusalCode = ErrorCode | Literal["system_error", "wrong_arguments"]
"""What an error result says in `error.code`."""

_MAX_WHAT = 3_000
_MAX_NEXT = 2_500
_MAX_WHERE = 500
_REMEDIES = {
    errno.ENOSPC: "free disk space, then ",
    errno.EDQUOT: "free disk space, then ",
    errno.EROFS: "make the project's file system writable, then ",
}


def answer(result: StepResult) -> CallToolResult:
    """The same twice: structured, and as text for clients that read only that; then its pictures."""
    images = (base64.b64encode(data).decode() for data in result.images)
    return CallToolResult(
        content=[
            TextContent(type="text", text=result.model_dump_json(exclude_none=True)),
            *(ImageContent(type="image", data=data, mime_type="image/png") for data in images),
        ],
        structured_content=result.model_dump(mode="json", exclude_none=True),
    )


async def refusal(project: Project, error: LoopError | OSError) -> CallToolResult:
    """What was wrong and what to do next. A `LoopError` that names no way on gets the one that is always right."""
    if isinstance(error, LoopError):
        following = await _way_on(project) if error.hint is None else error.hint
        if error.finished:
            following = f"{following}. {', '.join(error.finished)}: finished, and kept; resend the call to go on"
        return _refused(error.code, error.what, error.where, following, error.part, error.finished)
    what = f"the project could not be read or written: {cause(error)}"
    return _refused("system_error", what, None, await _way_on(project, remedy(error)))


async def wrong_arguments(project: Project, tool: str, why: str) -> CallToolResult:
    """What is wrong with a call before anything is done, with the legal next call."""
    return _refused("wrong_arguments", f"{tool} got wrong arguments: {why}", None, await _way_on(project))


def _refused(
    code: RefusalCode,
    what: str,
    where: str | None,
    following: str,
    part: str | None = None,
    finished: tuple[str, ...] = (),
) -> CallToolResult:
    """A tool error: as text for people and models, and by its code and its parts for programs.

    All is bounded, with invisible characters as escapes: it may quote what a client sent.
    """
    error: dict[str, object] = {"code": code, "what": clean(what, _MAX_WHAT)}
    text = clean(f"{where}: {what}" if where else what, _MAX_WHAT)
    if part is not None:
        error |= {"part": part, "finished": list(finished)}
        text = f"{part} refused: {text}"
    if where:
        error["where"] = clean(where, _MAX_WHERE)
    if following:
        error["next"] = clean(following, _MAX_NEXT)
        text = f"{text}\nNext: {error['next']}"
    return CallToolResult(
        content=[TextContent(type="text", text=text)], structured_content={"error": error}, is_error=True
    )


async def _way_on(project: Project, first: str = "") -> str:
    """The call that is always right, after what must be done `first`; "" where that can't be known."""
    try:
        state = await anyio.to_thread.run_sync(where_now, project)
    except LoopError as error:
        return f"{first}{error.hint}" if error.hint else ""
    except OSError:  # the project can't be read either, which is what is being told
        return first.rstrip()
    return f"{first}{next_call(state)}"


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
