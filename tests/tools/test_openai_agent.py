"""The agent that asks any model over chat completions, against a scripted server: what is its wire's alone."""

import json
import socket
from collections.abc import Callable
from typing import Any

import pytest

from progressive_training.agents.base import AgentStopped
from progressive_training.agents.model import Transcript, drive
from progressive_training.agents.openai import ChatCompletions, Endpoint
from support.chat_api import ChatApi
from support.e2e import cli
from support.instant import Instant
from support.messages_api import HttpError, Reply, Request, Text, Thinking, ToolUse
from support.model_runs import KEY, options_of, phase, run
from support.projects import EVALUATOR, Folder, connected
from support.scripted_model import Follower, Turn

MODEL = ["--agent", "openai", "--model", "local-model"]


@pytest.fixture
def project(folder: Folder) -> Folder:
    folder.write("03_eval.py", EVALUATOR)
    return folder


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def sent(request: Request) -> Any:
    return json.loads(request.raw)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


@pytest.mark.anyio
async def test_tools_are_functions_and_what_the_server_marked_goes_back_as_it_came(project: Folder) -> None:
    thought = Reply((Thinking("v001 first"), Text("안녕"), ToolUse("next_step")))
    options = options_of("openai", effort="low", max_usd=5, price=(1.0, 2.0))
    done = await run(project, Follower(project, {1: thought}), options, wire="openai", last_version=1)
    first, second = (sent(request) for request in done.api.requests[:2])
    assert first["reasoning_effort"] == "low" and set(first) == {"model", "messages", "tools", "reasoning_effort"}
    functions = {tool["function"]["name"]: tool["function"] for tool in first["tools"]}
    assert {"run_train", "read_resource"} < set(functions) and "cancel_run" not in functions
    assert "wait_seconds" not in functions["run_train"]["parameters"]["properties"]
    back = second["messages"][2]
    assert (back["reasoning_content"], back["content"]) == ("v001 first", "안녕") and "refusal" not in back
    assert done.api.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert done.spent is not None and done.spent.usd is not None and done.spent.usd > 0


def without_usage(made: Any) -> Any:
    return {name: value for name, value in made.items() if name != "usage"}


def with_objects(made: Any) -> Any:
    """As some servers send them: arguments as an object, no id, and a wrong reason for the end."""
    (choice,) = made["choices"]
    for one in choice["message"].get("tool_calls", []):
        one["function"]["arguments"] = json.loads(one["function"]["arguments"]) or None
        del one["id"]
    return {**made, "choices": [{**choice, "finish_reason": "stop"}]}


def counting_little(made: Any) -> Any:
    return {**made, "usage": {"prompt_tokens": 100, "completion_tokens": 5}}


@pytest.mark.parametrize(
    ("bent", "noted"),
    [(without_usage, 0), (with_objects, 0), (counting_little, 1)],
    ids=["no usage", "objects", "few tokens"],
)
@pytest.mark.whole(but=1)
@pytest.mark.anyio
async def test_servers_that_answer_otherwise_are_understood(
    project: Folder, bent: Callable[[Any], Any], noted: int
) -> None:
    done = await run(project, Follower(project), wire="openai", bent=bent, last_version=1)
    assert done.stopped is None and await phase(project) == ("done", 1)
    notes = [event.text for event in done.events if event.step == "note"]
    assert len(notes) == noted and all("may have cut the prompt off" in note for note in notes)


@pytest.mark.anyio
async def test_a_budget_needs_a_server_that_counts_tokens(project: Folder) -> None:
    limited = options_of("openai", max_tokens_total=1000)
    done = await run(project, Follower(project), limited, wire="openai", bent=without_usage)
    assert "doesn't say how many tokens a reply took" in done.why and "--max-tokens-total" in done.why


@pytest.mark.anyio
async def test_a_conversation_that_has_got_too_long_begins_anew_with_the_brief(project: Folder) -> None:
    done = await run(project, Follower(project, {4: HttpError(400, "exceeds the context")}), wire="openai", retries=0)
    assert done.stopped is None and await phase(project) == ("done", 2)
    told = [event.text for event in done.events if event.step == "begins anew"]
    assert len(told) == 1 and "exceeds the context" in told[0]
    assert [len(request.messages) for request in done.api.requests[2:5]] == [3, 5, 1]


@pytest.mark.parametrize(
    ("status", "what", "hint"),
    [
        (401, "the server refuses the key", "check OPENAI_API_KEY"),
        (404, "not the model local-model", "mostly ends with /v1"),
        (400, "the server refuses the request", "room for about 32,000 tokens"),
        (429, "rate limit is reached", "the loop goes on where it stands"),
        (503, "overloaded or broken", "the loop goes on where it stands"),
        (302, "the server refuses the request (HTTP 302", "see what it says"),
    ],
)
@pytest.mark.whole(but=2)
@pytest.mark.anyio
async def test_an_error_that_stays_is_explained_and_leaves_a_loop_that_goes_on(
    project: Folder, status: int, what: str, hint: str
) -> None:
    wrong: dict[int, Turn] = {1: HttpError(status, f"the server's words, and {KEY}")}
    done = await run(project, Follower(project, wrong), wire="openai", retries=0)
    assert what in done.why and hint in done.why and "the server's words" in done.why and KEY not in done.why
    assert f"--base-url {done.api.url}/v1" in done.why
    assert await phase(project) == ("start", None)


@pytest.mark.parametrize("answer", [[], {}, {"choices": []}, {"error": {"message": "no such model"}}], ids=str)
@pytest.mark.whole(but=1)
@pytest.mark.anyio
async def test_an_answer_that_is_no_completion_names_the_address(project: Folder, answer: Any) -> None:
    done = await run(project, Follower(project), wire="openai", bent=lambda _: answer)
    assert "answers with no chat completion" in done.why and "base-url" in done.why and done.api.url in done.why


@pytest.mark.anyio
async def test_a_server_that_is_not_there_is_said_at_once_with_its_address(project: Folder) -> None:
    url, options = f"http://127.0.0.1:{free_port()}/v1", options_of("openai")
    async with connected(project, executor=Instant()) as connection, Endpoint(url) as endpoint:
        transcript = Transcript(project.project().workspace.tree, "openai")
        with pytest.raises(AgentStopped, match=f"no server answers at {url}") as stopped:
            await drive(connection.client, ChatCompletions(endpoint, options), options, transcript)
    assert "--base-url" in str(stopped.value) and "start the server" in str(stopped.value)


# From the command line


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (MODEL, "Next: export OPENAI_API_KEY="),
        (["--agent", "openai"], "--agent openai needs a model"),
        ([*MODEL, "--base-url", "http://me:secret@127.0.0.1/v1"], "without name, password or query"),
        ([*MODEL, "--base-url", "localhost:11434"], "must be http://HOST:PORT/v1"),
        ([*MODEL, "--max-usd", "1"], "the price of local-model is not known"),
        (["--agent", "anthropic", "--base-url", "http://127.0.0.1/v1"], "--base-url is for --agent openai"),
        (["--base-url", "http://127.0.0.1/v1"], "--base-url is for --agent openai"),
    ],
    ids=str,
)
@pytest.mark.whole(but=2)
def test_options_that_make_no_sense_are_refused_and_touch_nothing(
    project: Folder, arguments: list[str], told: str
) -> None:
    before = project.contents()
    done = cli(project.root, "run", *arguments)
    assert done.code == 1 and told in done.err and "Traceback" not in done.err and "secret" not in done.err
    assert project.contents() == before


def test_the_command_drives_a_whole_loop_with_a_server_without_a_key(project: Folder) -> None:
    with ChatApi(Follower(project)) as api:
        done = cli(project.root, "run", *MODEL, "--base-url", f"{api.url}/v1", "--versions", "1")
    assert done.code == 0, done.err
    assert "Best: v001" in done.out and "local-model is not in the price list" in done.err
    assert "authorization" not in api.requests[0].headers
    (transcript,) = project.path(".progressive-training/transcripts").iterdir()
    assert f"{api.url}/v1" in transcript.read_text(encoding="utf-8").splitlines()[0]
