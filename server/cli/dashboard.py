"""`progressive-training dashboard`: the pages on loopback, under a token that is made at each start."""

import argparse
import secrets
import socket
import sys
from contextlib import suppress

import uvicorn
from starlette.applications import Starlette

from ...loop.errors import LoopError
from ..bearer_token import Token
from ..dashboard.access import Access
from ..dashboard.routes import routes
from ..listening import configured
from .options import project_of

HOST = "127.0.0.1"


def on_dashboard(arguments: argparse.Namespace) -> int:
    """Serves until it is interrupted; port 0 takes a free one. Raises `LoopError` for a port that is taken."""
    project, port = project_of(arguments), arguments.port
    _ = project.workspace  # raises for a folder that is not there, before anything is served
    try:
        listening = socket.create_server((HOST, port))
    except OSError as error:
        told = f"port {port} can't be listened on ({error.strerror})"
        raise LoopError(told, where="--port", hint="name another port, or 0 for a free one") from error
    token, port = secrets.token_urlsafe(32), listening.getsockname()[1]
    address = f"http://{HOST}:{port}/?token={token}"
    sys.stdout.write(f"The dashboard of {project.workspace.root}, read-only; Ctrl-C ends it:\n\n  {address}\n\n")
    sys.stdout.flush()
    app = Access(Starlette(routes=routes(project)), Token.of(token, "the dashboard's token"), HOST, port)
    # Ctrl-C is how it is meant to end; uvicorn hands the signal on once it has closed.
    with listening, suppress(KeyboardInterrupt):
        uvicorn.Server(configured(app)).run(sockets=[listening])
    return 0
