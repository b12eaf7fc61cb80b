"""Where the server is reached over HTTP."""

import ipaddress

from ..loop.errors import LoopError

ENDPOINT = "/mcp"


def host_and_port(address: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT`. Raises `LoopError` for anything else."""
    host, separator, port = address.rpartition(":")
    host = host.strip("[]")
    if not separator or not host or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65536:
        raise LoopError(f"{address!r} is not HOST:PORT", where="--http", hint="use for example 127.0.0.1:8765")
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the host; False for a name other than localhost, whatever it means here."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
