"""The wire to the Messages API: credentials, retries, its errors in our words, and messages as it has them."""

from collections.abc import Sequence
from importlib.metadata import version as installed_version
from typing import cast

import anthropic
from anthropic import AsyncAnthropic, CredentialsError, omit
from anthropic.lib.credentials import WorkloadIdentityError
from anthropic.types.beta import BetaMessage, BetaMessageParam, BetaTextBlockParam, BetaToolParam, BetaToolUseBlock
from pydantic import JsonValue

from ...loop.errors import LoopError
from ..base import AgentStopped
from ..model.tools import Answer, Definition
from ..model.wire import Call, Ended, Message, Reply
from .prices import Options

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


class MessagesApi:
    """The wire to a Claude model.

    `most_tokens` keeps below what the SDK wants to be streamed: it retries no stream that breaks off.
    """

    name = "anthropic"
    most_tokens = 20_000

    def __init__(self, api: AsyncAnthropic, options: Options) -> None:
        self._api = api
        self._options = options
        self.secrets = secrets(api)
        self.about: dict[str, JsonValue] = {"sdk": installed_version("anthropic")}

    def tools(self, definitions: Sequence[Definition]) -> list[Message]:
        """With a cache mark at the last one."""
        made: list[dict[str, JsonValue]] = [
            {"name": one.name, "description": one.description, "input_schema": one.input_schema} for one in definitions
        ]
        made[-1]["cache_control"] = {"type": "ephemeral"}
        return [*made]

    def said(self, messages: Sequence[Message], text: str) -> list[Message]:
        """After what was said before, whatever that is."""
        return [*messages, {"role": "user", "content": [{"type": "text", "text": text}]}]

    def results(self, answers: Sequence[tuple[Call, Answer]]) -> list[Message]:
        """All of them in one message."""
        return [{"role": "user", "content": [_result(call, answer) for call, answer in answers]}]

    async def ask(self, system: tuple[str, ...], tools: Sequence[Message], messages: Sequence[Message]) -> Reply:
        """One reply of the Messages API; the SDK tries again. Raises `AgentStopped`."""
        texts: list[BetaTextBlockParam] = [{"type": "text", "text": text} for text in system]
        texts[-1]["cache_control"] = {"type": "ephemeral"}
        try:
            reply = await self._api.beta.messages.create(
                model=self._options.model,
                max_tokens=self.most_tokens,
                system=texts,
                tools=cast(list[BetaToolParam], tools),
                messages=cast(list[BetaMessageParam], messages),
                # The mark moves on by itself to the last message.
                cache_control={"type": "ephemeral"},
                output_config={"effort": self._options.effort} if self._options.effort else omit,
            )
        except anthropic.APIError as error:
            raise explained(error, self._options.model) from error
        except (CredentialsError, WorkloadIdentityError) as error:
            raise unreadable(error) from error
        return _reply(reply)


def _reply(reply: BetaMessage) -> Reply:
    raw = cast(dict[str, JsonValue], _plain(reply))
    refusal = None
    if reply.stop_reason == "refusal":
        details = reply.stop_details
        reason = (details.category, details.explanation) if details else ()
        refusal = ": ".join(part for part in reason if part) or "it gave no reason"
    ended: Ended = "itself"
    if reply.stop_reason in ("max_tokens", "model_context_window_exceeded"):
        ended = "at its limit"
    elif reply.stop_reason == "pause_turn":
        ended = "paused"
    return Reply(
        message={"role": "assistant", "content": raw["content"]} if reply.content else None,
        raw=raw,
        calls=tuple(
            Call(block.id, block.name, cast(JsonValue, block.input))
            for block in reply.content
            if isinstance(block, BetaToolUseBlock)
        ),
        usage=reply.usage,
        ended=ended,
        refusal=refusal,
    )


def _plain(reply: BetaMessage) -> JsonValue:
    """As it came; with no warnings, since arguments that are no object are told to the model and not to the user."""
    return cast(JsonValue, reply.model_dump(mode="json", exclude_unset=True, warnings=False))


def _result(call: Call, answer: Answer) -> JsonValue:
    pictures: list[JsonValue] = [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}
        for data in answer.pictures
    ]
    content: JsonValue = [{"type": "text", "text": answer.text}, *pictures] if pictures else answer.text
    made: dict[str, JsonValue] = {"type": "tool_result", "tool_use_id": call.id, "content": content}
    return {**made, "is_error": True} if answer.is_error else made
