"""After a failed evaluation: by whose fault, and the way on that is taken, not only advised."""

import json

import pytest

from progressive_training.loop.project.integrity import accept_rules
from support.projects import EVALUATOR, At, Folder, connected, edited

pytestmark = pytest.mark.anyio
SCRIPT = "02_train_v001.py"
REPORT = "Models/Artifacts/v001/_tests/train_retry_report.md"
KEY = ('"threshold": threshold}', '"limit": threshold}')
MENDED = (KEY[1], KEY[0])
# Says whose fault it is, as docs/contract.md has it.
SAYS = edited(
    EVALUATOR,
    ("    model = json", "    import sys\n\n    model = json"),
    ("    data = Path", '    if "threshold" not in model:\n        sys.exit(65)\n    data = Path'),
)


async def unscorable(folder: Folder, evaluator: str = EVALUATOR) -> None:
    """Brings the loop to v001's failed evaluation: its checkpoint has another key than the evaluator reads."""
    folder.edit("02_train_baseline.py", KEY)
    async with connected(folder) as agent:
        await agent.call("start_loop")
        assert (await agent.train())["state"] == "done"
        await agent.call("write_eval", source=evaluator)
        await agent.failed_evaluation()


@pytest.mark.requirement("T4")
@pytest.mark.parametrize(("evaluator", "phase"), [(SAYS, "repair"), (EVALUATOR, "evaluate")])
async def test_a_version_that_cannot_be_scored_is_repaired_trained_again_and_scored(
    folder: Folder, evaluator: str, phase: str
) -> None:
    await unscorable(folder, evaluator)
    async with connected(folder) as agent:
        assert await agent.where() == (phase, 1)
        brief = await agent.brief()
        assert "repair_version(version=1, diff" in brief and "write_eval(source)" in brief
        sent = {"version": 1, "diff": folder.diff(SCRIPT, MENDED), "root_cause": "x", "change_summary": "typed again"}
        repaired = await agent.call("repair_version", **sent)
        assert (repaired["phase"], repaired["next"]["tool"]) == ("train", "run_train")
        assert not folder.path("Models/Artifacts/v001/best.ckpt").exists()
        assert "threshold" not in folder.read(".progressive-training/trash/v001-train-001/best.ckpt")
        assert (await agent.call("repair_version", **sent))["already_done"]
        assert (await agent.train())["state"] == "done"
        assert await agent.where() == ("evaluate", 1)
        assert (await agent.score())["state"] == "done"
    rows = [line for line in folder.read(REPORT).splitlines() if line.startswith("| ")]
    assert rows[1].startswith("| 1 | code error: its evaluation failed: ") and rows[1].endswith(
        "| typed again | FAIL |"
    )
    assert rows[2] == "| 2 |  |  |  | PASS |"
    assert not folder.path("02_train_v002.py").exists()


async def test_an_evaluator_that_has_scored_a_version_is_not_what_the_next_one_fails_by(at: At) -> None:
    folder = at("scored")
    async with connected(folder) as agent:
        await agent.analyse()
        await agent.act(change="Save it under another name", where=["save"])
        script = folder.read(SCRIPT)
        await agent.call("author_next_version", version=1, diff=folder.diff(SCRIPT, KEY))
        await agent.train(2)
        result = await agent.score(2)
        assert result["state"] == "failed" and "only the user may replace it" in result["failure"]["advice"]
        assert "write_eval" not in result["failure"]["advice"]
        assert (result["phase"], result["next"]["tool"]) == ("repair", "repair_version")
        brief = await agent.brief()
        assert "failed in its evaluation" in brief and "write_eval" not in brief
        assert "only the user" in await agent.refused("write_eval", source=EVALUATOR + "\n")
        await agent.repair((KEY[1], '"threshold": threshold, "start": START}'), file="02_train_v002.py", version=2)
        assert (await agent.train(2))["state"] == "done"
        assert (await agent.score(2))["state"] == "done"
        assert await agent.where() == ("analysis", 2)
        assert folder.read(SCRIPT) == script


async def test_an_evaluation_may_be_run_again_where_the_cause_was_outside(folder: Folder) -> None:
    await unscorable(
        folder, edited(SAYS, ('if "threshold" not in model', f'if not Path("{folder.root}/gate").exists()'))
    )
    async with connected(folder) as agent:
        assert await agent.where() == ("repair", 1)
        result = await agent.score()
        assert result["failure"]["kind"] == "code error"
        folder.write("gate", "")
        assert "KeyError" in (await agent.score())["failure"]["summary"]


async def test_a_corrected_evaluator_is_run_and_not_the_script_repaired(folder: Folder) -> None:
    await unscorable(folder, SAYS)
    async with connected(folder) as agent:
        result = await agent.call("write_eval", source=edited(EVALUATOR, ('model["threshold"]', 'model["limit"]')))
        assert (result["phase"], result["next"]["tool"]) == ("evaluate", "run_eval")
        assert (await agent.score())["state"] == "done"


async def test_after_a_cancelled_evaluation_there_is_nothing_to_repair(at: At) -> None:
    folder = at("trained")
    async with connected(folder) as agent:
        await agent.call("write_eval", source="import time\ntime.sleep(600)\n")
        await agent.call("run_eval", version=1)
        await agent.call("cancel_run", version=1)
        text = await agent.refused("repair_version", version=1, diff="x", root_cause="x", change_summary="x")
        assert "call run_eval(version=1)" in text
        assert "repair_version" not in await agent.brief()


@pytest.mark.requirement("T4")
async def test_a_training_without_a_successor_is_not_thrown_away_by_a_repair(folder: Folder) -> None:
    folder.set_rules(loop_config={"max_attempts": 1})
    await unscorable(folder, SAYS)
    async with connected(folder) as agent:
        assert await agent.where() == ("stuck", 1)
        patch = folder.diff(SCRIPT, MENDED)
        text = await agent.refused("repair_version", version=1, diff=patch, root_cause="x", change_summary="x")
        assert "final_report" in text
        assert folder.path("Models/Artifacts/v001/best.ckpt").exists()
        folder.set_rules(loop_config={"max_attempts": 3})
        assert accept_rules(folder.project())
        assert await agent.where() == ("repair", 1)
        await agent.repair(MENDED)
        await agent.train()
        assert (await agent.score())["state"] == "done"


async def test_evaluations_of_a_training_that_was_taken_back_say_nothing_of_the_next(folder: Folder) -> None:
    await unscorable(folder)
    async with connected(folder) as agent:
        await agent.repair(MENDED)
        await agent.train()
        assert await agent.where() == ("evaluate", 1)
        brief = await agent.brief()
        assert "failed" not in brief
    plan = folder.json(".progressive-training/attempts/v001/eval-001/plan.json")
    assert json.dumps(plan).count('"trained": 1') == 1
