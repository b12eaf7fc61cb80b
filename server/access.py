"""Who may speak to the server over HTTP: names in the Host header, origins of web pages, and one bearer token."""

import base64
import binascii
import hashlib
import hmac
import ipaddress
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from mcp.server.transport_security import TransportSecurityMiddleware, TransportSecuritySettings
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ..loop.errors import LoopError

VARIABLE = "PROGRESSIVE_TRAINING_TOKEN"
LEAST_CHARACTERS = 32
_MAKE_ONE = "make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"
_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True)
class Token:
    """A secret of which only the hash is kept, so that it is in no traceback."""

    digest: bytes

    @classmethod
    def of(cls, text: str, where: str) -> "Token":
        """Raises `LoopError` for one that is too short to be a secret, or can't stand in a header."""
        if len(text) < LEAST_CHARACTERS:
            raise LoopError(f"the token has fewer than {LEAST_CHARACTERS} characters", where=where, hint=_MAKE_ONE)
        if not text.isascii() or not text.isprintable() or " " in text:
            raise LoopError("the token holds more than printable ASCII characters", where=where, hint=_MAKE_ONE)
        return cls(_digest(text))

    def matches(self, text: str) -> bool:
        """In the same time for every text."""
        return hmac.compare_digest(self.digest, _digest(text))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()


def find_token(file: str | None) -> Token | None:
    """The token in the named file, else in the environment, from where it is taken away; None if neither is given.

    Raises `LoopError` for a file that can't be read, that others may read or write, or a token that is none.
    """
    given = os.environ.pop(VARIABLE, None)
    if file is None:
        return None if given is None else Token.of(given.strip(), VARIABLE)
    path = Path(file)
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise LoopError("is not a file", where=file, hint="give --token-file a file with the token in it")
        if mode & stat.S_IRWXO:
            raise LoopError("other users may read or change the token", where=file, hint=f"chmod 600 {file}")
        return Token.of(path.read_text(encoding="ascii").strip(), file)
    except (OSError, UnicodeDecodeError) as error:
        told = error.strerror if isinstance(error, OSError) and error.strerror else "it holds no ASCII text"
        raise LoopError(f"the token can't be read: {told}", where=file, hint=_MAKE_ONE) from error


def allowed(host: str, names: tuple[str, ...]) -> TransportSecuritySettings:
    """Refuses what a web page of elsewhere sends here (DNS rebinding).

    Only for requests to loopback, to `host` itself where that is an address, and to `names`.
    """
    wildcard = host in ("0.0.0.0", "::")
    bound = () if wildcard else (f"[{host}]" if ":" in host else host,)
    hosts = dict.fromkeys((*_LOOPBACK_NAMES, *bound, *names))
    return TransportSecuritySettings(
        allowed_hosts=[form for name in hosts for form in (f"{name}:*", *((name,) if name in names else ()))],
        allowed_origins=[
            form
            for name in hosts
            for form in (f"http://{name}:*", *((f"https://{name}", f"https://{name}:*") if name in names else ()))
        ],
    )


class Guard:
    """Lets a request through to `app` from an allowed place, with the token if there is one.

    `/healthz` is open to everybody. Elsewhere a program sends `Authorization: Bearer TOKEN`; a browser, which can't, is
    asked for a name (any) and a password (the token) and may then look, on every path but the MCP endpoint's.
    """

    def __init__(
        self, app: ASGIApp, security: TransportSecuritySettings, token: Token | None, *, endpoint: str, version: str
    ) -> None:
        self._app = app
        self._places = TransportSecurityMiddleware(security)
        self._token = token
        self._endpoint = endpoint
        self._version = version

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # no websocket is served
            return
        refused = await self._answered(Request(scope))
        await (refused or self._app)(scope, receive, send)

    async def _answered(self, request: Request) -> Response | None:
        """The answer to a request that goes no further; None for one that may."""
        # Not request.url: that is put together from what the client says is the host.
        path: str = request.scope["path"]
        if path == "/healthz":
            return JSONResponse({"status": "ok", "version": self._version})
        refused = await self._places.validate_request(request)
        if refused is not None or self._token is None or self._is_known(request, path):
            return refused
        scheme = "Bearer" if path == self._endpoint else "Basic"
        return JSONResponse(
            {"error": "invalid_token", "error_description": "send Authorization: Bearer TOKEN"},
            status_code=401,
            headers={"WWW-Authenticate": f'{scheme} realm="progressive-training"'},
        )

    def _is_known(self, request: Request, path: str) -> bool:
        assert self._token is not None, "asked only where there is a token"
        scheme, _, credentials = Headers(scope=request.scope).get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self._token.matches(credentials.strip())
        # A browser sends a password by itself, also for a page of elsewhere: good for looking only.
        looks = request.method in ("GET", "HEAD") and path != self._endpoint
        return scheme.lower() == "basic" and looks and self._token.matches(_password(credentials))


def _password(credentials: str) -> str:
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return ""


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
