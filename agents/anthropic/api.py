"""The Messages API's side: credentials, retries, its errors in our words, and tools as its SDK wants them."""

from collections import deque
from typing import cast

import anthropic
from anthropic import AsyncAnthropic
from anthropic.lib.tools import BetaAsyncBuiltinFunctionTool, ToolError
from anthropic.types.beta import BetaImageBlockParam, BetaMessageParam, BetaTextBlockParam, BetaToolParam

from ...loop.errors import LoopError
from ..base import AgentStopped
from .tools import Answer, Definition

# With the SDK's back-off (half a second, doubled up to eight, or what retry-after says) a bit more than a minute.
_MAX_RETRIES = 12
_SET_A_KEY = "export ANTHROPIC_API_KEY=… in this shell, or use --agent offline, which needs none"
_GO_ON = "start the same command again; the loop goes on where it stands"


def connect() -> AsyncAnthropic:
    """A client with the credentials of the environment, as the SDK finds them. Raises `LoopError` if there are none."""
    try:
        api = AsyncAnthropic(max_retries=_MAX_RETRIES)
    except anthropic.AnthropicError as error:  # a profile of the SDK's own that can't be read
        raise unreadable(error) from error
    if not (api.api_key or api.auth_token or api.credentials):
        raise LoopError(
            "there is no key for the Anthropic API: ANTHROPIC_API_KEY is not set",
            hint=_SET_A_KEY,
        )
    return api


def unreadable(error: anthropic.AnthropicError) -> AgentStopped:
    """Why there are no credentials; a profile's are looked up only when they are needed."""
    return AgentStopped(f"the credentials for the Anthropic API can't be read: {error}", hint=_SET_A_KEY)


def secrets(api: AsyncAnthropic) -> tuple[str, ...]:
    """What must never be written down."""
    return tuple(secret for secret in (api.api_key, api.auth_token) if secret)


def explained(error: anthropic.APIError, model: str) -> AgentStopped:
    """What the API says, and what to do about it."""
    match error:
        case anthropic.AuthenticationError() | anthropic.PermissionDeniedError():
            what, hint = "the API refuses the key", f"check ANTHROPIC_API_KEY, then {_GO_ON}"
        case anthropic.NotFoundError():
            what, hint = f"the API does not know the model {model}", "name one that your key may use with --model"
        case anthropic.RateLimitError():
            what, hint = "the API's rate limit is reached, also after waiting", f"wait a while, then {_GO_ON}"
        case anthropic.APITimeoutError() | anthropic.APIConnectionError():
            what, hint = "the API can't be reached, also after trying again", f"check the network, then {_GO_ON}"
        case anthropic.InternalServerError():
            what, hint = "the API is overloaded or broken, also after waiting", f"wait a while, then {_GO_ON}"
        case _:
            what, hint = "the API refuses the request", f"see what it says above, then {_GO_ON}"
    said = " ".join(error.message.split())[:600]
    return AgentStopped(f"{what} ({said})", where="Anthropic API", hint=hint)


def refused(category: str | None, explanation: str | None, where: str) -> AgentStopped:
    """The model's own refusal; asking the same thing again gets the same answer."""
    reason = ": ".join(part for part in (category, explanation) if part) or "it gave no reason"
    hint = "read the user instruction and the script with its eyes, or try another --model; the loop stays as it is"
    return AgentStopped(f"the model refused to go on ({reason})", where=where, hint=hint)


class Answered(BetaAsyncBuiltinFunctionTool):
    """A tool as the SDK's runner wants it.

    The driver has made the calls by the time the runner asks for them: the runner takes any exception for the tool's
    answer, and an `AgentStopped` must end the run.
    """

    def __init__(self, definition: Definition, answers: deque[Answer], *, last: bool) -> None:
        self._definition = definition
        self._answers = answers
        self._last = last

    def to_dict(self) -> BetaToolParam:
        one = self._definition
        made: BetaToolParam = {
            "name": one.name,
            "description": one.description,
            "input_schema": cast(dict[str, object], one.input_schema),
        }
        if self._last:
            made["cache_control"] = {"type": "ephemeral"}
        return made

    async def call(self, input: object) -> str | list[BetaTextBlockParam | BetaImageBlockParam]:
        answer = self._answers.popleft()
        if answer.is_error:
            raise ToolError(answer.text)
        if not answer.pictures:
            return answer.text
        shown: list[BetaImageBlockParam] = [
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}
            for data in answer.pictures
        ]
        return [{"type": "text", "text": answer.text}, *shown]


def user(text: str) -> BetaMessageParam:
    """What we say to the model."""
    return {"role": "user", "content": [{"type": "text", "text": text}]}
