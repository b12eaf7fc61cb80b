"""Who may speak to the server over HTTP: names in the Host header, origins of web pages, and one bearer token."""

import base64
import binascii

from mcp.server.transport_security import TransportSecurityMiddleware, TransportSecuritySettings
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from .bearer_token import Token

_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
# Of these a second one would be for whoever looks at the other.
_SINGLE = ("host", "origin", "authorization")
# Who is refused keeps no connection open.
CLOSED = {"Connection": "close", "Cache-Control": "no-store"}
_NAMES = (
    "421: the Host header names another host or port than this server's.\n\n"
    "Reach it under its own address and port, or start it with --allowed-host NAME or NAME:PORT.\n"
)
_ORIGINS = "403: this page is of another origin (Origin header), and no page of elsewhere may call.\n"
_DESCRIPTION = (
    "send Authorization: Bearer TOKEN. `progressive-training token` prints this user's, "
    "`progressive-training setup CLIENT --http HOST:PORT` connects a client with it, and a browser takes it as the "
    "password of any name"
)


def allowed(host: str, port: int, names: tuple[str, ...]) -> TransportSecuritySettings:
    """Refuses what a web page of elsewhere sends here (DNS rebinding), also one of another port of this machine.

    Only for requests to loopback or to `host` itself where that is an address, at `port`, and to `names`: NAME is
    reached at the usual port and at ours, NAME:PORT at that one.
    """
    wildcard = host in ("0.0.0.0", "::")
    bound = () if wildcard else (f"[{host}]" if ":" in host else host,)
    usual = port == 80
    own = [form for name in dict.fromkeys((*_LOOPBACK_NAMES, *bound)) for form in _forms(name, port, bare=usual)]
    named = [form for name in names for form in _forms(name, port, bare=True)]
    return TransportSecuritySettings(
        allowed_hosts=[*own, *named],
        allowed_origins=[*(f"http://{one}" for one in (*own, *named)), *(f"https://{one}" for one in named)],
    )


def _forms(name: str, port: int, *, bare: bool) -> tuple[str, ...]:
    """How a name may stand in a header: as it is, and with our port where it has none."""
    if name.rpartition(":")[2].isdigit() and not name.endswith("]"):
        return (name,)
    return (f"{name}:{port}", *((name,) if bare else ()))


async def places_refusal(places: TransportSecurityMiddleware, request: Request) -> Response | None:
    """What to answer to a request that names another host, or comes from a page of elsewhere; None for any other."""
    if any(len(request.headers.getlist(name)) > 1 for name in _SINGLE):
        return PlainTextResponse("a header comes twice\n", 400, CLOSED)
    refused = await places.validate_request(request)
    if refused is None:
        return None
    return PlainTextResponse(_NAMES if refused.status_code == 421 else _ORIGINS, refused.status_code, CLOSED)


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
        refused = await places_refusal(self._places, request)
        if refused is not None or self._token is None or self._is_known(request, path):
            return refused
        scheme = "Bearer" if path == self._endpoint else "Basic"
        return JSONResponse(
            {"error": "invalid_token", "error_description": _DESCRIPTION},
            status_code=401,
            headers={"WWW-Authenticate": f'{scheme} realm="progressive-training"', **CLOSED},
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
