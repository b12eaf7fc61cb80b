"""Scripts that no Step made: named and never run; taken as the next version, as a repair, or as the first one."""

import json

import pytest

from progressive_training.loop.project.integrity import accept_rules
from progressive_training.server.cli.main import main
from support.instant import Instant
from support.projects import STATE, TRAINER, At, Folder, connected, edited

pytestmark = pytest.mark.anyio
V001, V002 = "02_train_v001.py", "02_train_v002.py"
CHANGE = ("LEARNING_RATE = 0.2", "LEARNING_RATE = 0.5")
START = ("START = 1.0", "START = 0.9")


def by_hand(folder: Folder, *edits: tuple[str, str], name: str = V002) -> None:
    """Writes the next version as an agent with an editor does."""
    folder.write(name, edited(folder.read(V001), *edits).replace('"v001"', '"v002"'))


async def remarks(folder: Folder) -> str:
    async with connected(folder, executor=Instant()) as agent:
        return " ".join((await agent.call("next_step", brief=False))["remarks"])


@pytest.mark.requirement("N1", "S1")
@pytest.mark.parametrize("stage", ["scored", "acted", "finished"])
@pytest.mark.parametrize("name", ["02_train_v003.py", "02_train_v099.py"])
async def test_a_script_without_its_parents_receipt_is_named_and_never_run(at: At, stage: str, name: str) -> None:
    folder = at(stage)
    by_hand(folder, name=name)
    number = int(name[-6:-3])
    folder.write(
        f"Models/Artifacts/v{number:03d}/eval_score.json", folder.read("Models/Artifacts/v001/eval_score.json")
    )
    async with connected(folder, executor=Instant()) as agent:
        step = await agent.call("next_step", brief=False)
        assert step["version"] == (2 if stage == "finished" else 1)
        assert name in " ".join(step["remarks"])
        status = json.loads((await agent.client.read_resource("loop://status")).contents[0].text)  # pyright: ignore
        assert name in " ".join(status["remarks"])
        assert number not in [one["version"] for one in status["versions"]]
        for tool in ("run_train", "run_eval"):
            assert "not possible now" in await agent.refused(tool, version=number)
        if stage == "finished":
            report = await agent.report()
            ranked = folder.read(f"{report['folder']}/leaderboard.csv")
            assert f"v{number:03d}" not in ranked and "v002" in ranked
            assert name in folder.read(f"{report['folder']}/final-analysis.md")
    assert folder.path(name).exists()


@pytest.mark.requirement("N1")
async def test_the_next_version_written_with_an_editor_is_adopted_where_it_is_the_one_action(at: At) -> None:
    folder = at("acted")
    by_hand(folder, CHANGE)
    async with connected(folder, executor=Instant()) as agent:
        step = await agent.call("next_step")
        assert (step["next"]["tool"], step["next"]["arguments"]) == ("author_next_version", {"version": 1})
        assert "no Step made it" in step["next"]["why"] and "adopt" in step["brief"]
        authored = await agent.call("author_next_version", version=1)
        assert authored["symbols"] == ["LEARNING_RATE"] and "editor" in " ".join(authored["notes"])
        assert "-LEARNING_RATE = 0.2" in authored["diff"] and "VERSION" not in authored["diff"].split("@@")[0]
        text = folder.read(V002)
        assert text.startswith("# >>> progressive-training: v002, one action away from v001") and CHANGE[1] in text
        assert (await agent.train(2))["state"] == "done"
    assert not await remarks(folder)


@pytest.mark.requirement("N1")
@pytest.mark.parametrize(
    ("edits", "words"),
    [
        ([CHANGE, START], ["also changes START", "exactly one action"]),
        ([CHANGE, ("EPOCHS = 3", "EPOCHS = 30")], ["training_config.epochs fixes 3"]),
        ([], ["only comments, formatting or VERSION"]),
        ([("def fit():", "def fit(:")], ["v00"]),
    ],
)
async def test_what_is_not_the_one_action_is_not_adopted_and_a_diff_puts_it_aside(
    at: At, edits: list[tuple[str, str]], words: list[str]
) -> None:
    folder = at("acted")
    by_hand(folder, *edits)
    mine = folder.read(V002)
    async with connected(folder, executor=Instant()) as agent:
        text = await agent.refused("author_next_version", version=1)
        assert all(word in text for word in words), text
        authored = await agent.author()
        kept = next(folder.path(f"{STATE}/kept").iterdir())
        assert kept.name in " ".join(authored["notes"]) and kept.read_text(encoding="utf-8") == mine
        assert (await agent.train(2))["state"] == "done"


@pytest.mark.requirement("N1")
async def test_without_a_diff_and_without_a_script_there_is_nothing_to_adopt(at: At) -> None:
    async with connected(at("acted")) as agent:
        assert "no 02_train_v002.py" in await agent.refused("author_next_version", version=1)


async def test_a_link_in_the_next_versions_place_is_never_adopted(at: At) -> None:
    folder = at("acted")
    folder.path(V002).symlink_to(folder.path(V001))
    async with connected(folder, executor=Instant()) as agent:
        assert "plain file" in await agent.refused("author_next_version", version=1)
        await agent.author()
        assert (await agent.train(2))["state"] == "done"
    assert folder.path(V001).exists()


@pytest.mark.requirement("N1")
async def test_an_authored_script_that_was_edited_is_not_trained_but_adopted_where_it_still_is_one_action(
    at: At,
) -> None:
    folder = at("authored")
    folder.edit(V002, ("LEARNING_RATE = 0.5", "LEARNING_RATE = 0.6"))
    async with connected(folder, executor=Instant()) as agent:
        assert "edited outside the loop" in await agent.refused("run_train", version=2)
        authored = await agent.call("author_next_version", version=1)
        assert not authored["already_done"] and "+LEARNING_RATE = 0.6" in authored["diff"]
        assert await agent.where() == ("train", 2)
        folder.edit(V002, START)
        assert "also changes START" in await agent.refused("author_next_version", version=1)
        kept = folder.read(f"{STATE}/authored/{V002}")
        folder.write(V002, kept)
        assert (await agent.train(2))["state"] == "done"


@pytest.mark.requirement("N1")
async def test_an_edit_of_the_current_version_is_adopted_as_the_next_one(at: At) -> None:
    folder = at("acted")
    before = folder.read(V001)
    folder.edit(V001, CHANGE)
    async with connected(folder, executor=Instant()) as agent:
        assert "edited outside the loop" in (await agent.call("next_step", brief=False))["next"]["why"]
        authored = await agent.call("author_next_version", version=1)
        assert authored["symbols"] == ["LEARNING_RATE"]
        assert folder.read(V001) == before and CHANGE[1] in folder.read(V002)


@pytest.mark.requirement("T4")
async def test_a_repair_made_with_an_editor_is_adopted(folder: Folder) -> None:
    folder.edit("02_train_baseline.py", ("    save_logs(rows)\n", "    save_log(rows)\n"))
    async with connected(folder) as agent:
        await agent.call("start_loop")
        await agent.failed_training("code error")
        words = {"root_cause": "a typing error", "change_summary": "typed again"}
        assert "neither 02_train_v001.py nor" in await agent.refused("repair_version", version=1, **words)
        folder.edit(V001, ("    save_log(rows)\n", "    save_logs(rows)\n"))
        assert "Without diff" in (await agent.call("next_step", brief=False))["next"]["why"]
        repaired = await agent.call("repair_version", version=1, **words)
        assert repaired["files"] == [V001] and "+    save_logs(rows)" in repaired["diff"]
        assert (await agent.train())["state"] == "done"


@pytest.mark.requirement("I2")
async def test_an_adopted_first_version_is_pinned_and_what_was_checked_is_said(folder: Folder) -> None:
    for number in (1, 3):
        folder.write(f"02_train_v00{number}.py", edited(TRAINER, ('"baseline"', f'"v00{number}"')))
    folder.set_rules(loop_config={"max_versions": 4})
    async with connected(folder, executor=Instant()) as agent:
        started = await agent.call("start_loop")
        said = " ".join(started["findings"])
        assert "02_train_v003.py is the first version" in said and "schedule.py" in said
        assert "v001" in said and "training_config.epochs" in said
        # Replaced before it is trained: said, and taken anew by start_loop, which nothing was compared with yet.
        folder.edit("02_train_v003.py", START)
        step = await agent.call("next_step", brief=False)
        assert (step["next"]["tool"], "edited outside" in step["next"]["why"]) == ("start_loop", True)
        assert "edited outside the loop" in await agent.refused("run_train", version=3)
        again = await agent.call("start_loop")
        assert not again["already_done"] and again["next"]["tool"] == "run_train"
        assert (await agent.train(3))["state"] == "done"
        # And afterwards: what was trained counts, the file is named.
        folder.edit("02_train_v003.py", CHANGE)
        assert "02_train_v003.py" in " ".join((await agent.call("next_step", brief=False))["remarks"])
    assert "v001" in json.dumps(started["findings"])


@pytest.mark.requirement("C4", "I2")
async def test_max_versions_bounds_what_is_adopted_and_what_runs(folder: Folder) -> None:
    folder.write("02_train_v099.py", edited(TRAINER, ('"baseline"', '"v099"')))
    folder.set_rules(loop_config={"max_versions": 4})
    async with connected(folder, executor=Instant()) as agent:
        assert "max_versions = 4" in await agent.refused("start_loop")
        folder.set_rules(loop_config={"max_versions": 99})
        await agent.call("start_loop")
        folder.set_rules(loop_config={"max_versions": 4})
        accept_rules(folder.project())
        assert "beyond max_versions" in await agent.refused("run_train", version=99)
        assert "best" not in await agent.report()


@pytest.mark.parametrize("stage", ["acted", "authored"])
async def test_files_named_like_versions_that_are_none_are_left_alone(at: At, stage: str) -> None:
    folder = at(stage)
    names = [
        "02_train_v002_old.py",
        "02_train_v2.py",
        "02_train_v02.py",
        "backup/02_train_v002.py",
        "02_train_v0003.py",
    ]
    for name in (*names, "02_train_v003.py.bak", "Copy of 02_train_v002.py"):
        folder.write(name, "not = a version\n")
    before = folder.contents()
    assert not await remarks(folder)
    async with connected(folder, executor=Instant()) as agent:
        if stage == "acted":
            await agent.author()
        assert (await agent.train(2))["state"] == "done"
    assert {name: folder.contents()[name] for name in names} == {name: before[name] for name in names}


async def test_the_command_adopts_what_the_next_call_would_take(at: At, capsys: pytest.CaptureFixture[str]) -> None:
    folder = at("acted")
    by_hand(folder, CHANGE)

    def said(command: str, code: int) -> str:
        with pytest.raises(SystemExit) as ended:
            main([command, "--project", str(folder.root)])
        assert ended.value.code == code
        return " ".join("".join(capsys.readouterr()).split())

    assert "progressive-training adopt" in said("status", 0)
    assert "v002 is authored" in said("adopt", 0)
    assert "nothing to adopt" in said("adopt", 1)
