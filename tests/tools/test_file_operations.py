"""Whatever a user does to the files, there is a legal next call, and it works or says what does.

`python bench/file_states.py` walks 300 such states to the loop's end.
"""

import shutil
from pathlib import Path

import pytest

from progressive_training import tools
from support.file_states import Walker, bring_about, states
from support.instant import Instant
from support.projects import FOLDER_NAME, STATE, At, Shelf, connected

pytestmark = pytest.mark.anyio
V001, V002 = "02_train_v001.py", "02_train_v002.py"


@pytest.mark.parametrize("seed", range(6))
def test_after_file_operations_the_next_call_works_or_says_what_does(shelf: Shelf, tmp_path: Path, seed: int) -> None:
    for number, state in enumerate(states(shelf.path, seed, 9)):
        root = bring_about(state, tmp_path / f"{number} {FOLDER_NAME}", shelf.path)
        walker = Walker(root, shelf.path(state.stage))
        wrong = walker.walk(steps=3)
        assert wrong is None, "\n".join((str(state), wrong, *walker.said))
        shutil.rmtree(root)


@pytest.mark.requirement("S1")
async def test_a_call_that_is_done_makes_again_what_is_gone(at: At) -> None:
    folder = at("authored")
    gone = [V001, V002, *(f"Models/Artifacts/v001/{name}" for name in ("result-analysis.md", "action-extract.md"))]
    gone.append("Models/Artifacts/v001/eval_score.json")
    before = {name: folder.read(name) for name in gone}
    async with connected(folder, executor=Instant()) as agent:
        for call in ("author_next_version", "write_action", "write_analysis", "run_eval", "run_train"):
            for name in gone:
                folder.path(name).unlink()
            documents = {"write_action": agent.act, "write_analysis": agent.analyse}
            answer = await (documents[call]() if call in documents else agent.call(call, version=1))
            assert answer["already_done"]
            assert {name: folder.read(name) for name in gone} == before
        # Where something else lies there, it is the user's.
        folder.write("Models/Artifacts/v001/action-extract.md", "mine")
        await agent.act()
        assert folder.read("Models/Artifacts/v001/action-extract.md") == "mine"


async def test_next_step_shows_a_deleted_script_and_writes_nothing(at: At) -> None:
    folder = at("acted")
    folder.path(V001).unlink()
    before = folder.contents()
    async with connected(folder, executor=Instant()) as agent:
        assert "LEARNING_RATE = 0.2" in await agent.brief()
        assert folder.contents() == before
        patch = f"--- a/{V001}\n+++ b/{V001}\n@@ -1 +1 @@\n-LEARNING_RATE = 0.2\n+LEARNING_RATE = 0.5\n"
        await agent.call("author_next_version", version=1, diff=patch)
        assert folder.path(V001).exists() and folder.path(V002).exists()


@pytest.mark.requirement("T2")
async def test_a_training_whose_checkpoints_are_gone_before_they_are_scored_is_trained_again(at: At) -> None:
    folder = at("trained")
    shutil.rmtree(folder.path("Models"))
    async with connected(folder, executor=Instant()) as agent:
        step = await agent.call("next_step", brief=False)
        assert step["next"]["tool"] == "run_train" and "though training left it" in step["next"]["why"]
        again = await agent.train()
        assert (again["state"], again["already_done"]) == ("done", False)
        assert await agent.where() == ("evaluate", 1)


@pytest.mark.requirement("R1", "R6")
async def test_a_report_that_is_gone_is_made_again_with_its_analysis(at: At) -> None:
    folder = at("reported")
    async with connected(folder, executor=Instant()) as agent:
        first = await agent.report(analysis="v002 leads by its rate.")
        shutil.rmtree(folder.path(first["folder"]))
        folder.path("04_final_report.py").unlink()
        assert (await agent.call("next_step", brief=False))["next"]["tool"] == "final_report"
        again = await agent.report()
        assert again["best"] == first["best"] and folder.path("04_final_report.py").exists()
        assert "v002 leads by its rate." in folder.read(f"{again['folder']}/final-analysis.md")
        assert await agent.where() == ("done", 2)


async def test_a_loop_goes_on_where_loop_json_alone_is_gone(at: At) -> None:
    folder = at("authored")
    folder.path(f"{STATE}/loop.json").unlink()
    async with connected(folder, executor=Instant()) as agent:
        assert (await agent.call("start_loop"))["version"] == 2
        assert await agent.where() == ("train", 2)
        assert (await agent.call("next_step", brief=False))["remarks"] == []


async def test_a_module_of_the_trained_version_is_put_back_and_an_edited_one_is_not(at: At) -> None:
    folder = at("authored")
    folder.path("schedule.py").unlink()
    async with connected(folder, executor=Instant()) as agent:
        assert (await agent.train(2))["state"] == "done"
    assert "def advance" in folder.read("schedule.py")


async def test_an_older_state_put_back_leaves_the_newer_script_to_be_adopted_with_what_it_was_trained_to(
    shelf: Shelf, at: At
) -> None:
    folder = at("finished")
    shutil.rmtree(folder.path(STATE))
    shutil.copytree(shelf.path("acted") / STATE, folder.path(STATE))
    text = folder.read(V002)
    assert tools.next_step(folder.project()).next is not None
    async with connected(folder, executor=Instant()) as agent:
        assert (await agent.call("author_next_version", version=1))["next"]["tool"] == "run_train"
    assert folder.read(V002) == text
