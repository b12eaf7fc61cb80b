"""What the user fixed, the evaluator and the data stay as they are in mid-loop; only a person goes on under others."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from progressive_training.loop.errors import OutOfOrder
from progressive_training.loop.project.integrity import accept_protocol, accept_rules
from support.projects import ACTION, ANALYSIS, EVALUATOR, At, Folder, connected

pytestmark = pytest.mark.anyio
STEPS: dict[str, tuple[str, dict[str, Any]]] = {
    "started": ("run_train", {"version": 1}),
    "trained": ("run_eval", {"version": 1}),
    "scored": ("write_analysis", {"version": 1, **ANALYSIS}),
    "analysed": ("write_action", {"version": 1, **ACTION}),
    "acted": ("author_next_version", {"version": 1, "diff": "x"}),
    "finished": ("final_report", {}),
}


def other_rules(folder: Folder) -> None:
    folder.set_rules(training_config={"epochs": 4})


def no_rules(folder: Folder) -> None:
    folder.path("user_defined_rules.json").unlink()


def new_instruction(folder: Folder) -> None:
    folder.write("user_instruction.md", "Use a larger model.")


@pytest.mark.requirement("C2", "C6")
@pytest.mark.parametrize("stage", STEPS)
@pytest.mark.parametrize("change", [other_rules, no_rules, new_instruction])
@pytest.mark.whole(but=6)
async def test_when_the_rules_change_every_step_stops_until_the_user_accepts_or_undoes_it(
    at: At, stage: str, change: Callable[[Folder], None]
) -> None:
    folder, (tool, arguments) = at(stage), STEPS[stage]
    if stage == "trained":
        folder.write("03_eval.py", EVALUATOR)
    if tool == "author_next_version":
        arguments = {
            **arguments,
            "diff": folder.diff("02_train_v001.py", ("LEARNING_RATE = 0.2", "LEARNING_RATE = 0.3")),
        }
    rules = folder.read("user_defined_rules.json")
    async with connected(folder) as agent:
        change(folder)
        text = await agent.refused(tool, **arguments)
        name = "user_instruction.md" if change is new_instruction else "user_defined_rules.json"
        assert f"{name} changed" in text and "rules accept" in text
        assert name in (json.loads(await status(agent)))["rules_changed"]
        folder.write("user_defined_rules.json", rules)
        folder.path("user_instruction.md").unlink(missing_ok=True)
        await agent.call(tool, **arguments)


async def status(agent: Any) -> str:
    found = await agent.client.read_resource("loop://status")
    return found.contents[0].text


@pytest.mark.requirement("C2")
async def test_a_repair_waits_as_well_when_the_rules_change(folder: Folder) -> None:
    folder.edit("02_train_baseline.py", ("return threshold, rows", "return threshold, rosw"))
    async with connected(folder) as agent:
        await agent.call("start_loop")
        await agent.failed_training("code error")
        other_rules(folder)
        patch = folder.diff("02_train_v001.py", ("rosw", "rows"))
        text = await agent.refused("repair_version", version=1, diff=patch, root_cause="x", change_summary="x")
        assert "rules accept" in text


@pytest.mark.requirement("C2")
async def test_accepted_rules_hold_from_the_next_step_on(at: At) -> None:
    folder = at("acted")
    async with connected(folder) as agent:
        folder.set_rules(training_config={"learning_rate": 0.2})
        assert accept_rules(folder.project()) == "user_defined_rules.json"
        assert accept_rules(folder.project()) is None
        patch = folder.diff("02_train_v001.py", ("LEARNING_RATE = 0.2", "LEARNING_RATE = 0.5"))
        text = await agent.refused("author_next_version", version=1, diff=patch)
        assert "training_config.learning_rate fixes 0.2" in text
        folder.set_rules()
        accept_rules(folder.project())
        await agent.author()


async def test_there_is_nothing_to_accept_before_the_start(folder: Folder) -> None:
    with pytest.raises(OutOfOrder, match="no loop has been started"):
        accept_rules(folder.project())


@pytest.mark.parametrize("stage", ["scored", "analysed", "authored"])
async def test_a_brief_says_what_was_measured_of_the_rules(at: At, stage: str) -> None:
    async with connected(at(stage)) as agent:
        brief = await agent.brief()
        assert "## What the user fixed, as measured in v001\n- `training_config.epochs` = `3`: in force" in brief


@pytest.mark.requirement("C1", "C2")
async def test_the_rules_stand_in_front_of_every_brief_and_are_never_written(at: At) -> None:
    folder = at("acted")
    folder.write("user_instruction.md", "한 번에 하나만 바꾸세요.\n```\nnot an instruction\n```")
    accept_rules(folder.project())
    rules = folder.path("user_defined_rules.json").read_bytes()
    async with connected(folder) as agent:
        brief = await agent.brief()
        assert "outranks everything" in brief and "한 번에 하나만 바꾸세요." in brief
        assert "`training_config.epochs` = `3`" in brief
        await agent.author()
        assert (await agent.train(2))["state"] == "done"
    assert folder.path("user_defined_rules.json").read_bytes() == rules


def other_evaluator(folder: Folder) -> None:
    folder.write("03_eval.py", EVALUATOR + "\n# another\n")


def other_data(folder: Folder) -> None:
    folder.write("dataset/prepdata/v1/extra.json", "[]")


@pytest.mark.requirement("R2")
@pytest.mark.parametrize(("change", "name"), [(other_evaluator, "03_eval.py"), (other_data, "the data set v1")])
async def test_when_evaluator_or_data_change_the_loop_stops_until_the_user_undoes_it(
    at: At, change: Callable[[Folder], None], name: str
) -> None:
    folder = at("authored")
    async with connected(folder) as agent:
        change(folder)
        text = await agent.refused("run_train", version=2)
        assert name in text and "protocol accept" in text
        folder.write("03_eval.py", EVALUATOR)
        folder.path("dataset/prepdata/v1/extra.json").unlink(missing_ok=True)
        assert (await agent.train(2))["state"] == "done"


@pytest.mark.requirement("R2")
async def test_what_is_changed_after_the_users_yes_and_before_the_next_evaluation_is_asked_about_anew(at: At) -> None:
    folder = at("finished")
    async with connected(folder) as agent:
        folder.edit("03_eval.py", ("(p > 0.5) ==", "(p > 0.05) =="))
        assert accept_protocol(folder.project())
        agreed = folder.read("03_eval.py")
        folder.edit("03_eval.py", ("(p > 0.05) ==", "(p > -1) =="))
        text = await agent.refused("final_report")
        assert "03_eval.py changed" in text and "protocol accept" in text
        folder.write("03_eval.py", agreed)
        assert (await agent.call("final_report"))["state"] == "running"


@pytest.mark.requirement("R2")
async def test_under_an_evaluator_that_the_user_accepted_every_version_is_scored_again(at: At) -> None:
    folder = at("finished")
    async with connected(folder) as agent:
        # Another operating point: what counts as positive.
        folder.edit("03_eval.py", ("(p > 0.5) ==", "(p > 0.05) =="))
        assert "03_eval.py" in await agent.refused("final_report")
        assert "03_eval.py" in (accept_protocol(folder.project()) or "")
        assert accept_protocol(folder.project()) is None
        first = await agent.call("final_report")
        assert (first["state"], first["phase"]) == ("running", "reporting")
        assert "scored again" in first["message"] and "2 left" in first["message"]
        report = await agent.report()
        rows = report["leaderboard"].splitlines()
        assert [row.split(",")[0] for row in rows] == ["version_id", "v001", "v002"]
    for version, accuracy in (("v001", 0.95), ("v002", 0.75)):
        score = folder.json(f"Models/Artifacts/{version}/eval_score.json")
        assert score["metrics"][1]["value"] == pytest.approx(accuracy)
