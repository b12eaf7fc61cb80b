"""Who may look at a dashboard that is served alone: whoever opens the address with its token, on this machine.

A browser can't send a bearer token. It opens the address with `?token=` once and gets a cookie in its place, which
scripts can't read, other sites can't use, and which opens the dashboard only: it is derived from the token, and nothing
else takes it. Cookies know no ports, so another program of this machine that the browser visits sees that cookie, and
could read these pages with it. Below `serve --http` the server's own guard asks instead (server/access.py).
"""

import hashlib
import hmac
from urllib.parse import parse_qsl, urlencode

from mcp.server.transport_security import TransportSecurityMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ..access import CLOSED, allowed, places_refusal
from ..bearer_token import Token

COOKIE = "progressive_training_dashboard"
_LOGIN = (
    "401: this dashboard asks for its token.\n\n"
    "Open the address that the command printed when it started; it ends with ?token=…\n"
)


class Access:
    """Lets a request through to `app` if it names this machine and knows the token.

    Not guaranteed: secrecy on the wire; it is meant for loopback.
    """

    def __init__(self, app: ASGIApp, token: Token, host: str, port: int) -> None:
        self._app = app
        self._token = token
        self._places = TransportSecurityMiddleware(allowed(host, port, ()))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":  # no websocket is served
            request = Request(scope)
            refused = await places_refusal(self._places, request) or self._answered(request)
            await (refused or self._app)(scope, receive, send)

    def _answered(self, request: Request) -> Response | None:
        """What to answer in place of the page; None to let it through."""
        given = request.query_params.get("token")
        if given is not None and request.method in ("GET", "HEAD") and self._token.matches(given):
            return self._with_cookie(request)  # so that the token stays in no address bar
        if given is None and hmac.compare_digest(request.cookies.get(COOKIE, "").encode(), self._session.encode()):
            return None
        return PlainTextResponse(_LOGIN, 401, {"WWW-Authenticate": "Bearer", **CLOSED})

    @property
    def _session(self) -> str:
        """What the cookie holds: it proves the token and doesn't tell it."""
        return hmac.new(self._token.digest, b"progressive-training dashboard", hashlib.sha256).hexdigest()

    def _with_cookie(self, request: Request) -> Response:
        """To the same page without the token."""
        rest = [pair for pair in parse_qsl(request.url.query, keep_blank_values=True) if pair[0] != "token"]
        # The path alone: never to another host, and `//host` would be one.
        target = "/" + request.url.path.lstrip("/\\") + (f"?{urlencode(rest)}" if rest else "")
        answer = RedirectResponse(target, 303, {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})
        answer.set_cookie(COOKIE, self._session, httponly=True, samesite="strict", path="/")
        return answer
