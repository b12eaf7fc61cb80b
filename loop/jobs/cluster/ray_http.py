"""Ray's Jobs API over HTTP: what a request carries, and what an answer means in the user's words.

No package of Ray's is needed here. What a protected cluster asks for comes from this process's environment, by Ray's
own names: RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token unless RAY_AUTH_MODE is "disabled", and
RAY_JOB_HEADERS. It goes into the request's headers and nowhere else.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from pydantic import JsonValue, TypeAdapter, ValidationError

from ...errors import RunError

if TYPE_CHECKING:
    import httpx2

# A busy head may think for a while; an address where nobody is should be known soon.
_CONNECT_SECONDS, _ANSWER_SECONDS = 5.0, 30.0
# A list of some ten thousand jobs; more is not what this was made for.
_MOST_BYTES = 64 << 20
_SAID = 300
_GO_ON = "jobs there go on"
_HEADERS = TypeAdapter(dict[str, str])


class RayApi:
    """The Jobs API at `address`. Threads may share it."""

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        self._made: httpx2.Client | None = None
        self._making = threading.Lock()

    def get(self, path: str) -> bytes | None:
        """None for what the cluster doesn't have. Raises: RunError."""
        status, content = self._ask("GET", path, None)
        return None if status == 404 else self._successful(status, content)

    def post(self, path: str, body: Mapping[str, JsonValue] | None = None) -> bytes | None:
        """None for what the cluster doesn't have. Raises: RunError; `Unanswered` if it may have been done."""
        status, content = self._ask("POST", path, body)
        return None if status == 404 else self._successful(status, content)

    def not_ray(self) -> RunError:
        return self._error("does not answer as Ray's Jobs API", "execution_config.ray.address is that of the dashboard")

    def _successful(self, status: int, content: bytes) -> bytes:
        if not 200 <= status < 300:
            raise self._error(f"answered {status}: {_last_line(content)}", f"see the cluster's log; {_GO_ON}")
        return content

    def _ask(self, method: str, path: str, body: Mapping[str, JsonValue] | None) -> tuple[int, bytes]:
        import httpx2

        try:
            with self._client().stream(method, self.address + path, json=body, headers=self._headers()) as answer:
                if answer.is_redirect:
                    # Never followed: the token would go with it.
                    to = urlsplit(answer.headers.get("location", "")).netloc or "another path"
                    hint = f"give the final address in execution_config.ray.address; {_GO_ON}"
                    raise self._error(f"sends us on to {to}", hint)
                if answer.status_code in (401, 403):
                    raise self._refused(answer.status_code)
                content = b""
                for part in answer.iter_bytes():
                    content += part
                    if len(content) > _MOST_BYTES:
                        raise self._error(f"answers with more than {_MOST_BYTES >> 20} MB", "delete jobs of the past")
                return answer.status_code, content
        except httpx2.InvalidURL as error:
            raise self._error(f"is no address ({error})", "correct execution_config.ray.address") from error
        except httpx2.HTTPError as error:
            reason = str(error) or type(error).__name__
            kind = RunError if isinstance(error, (httpx2.ConnectError, httpx2.ConnectTimeout)) else Unanswered
            hint = f"see that the cluster is up and execution_config.ray.address is right; {_GO_ON}"
            raise kind(f"Ray can't be reached ({reason})", where=self.address, hint=hint) from error

    def _client(self) -> httpx2.Client:
        import httpx2

        with self._making:
            if self._made is None:
                try:
                    self._made = httpx2.Client(
                        timeout=httpx2.Timeout(_ANSWER_SECONDS, connect=_CONNECT_SECONDS),
                        follow_redirects=False,
                        # Proxies and certificates of the environment are for other machines.
                        trust_env=not _is_loopback(self.address),
                    )
                except (OSError, ValueError, ImportError) as error:
                    # Without its words: a proxy's address may hold a password.
                    hint = "correct SSL_CERT_FILE, SSL_CERT_DIR or the *_PROXY variables where the server runs"
                    kind = type(error).__name__
                    raise self._error(f"can't be asked: a proxy or certificate can't be used ({kind})", hint) from None
            return self._made

    def _headers(self) -> dict[str, str]:
        # Each time: a token's file may be renewed while the server runs.
        headers = _extra_headers()
        if "authorization" not in {name.lower() for name in headers} and (token := _token()):
            headers["Authorization"] = f"Bearer {token}"
        if not all(_fits(name) and _fits(value) for name, value in headers.items()):
            hint = "no line breaks, and letters of ASCII only"
            raise self._error("RAY_AUTH_TOKEN or RAY_JOB_HEADERS holds what no header can carry", hint)
        return headers

    def _refused(self, status: int) -> RunError:
        given = "the token is not the cluster's" if "Authorization" in self._headers() else "it wants a token"
        hint = "set RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH (RAY_JOB_HEADERS for a proxy) where the server runs"
        return self._error(f"refuses us ({status}): {given}", f"{hint}; {_GO_ON}")

    def _error(self, what: str, hint: str) -> RunError:
        return RunError(f"Ray {what}", where=self.address, hint=hint)


class Unanswered(RunError):
    """The request may have been carried out all the same."""

    default_code = "run_unanswered"


def path_of(job: str, verb: str = "") -> str:
    """Where one job is."""
    return f"/api/jobs/{quote(job, safe='')}" + (f"/{verb}" if verb else "")


def _extra_headers() -> dict[str, str]:
    text = os.environ.get("RAY_JOB_HEADERS", "")
    if not text:
        return {}
    try:
        return _HEADERS.validate_json(text)
    except ValidationError:
        # Without its cause, which would quote the value.
        raise RunError('RAY_JOB_HEADERS is not a JSON object of texts, such as {"X-Key": "…"}') from None


def _token() -> str:
    """Looked for as Ray itself does."""
    if os.environ.get("RAY_AUTH_MODE", "token").lower() != "token":
        return ""
    if token := os.environ.get("RAY_AUTH_TOKEN", "").strip():
        return token
    named = os.environ.get("RAY_AUTH_TOKEN_PATH", "")
    path = Path(named) if named else Path.home() / ".ray" / "auth_token"
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        if not named:
            return ""
        raise RunError("RAY_AUTH_TOKEN_PATH names a file that doesn't exist", where=named) from None
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"the token can't be read ({type(error).__name__})", where=str(path)) from None


def _fits(text: str) -> bool:
    return bool(text) and text.isascii() and text.isprintable()


def _is_loopback(address: str) -> bool:
    host = urlsplit(address).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _last_line(content: bytes) -> str:
    """The point of a traceback, which is what Ray answers with."""
    text = content[-4096:].decode(errors="replace")
    try:
        text = str(json.loads(content)["msg"])
    except (ValueError, KeyError, TypeError):
        lines = [line.strip() for line in text.splitlines() if line.strip(" .\t")]
        text = lines[-1] if lines else "no word"
    return text[:_SAID]
