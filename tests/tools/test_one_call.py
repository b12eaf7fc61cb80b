"""A version in one call: analysis, action, diff, training and evaluation, each as by its own Step."""

from typing import Any

import pytest

from support.projects import ACTION, ANALYSIS, EVALUATOR, Agent, At, Folder, connected

pytestmark = pytest.mark.anyio
V001, V002 = "02_train_v001.py", "02_train_v002.py"
CHANGE = ("LEARNING_RATE = 0.2", "LEARNING_RATE = 0.5")


def whole(folder: Folder, **others: Any) -> dict[str, Any]:
    parts = {"version": 1, "diff": folder.diff(V001, CHANGE), "analysis": ANALYSIS, "action": ACTION}
    return {**parts, "train": True, "wait_seconds": 45, **others}


async def refused(agent: Agent, **arguments: Any) -> dict[str, Any]:
    result = await agent.client.call_tool("author_next_version", arguments)
    assert result.is_error and result.structured_content, result
    return result.structured_content["error"]


async def test_a_version_is_analysed_chosen_written_trained_and_scored_in_one_call(at: At) -> None:
    folder = at("scored")
    async with connected(folder) as agent:
        made = await agent.call("author_next_version", **whole(folder))
        assert (made["state"], made["version"], made["phase"]) == ("done", 2, "analysis")
        assert made["metrics"]["accuracy"] and made["symbols"] == ["LEARNING_RATE"] and not made["already_done"]
        assert made["brief"] == await agent.brief()
        again = await agent.call("author_next_version", **whole(folder))
        assert again["already_done"] and again["metrics"] == made["metrics"]
        last = await agent.call("author_next_version", version=2, analysis=ANALYSIS, action=ACTION)
        assert last["next"]["tool"] == "final_report"


@pytest.mark.parametrize(
    ("part", "wrong", "finished"),
    [
        ("analysis", {"analysis": {**ANALYSIS, "summary": ""}}, []),
        ("analysis", {"analysis": {**ANALYSIS, "verdict": "good"}}, []),
        ("action", {"action": {**ACTION, "where": ["NOWHERE"]}}, ["analysis"]),
        ("action", {"action": {"goal": "better"}}, ["analysis"]),
        ("diff", {"diff": "no diff"}, ["analysis", "action"]),
    ],
)
async def test_a_refusal_names_its_part_and_the_call_sent_again_goes_on(
    at: At, part: str, wrong: dict[str, Any], finished: list[str]
) -> None:
    folder = at("scored")
    async with connected(folder) as agent:
        error = await refused(agent, **whole(folder, **wrong))
        assert (error["part"], error["finished"]) == (part, finished), error
        assert not folder.path(V002).exists()
        phases = {"analysis": "analysis", "action": "action", "diff": "author"}
        assert await agent.where() == (phases[part], 1)
        made = await agent.call("author_next_version", **whole(folder, train=False))
        assert made["next"]["tool"] == "run_train" and CHANGE[1] in folder.read(V002)


async def test_a_training_goes_on_to_its_evaluation_and_the_next_brief(at: At) -> None:
    folder = at("started")
    async with connected(folder) as agent:
        await agent.call("run_train", version=1, wait_seconds=45)
        await agent.call("write_eval", source=EVALUATOR)
        asked = {"version": 1, "then_evaluate": True, "brief": True, "wait_seconds": 45}
        scored = await agent.call("run_train", **asked)
        assert (scored["state"], scored["phase"], scored["already_done"]) == ("done", "analysis", False)
        assert "LEARNING_RATE = 0.2" in scored["brief"], "the diff can be written from it"
        assert (
            scored["epochs"] == 3 and scored["metrics"]["accuracy"] and scored["brief"].startswith(await agent.brief())
        )


async def test_a_training_that_outlives_its_call_is_collected_and_scored_by_the_next(at: At) -> None:
    folder = at("scored")
    async with connected(folder) as agent:
        made = await agent.call("author_next_version", **whole(folder, wait_seconds=0))
        assert (made["state"], made["job"]["kind"]) == ("running", "train")
    async with connected(folder) as agent:
        scored = await agent.call("run_train", version=2, then_evaluate=True, wait_seconds=45)
        assert scored["state"] == "done" and scored["metrics"]["accuracy"]


async def test_a_failed_training_ends_the_call_with_its_repair_as_next(at: At) -> None:
    folder = at("scored")
    broken = folder.diff(V001, ("LEARNING_RATE = 0.2", "LEARNING_RATE = 1 / 0"))
    async with connected(folder) as agent:
        failed = await agent.call("author_next_version", **whole(folder, diff=broken))
        assert (failed["state"], failed["failure"]["kind"]) == ("failed", "code error")
        assert failed["next"]["tool"] == "repair_version" and "repair_version" in failed["brief"]


@pytest.mark.parametrize("stage", ["scored", "acted"])
async def test_a_diff_is_tried_without_a_trace(at: At, stage: str) -> None:
    folder = at(stage)
    action = {"action": ACTION} if stage == "scored" else {}
    before = folder.contents()
    async with connected(folder) as agent:
        tried = await agent.call("author_next_version", version=1, check=True, diff=folder.diff(V001, CHANGE), **action)
        assert tried["checked"] and tried["symbols"] == ["LEARNING_RATE"] and f"+{CHANGE[1]}" in tried["diff"]
        outside = folder.diff(V001, CHANGE, ("START = 1.0", "START = 0.7"))
        text = await agent.refused("author_next_version", version=1, check=True, diff=outside, **action)
        assert "also changes START" in text
    assert folder.contents() == before
