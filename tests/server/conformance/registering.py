"""How a fixture is put into a server."""

from collections.abc import Callable
from typing import Any

from mcp.server.mcpserver import Context, MCPServer

Here = Context[Any, Any]


def tool(server: MCPServer[Any]) -> Any:
    """Registers a fixture; the suite wants a description and the function's name is one."""
    return lambda function: server.tool(description=_described(function), structured_output=False)(function)


def prompt(server: MCPServer[Any]) -> Any:
    return lambda function: server.prompt(description=_described(function))(function)


def _described(function: Callable[..., Any]) -> str:
    return function.__name__.replace("_", " ")
