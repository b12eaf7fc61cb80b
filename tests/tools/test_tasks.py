"""Jobs as tasks: for clients that declare the extension, beside start and poll."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client, MCPError
from mcp.client import ClientRequestContext
from mcp_types import CallToolResult, ElicitRequestParams, ElicitResult, Request, RequestParams

from progressive_training.loop.project.integrity import accept_protocol
from progressive_training.server.app import build_server
from progressive_training.server.protocol.job_tasks import LoopTasks
from progressive_training.server.protocol.tasks_extension import IDENTIFIER
from support.e2e import GATED_TRAINER
from support.projects import FOLDER_NAME, At, Folder, connected, make_project
from support.tasks import CreatedTask, tasks_of

pytestmark = pytest.mark.anyio
JOB_TOOLS = ("run_train", "run_eval", "final_report")


@pytest.fixture
def gated(tmp_path: Path) -> Iterator[Folder]:
    """A project whose training waits at its end until the test opens the gate."""
    made = make_project(tmp_path / FOLDER_NAME, trainer=GATED_TRAINER)
    yield made
    open_gate(made)
    made.end_jobs()


def open_gate(folder: Folder) -> None:
    folder.write("gate", "")


def server(folder: Folder) -> Any:
    return build_server(folder.project())


async def answered(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
    """Declares that the client can ask; the questions of tasks come another way."""
    raise AssertionError("nobody asks like this")


@pytest.mark.requirement("T2")
async def test_a_training_that_is_a_task_is_told_by_any_server_of_the_project(gated: Folder) -> None:
    async with tasks_of(server(gated)) as first:
        await first.begin("start_loop")
        task_id = await first.begun("run_train", version=1)
        working = await first.get(task_id)
        assert (working["status"], working["resultType"]) == ("working", "complete")
        assert working["statusMessage"].startswith("train: ")
        assert working["pollIntervalMs"] >= 1000
    open_gate(gated)
    async with tasks_of(server(gated)) as second:
        done = await second.until(task_id, "completed")
        assert done["result"]["structuredContent"]["state"] == "done"
        assert done["result"]["structuredContent"]["next"]["tool"] == "run_eval"
        assert json.loads(done["result"]["content"][0]["text"]) == done["result"]["structuredContent"]
        assert await second.get(task_id) == done, "what is over stays as it was"


async def test_two_calls_for_one_training_are_one_task(gated: Folder) -> None:
    async with tasks_of(server(gated)) as tasks:
        await tasks.begin("start_loop")
        assert await tasks.begun("run_train", version=1) == await tasks.begun("run_train", version=1)


async def test_a_job_that_ends_within_the_wait_is_no_task(at: At) -> None:
    async with tasks_of(server(at("started"))) as tasks:
        result = await tasks.begin("run_train", version=1, wait_seconds=45)
    assert isinstance(result, CallToolResult)
    assert result.structured_content is not None and result.structured_content["state"] == "done"


async def test_who_did_not_declare_tasks_or_speaks_an_older_protocol_gets_none(gated: Folder) -> None:
    async with connected(gated) as agent:
        await agent.call("start_loop")
        assert (await agent.call("run_train", version=1))["state"] == "running"
    async with tasks_of(server(gated), mode="legacy") as older:
        result = await older.begin("run_train", version=1)
        assert isinstance(result, CallToolResult)
        with pytest.raises(MCPError, match=r"(?i)method not found"):
            await older.get("x")
    assert not gated.path(".progressive-training/tasks").exists()


@pytest.mark.parametrize("method", ["get", "update", "cancel"])
async def test_the_methods_need_the_declaration_and_a_task_that_there_is(at: At, method: str) -> None:
    folder, more = at("started"), {"inputResponses": {}} if method == "update" else {}
    async with tasks_of(server(folder)) as tasks:
        for unknown in ("nothing", "../../loop", f"run_train-v001-001-{'0' * 32}"):
            with pytest.raises(MCPError, match="there is no task") as refused:
                await tasks.ask(method, unknown, **more)
            assert refused.value.error.code == -32602
        async with Client(server(folder)) as undeclared:
            with pytest.raises(MCPError) as refused:
                await type(tasks)(undeclared).ask(method, "nothing", **more)
        assert refused.value.error.code == -32021
        assert refused.value.error.data == {"requiredCapabilities": {"extensions": {IDENTIFIER: {}}}}


async def test_to_cancel_the_task_is_to_cancel_the_run(gated: Folder) -> None:
    async with tasks_of(server(gated)) as tasks:
        await tasks.begin("start_loop")
        task_id = await tasks.begun("run_train", version=1)
        assert await tasks.ask("cancel", task_id) == {"resultType": "complete", **_meta(await tasks.get(task_id))}
        got = await tasks.get(task_id)
        assert got["status"] == "cancelled" and "result" not in got
        where = await tasks.begin("next_step", brief=False)
        assert isinstance(where, CallToolResult) and where.structured_content is not None
        assert (
            where.structured_content["next"]["why"]
            == "the last attempt ended by: cancelled; no code change is asked for"
        )
        again = await tasks.begun("run_train", version=1)
        assert again != task_id
        assert (await tasks.ask("cancel", task_id))["resultType"] == "complete"
        assert (await tasks.get(again))["status"] == "working", "an old task can't cancel the new attempt"


def _meta(result: dict[str, Any]) -> dict[str, Any]:
    return {"_meta": result["_meta"]} if "_meta" in result else {}


async def test_a_run_that_another_client_cancelled_is_a_cancelled_task(gated: Folder) -> None:
    async with tasks_of(server(gated)) as tasks:
        await tasks.begin("start_loop")
        task_id = await tasks.begun("run_train", version=1)
        await tasks.begin("cancel_run", version=1)
        assert (await tasks.get(task_id))["status"] == "cancelled"


async def test_a_failed_training_is_a_completed_task_that_says_so(gated: Folder) -> None:
    gated.edit("02_train_baseline.py", ("    save_logs(rows)\n", '    raise ValueError("no such layer")\n'))
    async with tasks_of(server(gated)) as tasks:
        await tasks.begin("start_loop")
        task_id = await tasks.begun("run_train", version=1)
        open_gate(gated)
        content = (await tasks.until(task_id, "completed"))["result"]["structuredContent"]
    assert (content["state"], content["failure"]["kind"]) == ("failed", "code error")
    assert content["next"]["tool"] == "repair_version"


async def test_a_client_that_polls_by_itself_sees_the_plain_result(gated: Folder) -> None:
    async with tasks_of(server(gated)) as tasks:
        await tasks.begin("start_loop")
        await tasks.begun("run_train", version=1)
        open_gate(gated)
        result = await tasks.client.call_tool("run_train", {"version": 1})
    assert result.structured_content is not None
    assert result.structured_content["state"] == "done"


def scored_otherwise(folder: Folder) -> None:
    """The user accepts another operating point, so the report scores both versions again."""
    folder.edit("03_eval.py", ("(p > 0.5) ==", "(p > 0.05) =="))
    assert accept_protocol(folder.project())


@pytest.mark.requirement("R2")
async def test_a_report_that_scores_anew_is_a_task_to_its_end(at: At) -> None:
    folder = at("finished")
    scored_otherwise(folder)
    async with tasks_of(server(folder)) as tasks:
        task_id = await tasks.begun("final_report")
        content = (await tasks.until(task_id, "completed"))["result"]["structuredContent"]
    assert (content["state"], content["best"]) == ("done", "v001")


async def test_a_cancelled_report_scores_no_further_and_can_be_begun_again(at: At) -> None:
    folder = at("finished")
    scored_otherwise(folder)
    async with tasks_of(server(folder)) as tasks:
        task_id = await tasks.begun("final_report", stop_reason="enough")
        await tasks.ask("cancel", task_id)
        assert (await tasks.get(task_id))["status"] == "cancelled"
        begun = await tasks.client.call_tool("final_report", {"wait_seconds": 45})
    assert begun.structured_content is not None
    assert begun.structured_content["state"] == "done"


async def test_who_looked_before_a_task_was_cancelled_does_not_bring_it_back(gated: Folder) -> None:
    async with tasks_of(server(gated)) as tasks:
        await tasks.begin("start_loop")
        task_id = await tasks.begun("run_train", version=1)
        store = LoopTasks(gated.project())
        looked_at = store._records.load(task_id)  # pyright: ignore[reportPrivateUsage]
        await tasks.ask("cancel", task_id)
        before = await tasks.get(task_id)
        assert looked_at is not None and looked_at.status == "working"
        ended = {"status": "completed", "result": {}}
        kept = store._records.change(task_id, looked_at, ended)  # pyright: ignore[reportPrivateUsage]
        assert kept.status == before["status"] == "cancelled"
        assert await tasks.get(task_id) == before


async def rules_change_in_mid_training(tasks: Any, folder: Folder) -> str:
    await tasks.begin("start_loop")
    task_id = await tasks.begun("run_train", version=1)
    folder.set_rules(loop_config={"max_versions": 3})
    open_gate(folder)
    return task_id


@pytest.mark.requirement("C2")
@pytest.mark.parametrize("accept", [True, False])
async def test_what_only_the_user_may_decide_is_asked_through_the_task(gated: Folder, accept: bool) -> None:
    async with tasks_of(server(gated), elicitation_callback=answered) as tasks:
        task_id = await rules_change_in_mid_training(tasks, gated)
        asked = await tasks.until(task_id, "input_required")
        ((key, request),) = asked["inputRequests"].items()
        assert request["method"] == "elicitation/create"
        assert "user_defined_rules.json changed" in request["params"]["message"]
        await tasks.ask("update", task_id, inputResponses={"another": {"action": "accept"}})
        assert (await tasks.get(task_id))["status"] == "input_required", "an answer to nothing changes nothing"
        response = {"action": "accept", "content": {"accept": accept}}
        assert (await tasks.ask("update", task_id, inputResponses={key: response}))["resultType"] == "complete"
        result = (await tasks.until(task_id, "completed"))["result"]
    if accept:
        assert result["structuredContent"]["state"] == "done"
    else:
        assert result["isError"] is True
        assert "progressive-training rules accept" in result["content"][0]["text"]


YES = {"action": "accept", "content": {"accept": True}}


@pytest.mark.requirement("C2")
@pytest.mark.parametrize("looked", [True, False], ids=["asked anew before the yes", "asked anew after the yes"])
async def test_a_yes_through_the_task_is_for_the_text_that_the_user_was_asked_about(
    gated: Folder, looked: bool
) -> None:
    async with tasks_of(server(gated), elicitation_callback=answered) as tasks:
        task_id = await rules_change_in_mid_training(tasks, gated)
        (key,) = (await tasks.until(task_id, "input_required"))["inputRequests"]
        pinned = gated.read(".progressive-training/loop.json")
        gated.set_rules(loop_config={"max_versions": 9})
        if looked:
            assert (await tasks.get(task_id))["status"] == "input_required"
        await tasks.ask("update", task_id, inputResponses={key: YES})
        asked = await tasks.get(task_id)
        assert asked["status"] == "input_required"
        assert gated.read(".progressive-training/loop.json") == pinned
        (other,) = asked["inputRequests"]
        assert other != key
        await tasks.ask("update", task_id, inputResponses={other: YES})
        result = (await tasks.until(task_id, "completed"))["result"]
    assert result["structuredContent"]["state"] == "done"


async def test_a_client_that_cannot_ask_is_told_what_the_user_can_do(gated: Folder) -> None:
    async with tasks_of(server(gated)) as tasks:
        task_id = await rules_change_in_mid_training(tasks, gated)
        result = (await tasks.until(task_id, "completed"))["result"]
        assert result["isError"] is True
        assert "progressive-training rules accept" in result["content"][0]["text"]
        gated.set_rules()
        collected = await tasks.begin("run_train", version=1, wait_seconds=45)
    assert isinstance(collected, CallToolResult) and collected.structured_content is not None
    assert collected.structured_content["state"] == "done", "the training itself is not lost"


class _Wanted(RequestParams):
    notifications: dict[str, list[str]]


class _Listen(Request[_Wanted, str]):
    """subscriptions/listen with the extension's own field."""


async def test_who_listens_for_tasks_must_declare_them(at: At) -> None:
    listen = _Listen(method="subscriptions/listen", params=_Wanted(notifications={"taskIds": ["x"]}))
    async with Client(server(at("started"))) as client:
        with anyio.fail_after(20), pytest.raises(MCPError) as refused:
            await client.session.send_request(listen, CreatedTask)
    assert refused.value.error.code == -32021
