"""The wire to chat completions with tools, as OpenAI, Ollama, vLLM, llama.cpp and LM Studio serve them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from ..base import AgentStopped
from ..model.budget import Options
from ..model.tools import Answer, Definition
from ..model.wire import Call, Ended, Message, Reply
from .endpoint import Endpoint

# Text and JSON have three to six.
_MOST_CHARACTERS_A_TOKEN = 8


class _Outer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Function(_Outer):
    name: str
    arguments: JsonValue = None


class _ToolCall(_Outer):
    id: str | None = None
    function: _Function


class _Said(_Outer):
    content: JsonValue = None
    refusal: str | None = None
    tool_calls: tuple[_ToolCall, ...] | None = None


class _Choice(_Outer):
    message: _Said
    finish_reason: str | None = None


class _Cached(_Outer):
    cached_tokens: int | None = None


class _Counted(_Outer):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: _Cached | None = None


class _Completion(_Outer):
    choices: tuple[_Choice, ...]
    usage: _Counted | None = None


@dataclass(frozen=True)
class _Usage:
    input_tokens: int
    output_tokens: int
    cache_read_input_tokens: int
    cache_creation_input_tokens: int = 0


class ChatCompletions:
    """The wire to a model behind an endpoint.

    No limit is set to a reply: servers name it differently, and refuse one that their context has no room for.
    """

    name = "openai"
    most_tokens = None

    def __init__(self, endpoint: Endpoint, options: Options) -> None:
        self._endpoint = endpoint
        self._options = options
        self.secrets = endpoint.secrets
        self.about: dict[str, JsonValue] = {"base_url": endpoint.url}

    def tools(self, definitions: Sequence[Definition]) -> list[Message]:
        """Each as a function."""
        return [
            {
                "type": "function",
                "function": {"name": one.name, "description": one.description, "parameters": one.input_schema},
            }
            for one in definitions
        ]

    def said(self, messages: Sequence[Message], text: str) -> list[Message]:
        """After a message of ours it becomes a part of that: many models' templates want turns to alternate."""
        if messages and messages[-1]["role"] != "assistant":
            *before, last = messages
            return [*before, {**last, "content": f"{last['content']}\n\n{text}"}]
        return [*messages, {"role": "user", "content": text}]

    def results(self, answers: Sequence[tuple[Call, Answer]]) -> list[Message]:
        """A message each; the API has no mark for a call that was refused, so that its text says it."""
        return [
            {
                "role": "tool",
                "tool_call_id": call.id,
                "content": f"The call was refused: {answer.text}" if answer.is_error else answer.text,
            }
            for call, answer in answers
        ]

    async def ask(self, system: tuple[str, ...], tools: Sequence[Message], messages: Sequence[Message]) -> Reply:
        """One reply. Raises `AgentStopped`, and `Unanswerable` where the server won't take the request."""
        first: Message = {"role": "system", "content": "\n\n".join(system)}
        body: dict[str, JsonValue] = {
            "model": self._options.model,
            "messages": [dict(one) for one in (first, *messages)],
            "tools": [dict(one) for one in tools],
            **({"reasoning_effort": self._options.effort} if self._options.effort else {}),
        }
        raw = await self._endpoint.post("/chat/completions", body)
        try:
            completion = _Completion.model_validate(raw)
            choice = completion.choices[0]
        except (ValidationError, IndexError) as error:
            raise AgentStopped(
                f"the server at {self._endpoint.url} answers with no chat completion",
                where="--base-url",
                hint="see that it is one of a model; the address mostly ends with /v1",
            ) from error
        counted = completion.usage
        if counted is None and (self._options.max_tokens_total or self._options.max_usd):
            raise AgentStopped(
                "the server doesn't say how many tokens a reply took, so no budget can be kept",
                where=f"--base-url {self._endpoint.url}",
                hint="leave --max-tokens-total and --max-usd out, or turn usage on in the server",
            )
        counted = counted or _Counted()
        sent = sum(len(json.dumps(one, ensure_ascii=False)) for one in (*tools, first, *messages))
        return replace(_reply(raw, choice, counted), note=_cut_short(sent, counted.prompt_tokens))


def _cut_short(characters: int, tokens: int) -> str | None:
    """What to say where the server can't have read all of it; some drop what doesn't fit, and don't tell."""
    if not 0 < tokens < characters / _MOST_CHARACTERS_A_TOKEN:
        return None
    return (
        "the server counts far fewer tokens than were sent, so it may have cut the prompt off: give the model room for "
        "about 32,000 (Ollama: OLLAMA_CONTEXT_LENGTH=32768)"
    )


def _reply(raw: Mapping[str, JsonValue], choice: _Choice, counted: _Counted) -> Reply:
    said = choice.message
    calls = tuple(
        Call(one.id or f"call_{place}", one.function.name, _arguments(one.function.arguments))
        for place, one in enumerate(said.tool_calls or ())
    )
    cached = (counted.prompt_tokens_details.cached_tokens if counted.prompt_tokens_details else None) or 0
    ended: Ended = "at its limit" if choice.finish_reason == "length" else "itself"
    filtered = "its answer was filtered" if choice.finish_reason == "content_filter" else None
    return Reply(
        message=_sent_back(raw, calls) if calls or said.content else None,
        raw=dict(raw),
        calls=calls,
        usage=_Usage(counted.prompt_tokens - cached, counted.completion_tokens, cached),
        ended=ended,
        refusal=said.refusal or filtered,
    )


def _arguments(given: JsonValue) -> JsonValue:
    """What the text holds, which it need not; some servers send the object itself, or nothing for no arguments."""
    if not isinstance(given, str):
        return {} if given is None else given
    try:
        return json.loads(given) if given.strip() else {}
    except (ValueError, RecursionError):
        return given


def _sent_back(raw: Mapping[str, JsonValue], calls: Sequence[Call]) -> Message:
    """The message as it came, since servers keep marks of their own in it, but for what isn't there."""
    choices = cast(list[dict[str, dict[str, JsonValue]]], raw["choices"])
    message = {name: value for name, value in choices[0]["message"].items() if value is not None}
    made: dict[str, JsonValue] = {**message, "role": "assistant", "content": message.get("content", "")}
    given = cast(list[dict[str, JsonValue]], message.get("tool_calls") or [])
    if given:
        made["tool_calls"] = [
            {
                **one,
                "type": "function",
                "id": call.id,
                "function": {"name": call.name, "arguments": json.dumps(call.arguments, ensure_ascii=False)},
            }
            for one, call in zip(given, calls, strict=True)
        ]
    return made
