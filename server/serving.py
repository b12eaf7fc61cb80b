"""Serving the tools: over stdio for clients that start us, over HTTP for those that connect."""

import logging
import sys
from collections.abc import Sequence

from ..loop.errors import LoopError
from ..loop.project.project import Project
from .app import build_server
from .importing import uncollected


def serve(
    project: Project,
    http: str | None,
    *,
    token_file: str | None = None,
    allowed_hosts: Sequence[str] = (),
) -> None:
    """Serves until the client goes away (stdio) or the process is ended. Jobs go on either way.

    Raises `LoopError` for an address that others could reach without a token, and for a token that is none.
    """
    # stdout is the wire on stdio, so every word of ours goes to stderr.
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    if http is None:
        if token_file is not None or allowed_hosts:
            raise LoopError("--token-file and --allowed-host are for HTTP", hint="add --http HOST:PORT")
        with uncollected():
            server = build_server(project)
        _ = project.workspace
        server.run("stdio")
    else:
        from .over_http import serve_http  # a server on stdio starts without uvicorn and the pages

        serve_http(project, http, token_file, tuple(allowed_hosts))
