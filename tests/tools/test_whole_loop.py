"""The loop from the baseline to the report, as an agent goes through it."""

import pytest

from support.projects import EVALUATOR, Folder, connected

pytestmark = pytest.mark.anyio


@pytest.mark.requirement("C4", "C5", "C7", "I5", "E3", "N1", "S1", "R1")
async def test_a_loop_of_two_versions_ends_in_a_report_that_ranks_the_better_one_first(folder: Folder) -> None:
    folder.set_rules(execution_config={"sandbox": "auto"})
    async with connected(folder) as agent:
        assert (await agent.call("read_rules"))["next"]["tool"] == "start_loop"
        assert (await agent.call("start_loop"))["next"] == {
            "tool": "run_train",
            "arguments": {"version": 1},
            "why": "it is not trained yet",
            "adopts": False,
        }
        assert (await agent.train())["next"]["tool"] == "run_eval"
        await agent.call("write_eval", source=EVALUATOR)
        scored = await agent.score()
        assert scored["metrics"]["accuracy"] == pytest.approx(0.75)
        assert scored["num_samples"] == 20
        assert (await agent.analyse())["next"]["tool"] == "write_action"
        assert (await agent.act())["next"]["tool"] == "author_next_version"
        authored = await agent.author()
        assert (authored["script"], authored["symbols"]) == ("02_train_v002.py", ["LEARNING_RATE"])
        assert (await agent.train(2))["state"] == "done"
        assert (await agent.score(2))["metrics"]["accuracy"] == pytest.approx(0.95)
        await agent.analyse(2)
        assert (await agent.act(2))["next"]["tool"] == "final_report"
        report = await agent.report()
        assert report["best"] == "v002"
        rows = report["leaderboard"].splitlines()
        assert [row.split(",")[0] for row in rows] == ["version_id", "v002", "v001"]
        done = await agent.call("final_report", analysis="The higher rate did it.")
        assert done["already_done"] and "next" not in done
        assert await agent.where() == ("done", 2)
    for version in ("v001", "v002"):
        assert folder.json(f"Models/Artifacts/{version}/eval_score.json")["dataset_id"] == "v1"
