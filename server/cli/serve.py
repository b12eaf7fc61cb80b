"""`progressive-training serve`, which goes on until it is interrupted."""

import argparse
import sys

from ..serving import serve
from .options import INTERRUPTED, project_of


def on_serve(arguments: argparse.Namespace) -> int:
    """Serves the MCP tools, and over HTTP the dashboard's pages beside them."""
    try:
        serve(
            project_of(arguments).kept_warm(),
            arguments.http,
            token_file=arguments.token_file,
            allowed_hosts=arguments.allowed_host,
        )
    except KeyboardInterrupt:
        sys.stderr.write("The server has ended. A running job goes on; any server or command finds it again.\n")
        return INTERRUPTED
    return 0
