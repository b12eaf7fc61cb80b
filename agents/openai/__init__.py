"""The agent that thinks with any model behind an OpenAI-compatible server: chat completions with tools.

endpoint           where the server is, how it is asked, and what it says when it doesn't answer
chat_completions   messages, tools and replies as that API has them
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from ...loop.project.project import Project
from ..base import Event
from ..model import Options, Spent, Transcript, drive
from .chat_completions import ChatCompletions
from .endpoint import Endpoint, connect

if TYPE_CHECKING:
    from mcp import Client

__all__ = ["ChatCompletions", "Endpoint", "Options", "agent", "connect"]


def agent(
    project: Project, options: Options, base_url: str | None = None
) -> Callable[["Client", Callable[[Event], None], int | None], Awaitable[Spent]]:
    """The agent with the server at `base_url` (or the environment's) and a transcript in the project.

    Raises `LoopError` for an address that is none, and for OpenAI's own without a key.
    """
    endpoint = connect(base_url)
    transcript = Transcript(project.workspace.tree, ChatCompletions.name, secrets=endpoint.secrets)

    async def run(client: "Client", tell: Callable[[Event], None], last_version: int | None) -> Spent:
        async with endpoint:
            wire = ChatCompletions(endpoint, options)
            return await drive(client, wire, options, transcript, on_event=tell, last_version=last_version)

    return run
