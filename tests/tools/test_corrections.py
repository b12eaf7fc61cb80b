"""A wrong evaluator is corrected at no cost until the first action is authored; from then on it is the user's."""

import json

import pytest

from progressive_training.loop.project.integrity import accept_protocol, accept_rules
from progressive_training.loop.project.project import Project
from progressive_training.loop.store import journal
from support.projects import EVALUATOR, At, Folder, connected, edited

pytestmark = pytest.mark.anyio
V001 = "Models/Artifacts/v001"
STATE = ".progressive-training"
CORRECTED = edited(EVALUATOR, ("p > 0.5", "p > 0.95"))


def published(folder: Folder) -> list[str]:
    """What a score leaves, of what is there."""
    names = (
        *(f"{V001}/{name}" for name in ("eval_score.json", "infer_samples", "result-analysis.md", "action-extract.md")),
        *(f"{STATE}/receipts/{name}" for name in ("v001/eval.json", "v001/analysis.json", "v001/action.json")),
        *(f"{STATE}/receipts/{name}" for name in ("evaluator.json", "seed_noise.json")),
        f"{STATE}/scores/v001",
    )
    return [name for name in names if folder.path(name).exists()]


def recorded(folder: Folder) -> list[str]:
    return [event.event for event in journal.events(Project(folder.root).workspace)]


@pytest.mark.requirement("E1")
@pytest.mark.parametrize("stage", ["scored", "analysed", "acted"])
async def test_before_the_first_action_is_authored_a_correction_costs_no_version(at: At, stage: str) -> None:
    folder = at(stage)
    was, was_shown = folder.read(f"{V001}/eval_score.json"), published(folder)
    async with connected(folder) as agent:
        assert "`write_eval(source)` replaces it" in await agent.brief() or stage != "scored"
        result = await agent.call("write_eval", source=CORRECTED)
        assert "The score of v001 is withdrawn" in result["message"]
        assert (result["phase"], result["next"]["tool"]) == ("evaluate", "run_eval")
        assert published(folder) == []
        brief = await agent.brief()
        assert "its score was withdrawn, since 03_eval.py was corrected" in brief
        kept = folder.path(f"{STATE}/trash/v001-eval-001")
        assert (kept / "03_eval.py").read_text(encoding="utf-8") == EVALUATOR
        assert (kept / V001 / "eval_score.json").read_text(encoding="utf-8") == was
        assert len([path for name in was_shown for path in kept.rglob(name.rpartition("/")[2])]) >= len(was_shown)
        scored = await agent.score()
        assert scored["state"] == "done"
        assert scored["metrics"]["accuracy"] != json.loads(was)["metrics"][1]["value"]
        assert await agent.where() == ("analysis", 1)
        await agent.analyse()
        await agent.act()
        assert (await agent.author())["version"] == 2
    events = recorded(folder)
    assert events.count("trained") == 1 and events.count("scored") == 2
    assert events.index("score_withdrawn") < events.index("evaluator_accepted", events.index("score_withdrawn"))
    assert sorted(path.name for path in folder.path(f"{STATE}/attempts/v001").iterdir()) == [
        *("eval-001", "eval-002", "train-001")
    ]


async def test_the_noise_of_the_seed_goes_with_the_score_that_it_was_measured_by(folder: Folder) -> None:
    folder.set_rules(eval_config={"repeats": 2})
    async with connected(folder) as agent:
        await agent.call("start_loop")
        await agent.train()
        await agent.call("write_eval", source=EVALUATOR)
        await agent.score()
        noise = f"{STATE}/receipts/seed_noise.json"
        before = folder.json(noise)["record"]["values"]
        await agent.call("write_eval", source=CORRECTED)
        assert not folder.path(noise).exists()
        await agent.score()
        assert folder.json(noise)["record"]["values"]["accuracy"] != before["accuracy"]


@pytest.mark.requirement("E1")
async def test_from_the_first_authored_action_on_only_the_user_replaces_the_evaluator(at: At) -> None:
    folder = at("authored")
    async with connected(folder) as agent:
        text = await agent.refused("write_eval", source=CORRECTED)
        assert "v001 was scored with it already" in text and "only the user" in text
        assert (await agent.call("write_eval", source=EVALUATOR))["already_done"]


async def test_an_evaluator_that_the_user_has_agreed_to_is_not_the_agents_to_replace(at: At) -> None:
    folder = at("scored")
    folder.write("03_eval.py", EVALUATOR + "# the user's own\n")
    async with connected(folder) as agent:
        assert "ask the user" in await agent.refused("write_eval", source=CORRECTED)
        assert accept_protocol(folder.project()) == "03_eval.py"
        assert "only the user" in await agent.refused("write_eval", source=CORRECTED)


async def test_what_the_users_own_evaluator_fails_by_names_no_way_out_that_is_refused(at: At) -> None:
    folder = at("scored")
    folder.write("03_eval.py", 'raise SystemExit("no such output. Next: correct it with write_eval(source)")\n')
    async with connected(folder) as agent:
        assert accept_protocol(folder.project())
        asked = {"stop_reason": "enough", "wait_seconds": 45}
        refused = await agent.client.call_tool("final_report", asked)
        text = getattr(refused.content[0], "text", "")
        assert refused.is_error and "v001 can't be scored under the present protocol" in text
        assert "no such output." in text and "write_eval" not in text
        assert "ask the user" in text and "progressive-training protocol accept" in text
        folder.write("03_eval.py", CORRECTED)
        assert accept_protocol(folder.project()) == "03_eval.py"
        assert (await agent.report(stop_reason="enough"))["state"] == "done"


async def test_the_same_text_withdraws_nothing(at: At) -> None:
    folder = at("analysed")
    async with connected(folder) as agent:
        assert (await agent.call("write_eval", source=EVALUATOR))["already_done"]
        assert await agent.where() == ("action", 1)


async def test_a_corrected_evaluator_that_fails_is_corrected_once_more(at: At) -> None:
    folder = at("scored")
    async with connected(folder) as agent:
        await agent.call("write_eval", source="raise SystemExit(1)\n")
        assert "exit code 1" in await agent.failed_evaluation()
        await agent.call("write_eval", source=CORRECTED)
        assert (await agent.score())["state"] == "done"


async def test_the_evaluator_stays_while_an_evaluation_runs_by_it(at: At) -> None:
    folder = at("trained")
    async with connected(folder) as agent:
        await agent.call("write_eval", source="import time\ntime.sleep(600)\n")
        assert (await agent.call("run_eval", version=1))["state"] == "running"
        running = folder.project()
        text = await agent.refused("write_eval", source=EVALUATOR)
        assert "call run_eval(version=1)" in text and "cancel_run" in text and running.loop() is not None
        await agent.call("cancel_run", version=1)
        await agent.call("write_eval", source=EVALUATOR)
        assert (await agent.score())["state"] == "done"


# One setting of the loop's own evaluator


async def classified(folder: Folder) -> None:
    """A started loop whose task our template serves."""
    folder.write("dataset/prepdata/v1/stats.json", '{"task_type": "classification", "num_train": 10, "num_val": 20}')
    async with connected(folder) as agent:
        await agent.call("start_loop")


async def test_settings_are_constants_of_the_loops_own_evaluator(folder: Folder) -> None:
    await classified(folder)
    async with connected(folder) as agent:
        await agent.call("write_eval", settings={"output": "forward[1]", "delimiter": "'|'\\", "formula": "script"})
        constants = folder.read("03_eval.py")
        for stated in ("TARGET = None", "DELIMITER = \"'|'\\\\\"", "FORMULA = 'script'"):
            assert f"\n{stated}  #" in constants
        assert "\nOUTPUT = 'forward[1]'" in constants
        await agent.call("write_eval", settings={})
        assert "\nOUTPUT = None" in folder.read("03_eval.py")
        written = [one for one in journal.events(folder.project().workspace) if one.event == "evaluator_written"]
        assert written[0].detail["settings"] == {"output": "forward[1]", "delimiter": "'|'\\", "formula": "script"}


@pytest.mark.requirement("E1")
async def test_until_it_has_scored_the_loops_own_evaluator_follows_the_rules(folder: Folder) -> None:
    await classified(folder)
    async with connected(folder) as agent:
        await agent.call("write_eval", settings={"target": "[1]"})
        await agent.train()
        await agent.failed_evaluation()
        folder.set_rules(eval_config={"metrics": ["accuracy", "f1"]})
        assert accept_rules(folder.project())
        await agent.failed_evaluation()
        constants = folder.read("03_eval.py")
        assert "\nMETRICS = ['accuracy', 'f1']" in constants and "\nTARGET = '[1]'" in constants
        folder.edit("03_eval.py", ("\nTARGET = '[1]'", "\nTARGET = '[2]'"))
        folder.set_rules()
        assert accept_rules(folder.project())
        await agent.failed_evaluation()
        constants = folder.read("03_eval.py")
        assert "\nTARGET = '[2]'" in constants and "'f1'" in constants, "what somebody has changed is theirs"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"settings": {"outputs": "forward"}}, "the keys are output, target, delimiter, formula, loader, "),
        ({"settings": {"formula": "mine"}}, "formula"),
        ({"settings": {"output": ""}}, "output"),
        ({"settings": {"output": "x" * 101}}, "output"),
        ({"settings": {"target": "[1]\nimport os"}}, "target"),
        ({"settings": {"output": 1}}, "output"),
        ({}, "one of them"),
        ({"source": "x = 1", "settings": {}}, "one of them"),
    ],
)
async def test_a_setting_that_is_none_is_refused_with_those_that_there_are(
    folder: Folder, arguments: dict[str, object], words: str
) -> None:
    await classified(folder)
    async with connected(folder) as agent:
        assert words in await agent.refused("write_eval", **arguments)


async def test_settings_without_a_template_ask_for_a_whole_script(at: At) -> None:
    async with connected(at("trained")) as agent:
        text = await agent.refused("write_eval", settings={"output": "step"})
        assert "the loop's own doesn't serve task_type 'threshold search'" in text and "write_eval(source)" in text
