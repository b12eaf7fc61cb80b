"""The scripted Messages API is what the SDK takes for the real one."""

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest

from support.messages_api import (
    Dropped,
    HttpError,
    MessagesApi,
    Reply,
    Script,
    Text,
    Thinking,
    ToolUse,
    Usage,
    call,
    text,
)

ASK: Any = {"model": "claude-opus-5-5", "max_tokens": 100, "messages": [{"role": "user", "content": "Hello"}]}
TOOL: Any = {"name": "look", "description": "x" * 400, "input_schema": {"type": "object"}}
MARK = {"cache_control": {"type": "ephemeral"}}
WHOLE = Reply(
    (Thinking("so"), Text("안녕 " * 30), ToolUse("look", {"deep": [1, {"a": "한"}]})), usage=Usage(7, 8, 9, 10)
)


def connected(api: MessagesApi) -> anthropic.Anthropic:
    return anthropic.Anthropic(api_key="dummy", base_url=api.url, max_retries=0)


@pytest.fixture
def served() -> Iterator[Any]:
    """`served(script)` is a running API and a client of it."""
    running: list[MessagesApi] = []

    def serve(script: Script) -> tuple[MessagesApi, anthropic.Anthropic]:
        running.append(MessagesApi(script).__enter__())
        return running[0], connected(running[0])

    yield serve
    running[0].__exit__(None, None, None)


def test_a_stream_adds_up_to_the_plain_message(served: Any) -> None:
    api, client = served([WHOLE, WHOLE, WHOLE])
    plain = client.messages.create(**ASK)
    with client.messages.stream(**ASK) as stream:
        streamed = stream.get_final_message()
    with client.beta.messages.stream(**ASK, betas=["some-beta-2026-01-01"]) as stream:
        beta = stream.get_final_message()
    for message in (streamed, beta):
        assert (message.stop_reason, message.usage.output_tokens) == ("tool_use", 8)
        assert [block.type for block in message.content] == ["thinking", "text", "tool_use"]
        assert message.content[1].text == plain.content[1].text == "안녕 " * 30
        assert message.content[2].input == plain.content[2].input
    assert api.requests[2].headers["anthropic-beta"] == "some-beta-2026-01-01"


def test_malformed_arguments_and_broken_streams_come_through(served: Any) -> None:
    _, client = served([Reply((ToolUse("look", '{"a": 1, "b'),), "max_tokens"), Dropped(text("never"), 3), Dropped()])
    raw = [event for event in client.messages.create(**ASK, stream=True) if event.type == "content_block_delta"]
    assert "".join(event.delta.partial_json for event in raw) == '{"a": 1, "b'
    with pytest.raises(Exception, match="incomplete"), client.messages.stream(**ASK) as stream:
        stream.get_final_message()
    with pytest.raises(anthropic.APIConnectionError):
        client.messages.create(**ASK)


def test_errors_are_the_sdks_own_and_side_questions_are_kept_apart(served: Any) -> None:
    api, client = served([HttpError(529), HttpError(429, retry_after=2)])
    with pytest.raises(anthropic.InternalServerError, match="overloaded_error"):
        client.messages.create(**ASK)
    with pytest.raises(anthropic.RateLimitError) as limited:
        client.messages.create(**ASK)
    assert limited.value.response.headers["retry-after"] == "2"
    counted = {name: ASK[name] for name in ("model", "messages")}
    assert client.messages.count_tokens(**counted).input_tokens > 0
    assert (len(api.requests), api.others) == (2, [("POST", "/v1/messages/count_tokens")])


def test_the_cache_is_read_where_a_request_repeats_what_was_marked(served: Any) -> None:
    _, client = served(lambda request: text("Hm."))
    marked = {**ASK, "tools": [{**TOOL, **MARK}]}
    first, second = (client.messages.create(**marked).usage for _ in range(2))
    assert first.cache_creation_input_tokens == second.cache_read_input_tokens > 100
    assert (first.cache_read_input_tokens, second.cache_creation_input_tokens) == (0, 0)
    other = client.messages.create(**{**marked, "tools": [{**TOOL, "name": "other", **MARK}]}).usage
    assert other.cache_read_input_tokens == 0


def test_what_the_real_api_refuses_is_refused_and_fails_the_test() -> None:
    with pytest.raises(AssertionError, match="without `tool_result` blocks"), MessagesApi([call("look")]) as api:
        client = connected(api)
        reply: Any = client.messages.create(**ASK)
        talk = [*ASK["messages"], {"role": "assistant", "content": reply.content}, {"role": "user", "content": "And?"}]
        with pytest.raises(anthropic.BadRequestError):
            client.messages.create(**{**ASK, "messages": talk})


def test_a_script_that_has_ended_fails_the_test() -> None:
    with (
        pytest.raises(AssertionError, match="no further answer"),
        MessagesApi([]) as api,
        pytest.raises(anthropic.InternalServerError),
    ):
        connected(api).messages.create(**ASK)
