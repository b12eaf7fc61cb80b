"""The agent that thinks with a Claude model: the Anthropic SDK's tool loop over the loop's own MCP tools.

Only this package imports `anthropic`, and only `run --agent anthropic` imports this package.
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from ...loop.project.project import Project
from ..base import Event
from .api import connect, secrets
from .budget import Options, Price, Spent
from .driver import drive
from .transcript import Transcript

if TYPE_CHECKING:
    from mcp import Client

__all__ = ["Options", "Price", "Spent", "Transcript", "agent", "connect", "drive"]


def agent(
    project: Project, options: Options
) -> Callable[["Client", Callable[[Event], None], int | None], Awaitable[Spent]]:
    """The agent with the credentials of the environment and a transcript in the project. Raises `LoopError`."""
    api = connect()
    transcript = Transcript(project.workspace.tree, secrets=secrets(api))

    async def run(client: "Client", tell: Callable[[Event], None], last_version: int | None) -> Spent:
        async with api:
            return await drive(client, api, options, transcript, on_event=tell, last_version=last_version)

    return run
