"""`progressive-training serve`, which goes on until it is interrupted."""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...loop.project.project import Project
from ..serving import serve
from .options import INTERRUPTED, project_of

if TYPE_CHECKING:
    from starlette.routing import BaseRoute


def on_serve(arguments: argparse.Namespace) -> int:
    """Serves the MCP tools, and over HTTP the dashboard's pages beside them."""
    try:
        serve(
            project_of(arguments).kept_warm(),
            arguments.http,
            token_file=arguments.token_file,
            allowed_hosts=arguments.allowed_host,
            routes=_pages,
        )
    except KeyboardInterrupt:
        sys.stderr.write("The server has ended. A running job goes on; any server or command finds it again.\n")
        return INTERRUPTED
    return 0


def _pages(project: Project) -> "Sequence[BaseRoute]":
    """What a browser sees of the HTTP server."""
    from ..dashboard.routes import routes

    return routes(project)
