"""A scripted Messages API on loopback, for whatever speaks to one: the `anthropic` SDK, or the real Claude Code.

    with MessagesApi(script) as api:
        AsyncAnthropic(api_key="dummy", base_url=api.url)   # or ANTHROPIC_BASE_URL=api.url ANTHROPIC_API_KEY=dummy

`script` is a function of the `Request`, or an iterable with one item a request; both give a `Reply`, an `HttpError`
or `Dropped`, and an iterable's item may also be a function of the request. It is called by one thread at a time.
Each POST to /v1/messages is kept in `api.requests`, anything else in `api.others`. What the real API would refuse (a
tool result missing, more than four cache breakpoints …) gets its 400, and what goes wrong in the script gets a 500;
both are in `api.problems`, and leaving the context raises them.

Usage that a reply doesn't give is counted at four characters a token, and the prompt cache is kept as the API keeps
it: a prefix up to a `cache_control` mark is written, and read again where a later request repeats it byte for byte.
"""

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import parse_qs, urlsplit

StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use", "pause_turn", "refusal"]
Json = Any  # what `json.loads` gives

_LOOKBACK_BLOCKS = 20  # how far before a mark the API looks for what it has cached
_MAX_MARKS = 4
_CUT = 40  # characters of one streamed delta
_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    429: "rate_limit_error",
    500: "api_error",
    529: "overloaded_error",
}


@dataclass(frozen=True)
class Text:
    text: str


@dataclass(frozen=True)
class Thinking:
    thinking: str
    signature: str = "c2lnbmVk"


@dataclass(frozen=True)
class ToolUse:
    """`arguments` as text is sent as it is, and may be malformed; without streaming it becomes the whole input."""

    name: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict[str, Any])
    id: str = ""


@dataclass(frozen=True)
class Usage:
    input_tokens: int = 0
    output_tokens: int = 0
    cache_creation_input_tokens: int = 0
    cache_read_input_tokens: int = 0


@dataclass(frozen=True)
class Reply:
    """One assistant message; the stop reason is found from the content if none is given, the usage counted.

    `stop_details` is what comes with a refusal: `{"type": "refusal", "category": …, "explanation": …}`.
    """

    content: tuple[Text | Thinking | ToolUse, ...] = ()
    stop_reason: StopReason | None = None
    stop_details: Mapping[str, Any] | None = None
    usage: Usage | None = None


@dataclass(frozen=True)
class HttpError:
    """`retry_after` in seconds, as the header says it; `retry=False` tells the SDK not to try again."""

    status: int
    message: str = "scripted"
    retry_after: float | None = None
    retry: bool | None = None


@dataclass(frozen=True)
class Dropped:
    """The connection is closed without an answer, or after so many events of `during`'s stream."""

    during: Reply | None = None
    after_events: int = 0


Answer = Reply | HttpError | Dropped


@dataclass(frozen=True)
class Request:
    """A POST to /v1/messages; `headers` in lower case."""

    body: Json
    raw: bytes
    headers: Mapping[str, str]
    query: Mapping[str, list[str]]

    @property
    def messages(self) -> list[Json]:
        return self.body["messages"]

    @property
    def model(self) -> str:
        return self.body["model"]

    @property
    def tools(self) -> tuple[str, ...]:
        """The names of the tools that the model may call."""
        return tuple(tool["name"] for tool in self.body.get("tools", []))

    @property
    def system(self) -> str:
        return "\n".join(block.get("text", "") for block in _blocks(self.body.get("system", [])))

    @property
    def said(self) -> str:
        """All text of the last message."""
        return _text(self.messages[-1]["content"])

    @property
    def results(self) -> tuple["Result", ...]:
        """The tool results in the last message."""
        blocks = _blocks(self.messages[-1]["content"])
        return tuple(
            Result(block["tool_use_id"], _text(block.get("content", "")), bool(block.get("is_error")))
            for block in blocks
            if block["type"] == "tool_result"
        )


@dataclass(frozen=True)
class Result:
    """A tool's result as the model gets it."""

    id: str
    text: str
    is_error: bool

    def json(self) -> Json:
        return json.loads(self.text)


Script = Callable[[Request], Answer] | Iterable[Answer | Callable[[Request], Answer]]


def text(words: str, **changes: Any) -> Reply:
    return Reply((Text(words),), **changes)


def call(tool: str, /, **arguments: Any) -> Reply:
    """A reply that calls one tool."""
    return Reply((ToolUse(tool, arguments),))


class MessagesApi:
    def __init__(self, script: Script) -> None:
        self.requests: list[Request] = []
        self.replies: list[Json] = []
        self.others: list[tuple[str, str]] = []
        self.problems: list[str] = []
        self._script = script if callable(script) else _Series(script)
        self._cache: set[str] = set()
        self._numbers = count(1)
        self._turn = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def handler(self) -> type[BaseHTTPRequestHandler]:
        return _handler(self)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        if kind is None:
            assert not self.problems, "\n".join(self.problems)

    def answer(self, request: Request) -> tuple[Json, Answer]:
        """The message to send, None where there is none, and the script's own answer."""
        with self._turn:
            if wrong := problem(request.body):
                self.problems.append(f"request {len(self.requests)}: {wrong}")
                return None, HttpError(400, wrong)
            self.requests.append(request)
            try:
                answer = self._script(request)
            except Exception as error:  # noqa: BLE001 - whatever a test's script raises is the test's failure
                self.problems.append(f"request {len(self.requests)}: {type(error).__name__}: {error}")
                return None, HttpError(500, f"the script failed: {error}", retry=False)
            reply = answer.during if isinstance(answer, Dropped) else answer
            if not isinstance(reply, Reply):
                return None, answer
            message = self._message(request, reply)
            self.replies.append(message)
            return message, answer

    def _message(self, request: Request, reply: Reply) -> Json:
        content = [self._block(block) for block in reply.content]
        calls = any(block["type"] == "tool_use" for block in content)
        usage = reply.usage or self._usage(request.body, content)
        return {
            "id": f"msg_{next(self._numbers):04d}",
            "type": "message",
            "role": "assistant",
            "model": request.model,
            "content": content,
            "stop_reason": reply.stop_reason or ("tool_use" if calls else "end_turn"),
            "stop_sequence": None,
            "stop_details": reply.stop_details and dict(reply.stop_details),
            "usage": dict(vars(usage)),
        }

    def _block(self, block: Text | Thinking | ToolUse) -> Json:
        match block:
            case Text(words):
                return {"type": "text", "text": words}
            case Thinking(thinking, signature):
                return {"type": "thinking", "thinking": thinking, "signature": signature}
            case ToolUse(name, arguments, given):
                arguments = arguments if isinstance(arguments, str) else dict(arguments)
                name_of = given or f"toolu_{next(self._numbers):04d}"
                return {"type": "tool_use", "id": name_of, "name": name, "input": arguments}

    def _usage(self, body: Json, content: Json) -> Usage:
        parts = list(_parts(body))
        marks = [place for place, (_, marked) in enumerate(parts) if marked]
        if body.get("cache_control") and parts:
            marks.append(len(parts) - 1)
        prefixes = [body["model"]]
        for part, _ in parts:
            prefixes.append(prefixes[-1] + part)
        reachable = {place - back for place in marks for back in range(_LOOKBACK_BLOCKS) if place - back >= 0}
        read = max((place + 1 for place in reachable if prefixes[place + 1] in self._cache), default=0)
        written = max((place + 1 for place in marks), default=0)
        self._cache.update(prefixes[place + 1] for place in marks)
        lengths = [len(prefix) - len(prefixes[0]) for prefix in prefixes]
        return Usage(
            input_tokens=(lengths[-1] - lengths[max(written, read)]) // 4,
            output_tokens=max(1, len(json.dumps(content)) // 4),
            cache_creation_input_tokens=(lengths[max(written, read)] - lengths[read]) // 4,
            cache_read_input_tokens=lengths[read] // 4,
        )


class _Series:
    def __init__(self, answers: Iterable[Answer | Callable[[Request], Answer]]) -> None:
        self._answers: Iterator[Answer | Callable[[Request], Answer]] = iter(answers)

    def __call__(self, request: Request) -> Answer:
        answer = next(self._answers, None)
        if answer is None:
            raise ValueError("the script has no further answer")
        return answer if isinstance(answer, (Reply, HttpError, Dropped)) else answer(request)


def problem(body: Json) -> str | None:
    """Why the real API would refuse the request, as far as an agent of ours could get that wrong."""
    for key in ("model", "messages", "max_tokens"):
        if not body.get(key):
            return f"{key}: Field required"
    messages = body["messages"]
    if messages[0]["role"] != "user":
        return "messages: first message must use the user role"
    marks = sum(marked for _, marked in _parts(body))
    if marks > _MAX_MARKS:
        return f"A maximum of {_MAX_MARKS} blocks with cache_control may be provided. Found {marks}."
    pending: set[str] = set()
    for place, message in enumerate(messages):
        blocks = _blocks(message["content"])
        if not blocks and place < len(messages) - 1:
            return f"messages.{place}: content must not be empty"
        if any(block["type"] == "text" and not block["text"].strip() for block in blocks):
            return f"messages.{place}: text content blocks must be non-empty"
        results = {block["tool_use_id"] for block in blocks if block["type"] == "tool_result"}
        if missing := pending - results:
            return f"messages.{place}: `tool_use` ids without `tool_result` blocks: {sorted(missing)}"
        if unexpected := results - pending:
            return f"messages.{place}: unexpected `tool_use_id` found in `tool_result` blocks: {sorted(unexpected)}"
        calls = [block for block in blocks if block["type"] == "tool_use"]
        if any(not isinstance(block["input"], dict) for block in calls):
            return f"messages.{place}: tool_use.input: Input should be a valid dictionary"
        pending = {block["id"] for block in calls}
    return f"tool_use ids without tool_result blocks: {sorted(pending)}" if pending else None


def _blocks(content: Json) -> list[Json]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def _text(content: Json) -> str:
    inner = (block.get("text") or _text(block.get("content") or "") for block in _blocks(content))
    return content if isinstance(content, str) else "\n".join(found for found in inner if found)


def _parts(body: Json) -> Iterator[tuple[str, bool]]:
    """The prompt in the order in which it is cached: each block's text, and whether a mark follows it."""
    for tool in body.get("tools", []):
        yield _part("tool", tool)
    for block in _blocks(body.get("system") or []):
        yield _part("system", block)
    for message in body["messages"]:
        for block in _blocks(message["content"]):
            yield _part(message["role"], block)


def _part(role: str, block: Json) -> tuple[str, bool]:
    plain = {key: value for key, value in block.items() if key != "cache_control"}
    return role + json.dumps(plain, ensure_ascii=False), bool(block.get("cache_control"))


def events(message: Json) -> Iterator[Json]:
    """The message as a stream's events."""
    usage = message["usage"]
    yield {
        "type": "message_start",
        "message": {**message, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}},
    }
    yield {"type": "ping"}
    for index, block in enumerate(message["content"]):
        empty, deltas = _streamed(block)
        yield {"type": "content_block_start", "index": index, "content_block": empty}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    stop = {name: message[name] for name in ("stop_reason", "stop_sequence", "stop_details")}
    yield {"type": "message_delta", "delta": stop, "usage": usage}
    yield {"type": "message_stop"}


def _streamed(block: Json) -> tuple[Json, list[Json]]:
    match block["type"]:
        case "text":
            return {**block, "text": ""}, [{"type": "text_delta", "text": part} for part in _cut(block["text"])]
        case "thinking":
            deltas = [{"type": "thinking_delta", "thinking": part} for part in _cut(block["thinking"])]
            signed = {"type": "signature_delta", "signature": block["signature"]}
            return {**block, "thinking": "", "signature": ""}, [*deltas, signed]
        case _:
            given = block["input"]
            raw = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
            deltas = [{"type": "input_json_delta", "partial_json": part} for part in ["", *_cut(raw)]]
            return {**block, "input": {}}, deltas


def _cut(words: str) -> list[str]:
    return [words[start : start + _CUT] for start in range(0, len(words), _CUT)]


def _handler(api: MessagesApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._other()
            self._send(200, b"", "text/plain")

        def do_GET(self) -> None:
            self._other()
            self._error(HttpError(404, self.path))

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length", 0)))
            where = urlsplit(self.path)
            if where.path == "/v1/messages":
                headers = {name.lower(): value for name, value in self.headers.items()}
                self._messages(Request(json.loads(raw), raw, headers, parse_qs(where.query)))
                return
            self._other()
            if where.path == "/v1/messages/count_tokens":
                self._json(200, {"input_tokens": sum(len(part) for part, _ in _parts(json.loads(raw))) // 4})
            else:
                self._error(HttpError(404, self.path))

        def log_message(self, format: str, *args: object) -> None:
            return

        def _messages(self, request: Request) -> None:
            if not (request.headers.get("x-api-key") or request.headers.get("authorization")):
                self._error(HttpError(401, "x-api-key header is required"))
                return
            message, answer = api.answer(request)
            match answer:
                case HttpError():
                    self._error(answer)
                case Dropped() if message is None or not request.body.get("stream"):
                    self.close_connection = True
                case Dropped(after_events=most):
                    self._stream(message, most)
                case Reply() if request.body.get("stream"):
                    self._stream(message, None)
                case Reply():
                    self._json(200, message)

        def _stream(self, message: Json, most: int | None) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for sent, event in enumerate(events(message)):
                if sent == most:
                    self.close_connection = True
                    return
                data = f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n".encode()
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.write(b"0\r\n\r\n")

        def _error(self, error: HttpError) -> None:
            kind = _ERROR_TYPES.get(error.status, "api_error")
            headers: dict[str, str] = {}
            if error.retry_after is not None:
                headers["retry-after"] = f"{error.retry_after:g}"
            if error.retry is not None:
                headers["x-should-retry"] = str(error.retry).lower()
            self._json(error.status, {"type": "error", "error": {"type": kind, "message": error.message}}, headers)

        def _json(self, status: int, body: Json, headers: Mapping[str, str] | None = None) -> None:
            self._send(status, json.dumps(body).encode(), "application/json", headers or {})

        def _send(self, status: int, data: bytes, kind: str, headers: Mapping[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {"content-type": kind, "request-id": "req_scripted", **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _other(self) -> None:
            api.others.append((self.command, self.path))

    return Handler
