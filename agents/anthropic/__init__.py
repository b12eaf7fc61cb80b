"""The agent that thinks with a Claude model, over the Messages API.

Only this package imports `anthropic`, and only `run --agent anthropic` imports this package.
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from ...loop.project.project import Project
from ..base import Event
from ..model import Spent, Transcript, drive
from .messages_api import MessagesApi, connect
from .prices import Options

if TYPE_CHECKING:
    from mcp import Client

__all__ = ["MessagesApi", "Options", "agent", "connect"]


def agent(
    project: Project, options: Options
) -> Callable[["Client", Callable[[Event], None], int | None], Awaitable[Spent]]:
    """The agent with the credentials of the environment and a transcript in the project. Raises `LoopError`."""
    api = connect()
    wire = MessagesApi(api, options)
    transcript = Transcript(project.workspace.tree, wire.name, secrets=wire.secrets)

    async def run(client: "Client", tell: Callable[[Event], None], last_version: int | None) -> Spent:
        async with api:
            return await drive(client, wire, options, transcript, on_event=tell, last_version=last_version)

    return run
