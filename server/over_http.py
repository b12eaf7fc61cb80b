"""The tools over streamable HTTP, and the loop's pages beside them."""

import os
import socket
import sys
from collections.abc import Sequence
from importlib.metadata import version as installed_version
from typing import TYPE_CHECKING, Any

import anyio
import uvicorn

from ..loop.errors import LoopError
from ..loop.project.project import Project
from .access import Guard, allowed
from .addresses import ENDPOINT, host_and_port, is_loopback
from .app import build_server
from .bearer_token import VARIABLE, Token, find_token, own_file, own_token
from .dashboard.routes import routes
from .listening import configured

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer
    from starlette.routing import BaseRoute


def serve_http(project: Project, http: str, token_file: str | None, names: tuple[str, ...]) -> None:
    """Serves at HOST:PORT until the process is ended; see `serving.serve`."""
    host, port = host_and_port(http)
    root = project.workspace.root
    token = find_token(token_file, root)
    known = "the token that was given"
    if token is None:
        _require_loopback(host)
        token, known = Token.of(own_token(own_file(), root), "the user's token"), f"the token in {own_file()}"
    app = http_app(project, host, port, token=token, allowed_hosts=names, routes=routes(project))
    _require_free(host, port)
    told = "" if is_loopback(host) else " (unencrypted: put TLS in front of it)"
    sys.stderr.write(
        f"progressive-training serves {root} at http://{http}{ENDPOINT}{told}\n"
        f"to who sends {known}; in a browser, at http://{http}/, it is the password of any name\n"
    )
    anyio.run(uvicorn.Server(configured(app, host, port)).serve)


def _require_loopback(host: str) -> None:
    if not is_loopback(host):
        raise LoopError(
            f"{host!r} is not a loopback address, and whoever reaches these tools runs code here",
            where="--http",
            hint=f"serve on 127.0.0.1 and use an SSH tunnel, or give a token (--token-file or {VARIABLE})",
        )


def http_app(
    project: Project,
    host: str,
    port: int,
    *,
    token: Token | None = None,
    allowed_hosts: tuple[str, ...] = (),
    routes: "Sequence[BaseRoute]" = (),
    server: "MCPServer[Any] | None" = None,
) -> Guard:
    """The ASGI application: MCP at `/mcp`, `/healthz`, and whatever `routes` add.

    Routes are ordinary Starlette routes and are looked up after those two, so one of them may be a `Mount("/")`. Every
    request to them has passed the same checks of Host, Origin and token as one to `/mcp`; they check nothing
    themselves. A browser without the token is asked for it (as the password of any name), for GET and HEAD only.
    Without a `token` everybody is let in, and `server` is another one than the project's own: both for tests.
    """
    security = allowed(host, port, allowed_hosts)
    mcp = (server or build_server(project)).streamable_http_app(
        streamable_http_path=ENDPOINT, host=host, transport_security=security
    )
    mcp.router.routes.extend(routes)
    return Guard(mcp, security, token, endpoint=ENDPOINT, version=installed_version("progressive-training"))


def _require_free(host: str, port: int) -> None:
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError as error:
        told = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise LoopError(f"{host}:{port}: {told}", where="--http", hint="name another address or port") from error
