"""Serving the tools: over stdio for clients that start us, over HTTP on loopback for those that connect."""

import ipaddress
import logging
import sys

from ..loop.errors import LoopError
from ..loop.project import Project
from .app import build_server


def serve(project: Project, http: str | None) -> None:
    """Serves until the client goes away (stdio) or the process is ended. Jobs go on either way.

    Raises `LoopError` for an address that isn't on loopback.
    """
    # stdout is the wire on stdio, so every word of ours goes to stderr.
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    address = loopback(http) if http is not None else None
    server = build_server(project)
    _ = project.workspace
    if address is None:
        server.run("stdio")
    else:
        host, port = address
        sys.stderr.write(f"progressive-training serves {project.workspace.root} at http://{http}/mcp\n")
        server.run("streamable-http", host=host, port=port)


def loopback(address: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT`. Raises `LoopError` unless the host is a loopback address."""
    host, separator, port = address.rpartition(":")
    host = host.strip("[]")
    if not separator or not port.isdigit() or not 0 < int(port) < 65536:
        raise LoopError(f"{address!r} is not HOST:PORT", where="--http", hint="use for example 127.0.0.1:8765")
    try:
        is_loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise LoopError(
            f"{host!r} is not a loopback address, and whoever reaches these tools runs code here",
            where="--http",
            hint="serve on 127.0.0.1 and reach it through an SSH tunnel",
        )
    return host, int(port)
