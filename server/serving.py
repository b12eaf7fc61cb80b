"""Serving the tools: over stdio for clients that start us, over HTTP on loopback for those that connect."""

import ipaddress
import logging
import os
import socket
import sys

from mcp.server.transport_security import TransportSecuritySettings

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
        _require_free(host, port)
        sys.stderr.write(f"progressive-training serves {project.workspace.root} at http://{http}/mcp\n")
        server.run("streamable-http", host=host, port=port, transport_security=_only_for(host))


def _require_free(host: str, port: int) -> None:
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError as error:
        told = os.strerror(error.errno) if error.errno else str(error)
        raise LoopError(f"{host}:{port}: {told}", where="--http", hint="name another port") from error


def _only_for(host: str) -> TransportSecuritySettings:
    """Refuses what a web page of elsewhere sends here (DNS rebinding); the SDK itself does so for some hosts."""
    names = dict.fromkeys(("127.0.0.1", "localhost", "[::1]", f"[{host}]" if ":" in host else host))
    return TransportSecuritySettings(
        allowed_hosts=[f"{name}:*" for name in names], allowed_origins=[f"http://{name}:*" for name in names]
    )


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
