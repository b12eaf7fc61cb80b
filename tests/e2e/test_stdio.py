"""A client that starts the server and talks to it over stdio, as Claude Code does."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from mcp import Client, MCPError, StdioServerParameters

from support.e2e import (
    GATED_TRAINER,
    PATIENCE_SECONDS,
    PROGRAM,
    attempts,
    in_mid_training,
    job_processes,
    plain_failures,
    processes_with,
    started,
    until,
)
from support.projects import EVALUATOR, FOLDER_NAME, Agent, Folder, make_project

pytestmark = pytest.mark.anyio
ARTIFACTS = {"best.ckpt", "last.ckpt", "spec.json", "additional_assets", "logs", "eval_score.json", "infer_samples"}


@pytest.fixture
def gated(tmp_path: Path) -> Any:
    """A project whose training waits at its end until the test opens the gate."""
    made = make_project(tmp_path / FOLDER_NAME, trainer=GATED_TRAINER)
    yield made
    made.write("gate", "")
    made.end_jobs()


async def soon(condition: Callable[[], Any], what: str) -> None:
    await anyio.to_thread.run_sync(until, condition, what)


@contextlib.asynccontextmanager
async def stdio_agent(folder: Folder, tag: str = "", mode: str = "auto") -> AsyncIterator[Agent]:
    """A server process of its own; `tag` is in its environment, so that a test can find it."""
    server = StdioServerParameters(
        command=sys.executable,
        args=[*PROGRAM[1:], "serve", "--project", str(folder.root)],
        env={"E2E_SERVER": tag},
    )
    with plain_failures():
        async with Client(server, mode=mode, read_timeout_seconds=PATIENCE_SECONDS) as client:
            yield Agent(client, folder)


async def killed_in_mid_training(folder: Folder) -> None:
    """Starts the loop and a training, and kills the server with -9 while a client waits for it."""
    tag = uuid.uuid4().hex
    async with stdio_agent(folder, tag) as agent:
        assert (await agent.call("read_rules"))["next"]["tool"] == "start_loop"
        await agent.call("start_loop")
        assert (await agent.call("run_train", version=1))["state"] == "running"
        await soon(in_mid_training(folder), "the training at its gate")
        (server,) = processes_with("E2E_SERVER", tag)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_call_that_breaks, agent)
            os.kill(server, signal.SIGKILL)
    assert not processes_with("E2E_SERVER", tag), "the first server left something behind"


async def _call_that_breaks(agent: Agent) -> None:
    with pytest.raises(MCPError):
        await agent.client.call_tool("run_train", {"version": 1, "wait_seconds": 45})


@pytest.mark.requirement("I5", "T2", "E3", "A1", "X1", "N1", "S1", "R1", "C8")
async def test_a_loop_whose_server_is_killed_in_mid_training_is_finished_by_a_second_server(gated: Folder) -> None:
    await killed_in_mid_training(gated)
    training = job_processes(gated)
    assert training, "the training outlives its server"
    async with stdio_agent(gated) as agent:
        waiting = await agent.call("next_step")
        assert (waiting["state"], waiting["phase"], waiting["job"]["attempt"]) == ("running", "training", 1)
        assert job_processes(gated) == training, "to look at a training starts none"
        gated.write("gate", "")
        assert (await agent.train())["state"] == "done"
        await agent.call("write_eval", source=EVALUATOR)
        assert (await agent.score())["metrics"]["accuracy"] == pytest.approx(0.75)
        await agent.analyse()
        await agent.act()
        assert (await agent.author())["script"] == "02_train_v002.py"
        assert (await agent.train(2))["state"] == "done"
        assert (await agent.score(2))["metrics"]["accuracy"] == pytest.approx(0.95)
        await agent.analyse(2)
        await agent.act(2)
        assert (await agent.report())["best"] == "v002"
        assert "next" not in await agent.report(analysis="The higher rate came closer.")
        assert await agent.where() == ("done", 2)
    assert attempts(gated) == ["v001/eval-001", "v001/train-001", "v002/eval-001", "v002/train-001"]
    for version in ("v001", "v002"):
        left = {path.name for path in gated.path(f"Models/Artifacts/{version}").iterdir()}
        assert left >= {*ARTIFACTS, "result-analysis.md", "action-extract.md"}
    assert job_processes(gated) == []


async def test_a_client_of_the_older_protocol_trains_and_sees_the_progress(gated: Folder) -> None:
    seen: list[str | None] = []

    async def told(progress: float, total: float | None, message: str | None) -> None:
        seen.append(message)
        gated.write("gate", "")

    async with stdio_agent(gated, mode="legacy") as agent:
        assert agent.client.protocol_version < "2026"
        await agent.call("start_loop")
        result = await agent.client.call_tool("run_train", {"version": 1, "wait_seconds": 45}, progress_callback=told)
        assert result.structured_content is not None
        assert result.structured_content["state"] == "done"
        names = [tool.name for tool in (await agent.client.list_tools()).tools]
        assert names[:3] == ["read_rules", "start_loop", "next_step"]
    assert seen and all(line and line.startswith("train: ") for line in seen)


@pytest.mark.whole
async def test_a_client_that_waits_for_a_training_hears_that_another_client_cancelled_it(gated: Folder) -> None:
    heard: list[dict[str, Any]] = []

    async def wait(agent: Agent) -> None:
        heard.append(await agent.train())

    async with stdio_agent(gated) as waiting, stdio_agent(gated) as other:
        await waiting.call("start_loop")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait, waiting)
            await soon(in_mid_training(gated), "the training at its gate")
            assert (await other.call("cancel_run", version=1))["already_done"] is False
        assert (heard[0]["state"], heard[0]["failure"]["kind"]) == ("failed", "cancelled")
        assert heard[0]["next"]["tool"] == "run_train"
    assert attempts(gated) == ["v001/train-001"], "to wait for a training starts no other"
    assert job_processes(gated) == []


def test_stdout_carries_the_wire_and_nothing_else_and_the_end_of_stdin_ends_the_server_but_no_training(
    gated: Folder,
) -> None:
    requests: list[dict[str, Any]] = [
        _request("initialize", protocolVersion="2025-06-18", capabilities={}, clientInfo={"name": "e", "version": "1"}),
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        _request("tools/list"),
        _call("start_loop"),
        _call("run_train", version="1"),
        _call("run_train", version=1),
        _call("no_such_tool"),
        _request("no/such/method"),
        _request("resources/read", uri="loop://status"),
        _request("prompts/get", name="next"),
    ]
    with started(gated.root, "serve", stdin=subprocess.PIPE) as server:
        assert server.stdin is not None and server.stdout is not None
        answers: list[dict[str, Any]] = []
        for request in requests:
            server.stdin.write(json.dumps(request) + "\n")
            server.stdin.flush()
            while "id" in request and (not answers or answers[-1].get("id") != request["id"]):
                answers.append(json.loads(server.stdout.readline()))
        until(in_mid_training(gated), "the training at its gate")
        training = job_processes(gated)
        server.stdin.close()
        # Not communicate(): it would miss what readline() has taken from the pipe already.
        answers += [json.loads(line) for line in server.stdout]
        assert server.wait(PATIENCE_SECONDS) == 0
    assert {answer["jsonrpc"] for answer in answers} == {"2.0"}
    wrong = [answer["id"] for answer in answers if "error" in answer or answer.get("result", {}).get("isError")]
    assert wrong == ["run_train 1", "no_such_tool", "no/such/method"]
    assert job_processes(gated) == training != []
    gated.write("gate", "")
    until(lambda: not job_processes(gated), "the end of the training")
    assert gated.path("Models/Artifacts/v001/best.ckpt").exists()


def _request(method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": method, "method": method, "params": params}


def _call(tool: str, **arguments: Any) -> dict[str, Any]:
    request = _request("tools/call", name=tool, arguments=arguments)
    return {**request, "id": " ".join([tool, *(value for value in arguments.values() if isinstance(value, str))])}
