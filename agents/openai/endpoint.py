"""An OpenAI-compatible server: its address and key, what is tried again, and its errors in our words."""

import json
import os
import re
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

import anyio
from pydantic import JsonValue

from ...loop.errors import LoopError
from ..base import AgentStopped
from ..model.wire import Unanswerable

if TYPE_CHECKING:
    from httpx2 import Response

OPENAI = "https://api.openai.com/v1"
_GO_ON = "start the same command again; the loop goes on where it stands"
# With the waits (half a second, doubled up to eight, or what retry-after says) a bit more than a minute.
MAX_RETRIES = 12
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 8.0
_CONNECT_SECONDS = 10.0
# A whole reply of a large model on a small machine; nothing comes before it is finished.
_REPLY_SECONDS = 3600.0
_PASSING = {408, 409, 425, 429, 500, 502, 503, 504, 529}
_THE_REQUEST = {400, 413, 422, 500}


def connect(base_url: str | None = None) -> "Endpoint":
    """The server at `base_url`, else OPENAI_BASE_URL, else OpenAI's own, with the key OPENAI_API_KEY if there is one.

    Raises `LoopError` for an address that is none, and for OpenAI's own without a key.
    """
    url = (base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI).rstrip("/")
    if not re.fullmatch(r"https?://[^/@?#\s]+(/[^@?#\s]*)?", url):
        raise LoopError(
            "must be http://HOST:PORT/v1 or https://…, without name, password or query",
            where="--base-url",
            hint="put a key into OPENAI_API_KEY, and the rest in this form",
        )
    key = os.environ.get("OPENAI_API_KEY", "").strip()
    if not key and url == OPENAI:
        raise LoopError(
            "there is no key for OpenAI's API: OPENAI_API_KEY is not set",
            hint="export OPENAI_API_KEY=… in this shell, name another server with --base-url (Ollama: "
            "http://127.0.0.1:11434/v1), or use --agent offline, which needs neither",
        )
    return Endpoint(url, key)


class Endpoint:
    """One server that is asked over HTTP. Nobody is followed to another address, so that the key goes nowhere else."""

    def __init__(self, url: str, key: str = "", *, retries: int = MAX_RETRIES) -> None:
        from httpx2 import AsyncClient, Timeout

        self.url = url
        self.secrets = (key,) if key else ()
        self._retries = retries
        self._answered = False
        self._http = AsyncClient(
            headers={"authorization": f"Bearer {key}"} if key else {},
            timeout=Timeout(_REPLY_SECONDS, connect=_CONNECT_SECONDS),
        )

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.__aexit__(kind, error, trace)

    async def post(self, path: str, body: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        """What the server answers; what may pass is tried again. Raises `AgentStopped`, of it `Unanswerable`."""
        from httpx2 import HTTPError

        data = json.dumps(body, ensure_ascii=False).encode()
        for tried in range(self._retries + 1):
            last = tried == self._retries
            try:
                response = await self._http.post(
                    f"{self.url}{path}", content=data, headers={"content-type": "application/json"}
                )
            except HTTPError as error:
                if last or not self._may_pass(error):
                    raise self._unreached(error) from error
                await anyio.sleep(_wait(tried, None))
                continue
            self._answered = True
            if response.status_code in _PASSING and not last:
                await anyio.sleep(_wait(tried, response.headers.get("retry-after")))
                continue
            return self._read(response, str(body.get("model")))
        raise AssertionError("the last try returns or raises")

    def _may_pass(self, error: Exception) -> bool:
        """A server that never answered is not there; one that did may come back. A reply that took an hour may not."""
        from httpx2 import ReadTimeout

        return self._answered and not isinstance(error, ReadTimeout)

    def _unreached(self, error: Exception) -> AgentStopped:
        from httpx2 import ReadTimeout

        if isinstance(error, ReadTimeout):
            what = f"the server at {self.url} did not answer within {_REPLY_SECONDS / 60:.0f} minutes"
            return AgentStopped(what, where="--base-url", hint=f"see what it does, or take a smaller model; {_GO_ON}")
        said = " ".join(str(error).split()) or type(error).__name__
        return AgentStopped(
            f"no server answers at {self.url} ({said[:300]})",
            where="--base-url",
            hint=f"start the server, or name the address that it says it listens at; then {_GO_ON}",
        )

    def _read(self, response: "Response", model: str) -> dict[str, JsonValue]:
        try:
            answer: JsonValue = response.json()
        except ValueError:  # no JSON, or no text
            answer = response.text[:600]
        if response.status_code == 200 and isinstance(answer, dict) and not answer.get("error"):
            return answer
        raise self._explained(response.status_code, answer, model)

    def _explained(self, status: int, answer: JsonValue, model: str) -> AgentStopped:
        """What the server says, and what to do about it."""
        kind = Unanswerable if status in _THE_REQUEST else AgentStopped
        match status:
            case 401 | 403:
                what, hint = "the server refuses the key", f"check OPENAI_API_KEY, then {_GO_ON}"
            case 404 | 405:
                what = f"the server knows no such address, or not the model {model}"
                hint = "see --base-url, which mostly ends with /v1, and --model"
            case 429:
                what, hint = "the server's rate limit is reached, also after waiting", f"wait a while, then {_GO_ON}"
            case 500 | 502 | 503 | 504 | 529:
                what, hint = "the server is overloaded or broken, also after waiting", f"see its log, then {_GO_ON}"
            case 200:
                what, hint = "the server answers with no chat completion", "see that --base-url is one's of a model"
            case _:
                what = "the server refuses the request"
                hint = (
                    f"see what it says above; a model for this needs tools and room for about 32,000 tokens. {_GO_ON}"
                )
        said = _said(answer)
        for secret in self.secrets:
            said = said.replace(secret, "[secret]")
        return kind(f"{what} (HTTP {status}: {said})", where=f"--base-url {self.url}", hint=hint)


def _wait(tried: int, retry_after: str | None) -> float:
    try:
        asked = float(retry_after or "")
    except ValueError:
        asked = -1.0
    # A server that asks for more than a minute is not waited for: the retries' end says why.
    return min(asked, 60.0) if asked >= 0 else min(_FIRST_WAIT * 2**tried, _LONGEST_WAIT)


def _said(answer: JsonValue) -> str:
    """The server's own words, wherever it puts them."""
    error = answer.get("error", answer.get("detail", answer)) if isinstance(answer, dict) else answer
    told = error.get("message", error) if isinstance(error, dict) else error
    text = told if isinstance(told, str) else json.dumps(told, ensure_ascii=False)
    return " ".join(text.split())[:600] or "it says nothing"
