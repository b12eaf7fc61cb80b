"""A scripted chat completions API on loopback: the scripts of `MessagesApi`, over the other wire.

    with ChatApi(script) as api:
        Endpoint(f"{api.url}/v1", "dummy")   # or OPENAI_BASE_URL=…/v1

A request is put into the form of the Messages API before the script sees it, and its reply into a completion after, so
that one script serves both; `request.raw` is what was sent. Messages that strict templates refuse, such as two of the
user's in a row, get a 400 and fail the test.
"""

import json
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from typing import Any

from .messages_api import Dropped, HttpError, Json, MessagesApi, Reply, Request, Script

_FINISHED = {"end_turn": "stop", "tool_use": "tool_calls", "max_tokens": "length", "refusal": "content_filter"}


class ChatApi(MessagesApi):
    """`bent` is what a server makes of the completion that OpenAI's own would send."""

    def __init__(self, script: Script, bent: Callable[[Json], Json] = lambda made: made) -> None:
        super().__init__(script)
        self.bent = bent

    def handler(self) -> type[BaseHTTPRequestHandler]:
        return _handler(self)


def translated(body: Json) -> Json:
    """A chat completions request as one of the Messages API. Raises `ValueError` for what a strict server refuses."""
    first, *rest = body["messages"]
    if first["role"] != "system":
        raise ValueError("the first message must be the system's")
    messages: list[Json] = []
    for place, message in enumerate(rest):
        before = rest[place - 1]["role"] if place else "system"
        match message["role"]:
            case "user" if before in ("user", "tool"):
                raise ValueError("roles must alternate: user after " + before)
            case "user":
                messages.append({"role": "user", "content": [{"type": "text", "text": message["content"]}]})
            case "tool":
                result = {"type": "tool_result", "tool_use_id": message["tool_call_id"], "content": message["content"]}
                if message["content"].startswith("The call was refused: "):
                    result["is_error"] = True
                if before == "tool":
                    messages[-1]["content"].append(result)
                else:
                    messages.append({"role": "user", "content": [result]})
            case _:
                messages.append({"role": "assistant", "content": _blocks(message)})
    tools = [tool["function"] for tool in body.get("tools", [])]
    named = [{**tool, "input_schema": tool["parameters"]} for tool in tools]
    return {**body, "system": first["content"], "messages": messages, "tools": named, "max_tokens": 1}


def _blocks(message: Json) -> list[Json]:
    said = [{"type": "text", "text": message["content"]}] if message["content"] else []
    calls = [
        {
            "type": "tool_use",
            "id": call["id"],
            "name": call["function"]["name"],
            "input": json.loads(call["function"]["arguments"]),
        }
        for call in message.get("tool_calls", [])
    ]
    return [*said, *calls]


def completion(message: Json) -> Json:
    """The Messages API's message as a chat completion."""
    blocks, usage = message["content"], message["usage"]
    calls = [
        {
            "id": block["id"],
            "type": "function",
            "function": {
                "name": block["name"],
                "arguments": block["input"] if isinstance(block["input"], str) else json.dumps(block["input"]),
            },
        }
        for block in blocks
        if block["type"] == "tool_use"
    ]
    said: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(block["text"] for block in blocks if block["type"] == "text") or None,
        "refusal": (message["stop_details"] or {}).get("explanation"),
        **({"tool_calls": calls} if calls else {}),
    }
    thought = "".join(block["thinking"] for block in blocks if block["type"] == "thinking")
    if thought:
        said["reasoning_content"] = thought
    read = usage["cache_read_input_tokens"]
    prompt = usage["input_tokens"] + usage["cache_creation_input_tokens"] + read
    return {
        "id": message["id"],
        "object": "chat.completion",
        "model": message["model"],
        "choices": [{"index": 0, "message": said, "finish_reason": _FINISHED[message["stop_reason"]]}],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": usage["output_tokens"],
            "total_tokens": prompt + usage["output_tokens"],
            "prompt_tokens_details": {"cached_tokens": read},
        },
    }


def _handler(api: ChatApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length", 0)))
            if self.path != "/v1/chat/completions":
                api.others.append((self.command, self.path))
                self._send(404, {"error": {"message": f"no route for {self.path}"}})
                return
            try:
                body = translated(json.loads(raw))
            except ValueError as error:
                api.problems.append(f"request {len(api.requests)}: {error}")
                self._send(400, {"error": {"message": str(error)}})
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            message, answer = api.answer(Request(body, raw, headers, {}))
            match answer:
                case HttpError():
                    after = {} if answer.retry_after is None else {"retry-after": f"{answer.retry_after:g}"}
                    told = {"message": answer.message, "type": "scripted", "code": None}
                    self._send(answer.status, {"error": told}, after)
                case Dropped():
                    self.close_connection = True
                case Reply():
                    self._send(200, api.bent(completion(message)))

        def log_message(self, format: str, *args: object) -> None:
            return

        def _send(self, status: int, body: Json, headers: Mapping[str, str] | None = None) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            for name, value in {"content-type": "application/json", **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    return Handler
