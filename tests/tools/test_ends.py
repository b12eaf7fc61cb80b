"""How the whole loop ends: by whichever of the user's limits comes first, or because nothing is left to try."""

import json
import re
import subprocess
import sys
from typing import Any

import pytest

from progressive_training.loop.project.integrity import accept_rules
from progressive_training.loop.project.notices import Notice
from progressive_training.loop.project.receipts import AnalysisReceipt, EvalReceipt, TrainReceipt
from progressive_training.loop.project.version import Version
from progressive_training.loop.report.status import status
from support.projects import EVALUATOR, At, Folder, connected

pytestmark = pytest.mark.anyio
PASSED = 1e-9
"""Hours that are over before any call is made."""


def limit(folder: Folder, **config: Any) -> None:
    """Sets the loop's limits in the middle of it, as a user may."""
    folder.set_rules(loop_config={"max_versions": 5, **config})
    accept_rules(folder.project())


@pytest.mark.requirement("S1")
@pytest.mark.parametrize(
    ("config", "by", "words"),
    [
        ({"target": {"accuracy": 0.95}}, "target", "v002 has accuracy 0.95 (target 0.95)"),
        ({"target": {"loss": 9.0, "accuracy": 0.7}}, "target", "accuracy 0.95 (target 0.7)"),
        ({"patience": 1}, "patience", "1 versions in turn without a gain of accuracy beyond noise"),
        ({"max_hours": PASSED}, "max_hours", "and it is 1e-09"),
        ({"max_versions": 2, "patience": 1}, "max_versions", ""),
    ],
)
@pytest.mark.whole(but=1)
async def test_the_loop_ends_by_what_comes_first_and_goes_on_once_the_user_lifts_that(
    at: At, config: dict[str, Any], by: str, words: str
) -> None:
    folder = at("finished")
    limit(folder, **config)
    async with connected(folder) as agent:
        told = await agent.call("next_step")
        assert (told["phase"], told["ended_by"], told["next"]["tool"]) == ("report", by, "final_report")
        assert words in told["next"]["why"] and words in told["brief"]
        assert told["estimate"]["trainings_left"] == 0
        assert words in await agent.refused("author_next_version", version=2, diff="")
        report = await agent.report()
        assert report["ended_by"] == by
        assert words in folder.read(f"{report['folder']}/final-analysis.md")
        assert status(folder.project()).ended_by == (await agent.call("next_step"))["ended_by"] == by
        limit(folder)
        assert await agent.where() == ("author", 2)


async def test_limits_that_are_not_reached_end_nothing(at: At) -> None:
    folder = at("finished")
    limit(folder, target={"accuracy": 0.95, "loss": 0.0}, patience=2, max_hours=1000)
    async with connected(folder) as agent:
        told = await agent.call("next_step")
        assert (told["phase"], told.get("ended_by")) == ("author", None)
        left = told["estimate"]
        assert left["trainings_left"] == 3 and 999 < left["hours_left"] < 1000
    command = [sys.executable, "-m", "progressive_training.server", "status", "--project", str(folder.root)]
    shown = subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout
    assert re.search(r"for 3 more trainings, by the versions so far; [\d.e-]+ h of max_hours = 1000 have passed", shown)
    view = json.loads(subprocess.run([*command, "--json"], capture_output=True, check=True).stdout)
    assert view["ended_by"] is None and view["estimate"]["trainings_left"] == 3 and view["max_hours"] == 1000


async def test_a_score_by_other_targets_reaches_none_and_is_no_gain(at: At) -> None:
    folder = at("finished")
    second = Version(folder.project(), 2)
    receipt = second.receipt(EvalReceipt)
    assert receipt is not None
    other = Notice.of("other_targets", differing=9, shared=20, version="v001")
    second.save(receipt.model_copy(update={"warnings": (other,)}))
    limit(folder, target={"accuracy": 0.95})
    async with connected(folder) as agent:
        assert await agent.where() == ("author", 2)
    limit(folder, target={"accuracy": 0.75})
    async with connected(folder) as agent:
        assert "target: v001 has accuracy 0.75" in (await agent.call("next_step"))["next"]["why"]


async def test_small_gains_that_add_up_to_one_beyond_noise_are_a_gain_to_the_loops_patience(folder: Folder) -> None:
    # Each step takes 4 of 400 samples to the right side, which is noise; 8 are more.
    samples = [{"id": f"val-{i}", "x": (i + 0.5) / 400, "label": int(i >= 200)} for i in range(400)]
    folder.write("dataset/prepdata/v1/val.json", json.dumps(samples))
    folder.write("dataset/prepdata/v1/stats.json", '{"task_type": "threshold search", "num_train": 10, "num_val": 400}')
    folder.set_rules(loop_config={"max_versions": 5, "patience": 2})
    rates = ["0.2", "0.2106", "0.2214"]
    async with connected(folder) as agent:
        await agent.call("start_loop")
        await agent.train()
        await agent.call("write_eval", source=EVALUATOR)
        for number, (rate, following) in enumerate(zip(rates, [*rates[1:], ""], strict=True), 1):
            if number > 1:
                await agent.train(number)
            await agent.score(number)
            await agent.analyse(number)
            await agent.act(number, change=f"LEARNING_RATE from {rate} to {following or 1}")
            if following:
                await agent.author(number, (f"LEARNING_RATE = {rate}", f"LEARNING_RATE = {following}"))
        assert await agent.where() == ("author", 3)
    held = [Version(folder.project(), number).receipt(AnalysisReceipt) for number in (1, 2, 3)]
    assert [one.last_gain for one in held if one] == [1, 1, 3]


async def test_a_training_that_runs_when_max_hours_end_is_finished_and_then_scored(at: At) -> None:
    folder = at("started")
    async with connected(folder) as agent:
        await agent.call("run_train", version=1)
        limit(folder, max_hours=PASSED)
        assert (await agent.train())["state"] == "done"
        assert await agent.where() == ("evaluate", 1)


async def test_after_max_hours_no_training_begins(at: At) -> None:
    folder = at("authored")
    limit(folder, max_hours=PASSED)
    async with connected(folder) as agent:
        assert "so v002 isn't trained" in await agent.refused("run_train", version=2)
        assert (await agent.report())["ended_by"] == "max_hours"
        limit(folder)
        assert await agent.where() == ("train", 2)


async def test_a_rehearsal_that_runs_when_max_hours_end_is_waited_for(folder: Folder) -> None:
    folder.set_rules(rehearse=True, loop_config={"max_hours": PASSED})
    async with connected(folder) as agent:
        began = await agent.call("start_loop")
        assert (began["state"], began["phase"]) == ("running", "rehearsing")
        ended = await agent.call("start_loop", wait_seconds=50)
        assert (ended["phase"], ended["next"]["tool"]) == ("report", "final_report")


async def test_a_training_that_would_end_after_max_hours_is_said_before_it_starts(at: At) -> None:
    folder = at("acted")
    first = Version(folder.project(), 1)
    receipt = first.receipt(TrainReceipt)
    assert receipt is not None
    first.save(receipt.model_copy(update={"wall_seconds": 50 * 3600.0}))
    limit(folder, max_hours=20)
    async with connected(folder) as agent:
        told = await agent.call("next_step")
        assert "takes about 50 h, and would end 30 h after loop_config.max_hours" in told["message"]
        left = told["estimate"]
        assert left["late_seconds"] == pytest.approx(30 * 3600, rel=0.01) and left["trainings_left"] == 1
        assert "would end" in (await agent.author())["notes"][-1]
        assert "would end" in (await agent.call("run_train", version=2))["message"]
        assert (await agent.train(2))["state"] == "done"


async def test_an_agent_that_finds_nothing_more_ends_the_loop_by_its_own_word(at: At) -> None:
    folder = at("analysed")
    async with connected(folder) as agent:
        assert "stop_reason" in await agent.brief()
        report = await agent.report(stop_reason="nothing left that is worth a version")
        assert report["ended_by"] == "stop_reason"
        assert (await agent.call("next_step"))["ended_by"] == "stop_reason"
        assert "stop_reason: nothing left" in folder.read(f"{report['folder']}/report.html")
