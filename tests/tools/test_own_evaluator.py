"""The loop's own evaluator in a loop: what it decides on the first version holds for all, is locked, and is renewed."""

from typing import Any

import pytest

from progressive_training.loop.evaluate.evaluator_files import takes_protocol
from progressive_training.loop.project.evaluation_protocol import acceptance
from progressive_training.loop.project.integrity import accept_protocol
from support.projects import ANALYSIS, STATE, Agent, Folder, connected
from support.rehearsals import SCRIPT

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("E1", "R2"), pytest.mark.usefixtures("no_device")]
FROZEN = f"{STATE}/protocol/protocol.bin"
STATS = '{"task_type": "classification", "num_train": 340, "num_val": 60}'
TURNED = ("labels = (inputs.sum(1) > 0).long()", "labels = (inputs.sum(1) > 0.3).long()")


@pytest.fixture
def classified(folder: Folder) -> Folder:
    folder.write("02_train_baseline.py", SCRIPT)
    folder.write("dataset/prepdata/v1/stats.json", STATS)
    folder.set_rules(training_config={"epochs": 4})
    return folder


async def ended(agent: Agent, tool: str, version: int) -> dict[str, Any]:
    while (result := await agent.call(tool, version=version, wait_seconds=45))["state"] == "running":
        pass
    return result


async def scored(agent: Agent, version: int) -> dict[str, Any]:
    trained = await ended(agent, "run_train", version)
    assert trained["state"] == "done", trained
    return await ended(agent, "run_eval", version)


def options(folder: Folder, version: str, attempt: int) -> set[str]:
    return set(folder.json(f"{STATE}/attempts/{version}/eval-{attempt:03d}/eval.json")["arguments"])


def protocol(folder: Folder) -> str | None:
    accepted = acceptance(folder.project())
    return accepted.protocol if accepted else None


async def test_what_the_first_version_decided_holds_until_the_user_accepts_another_protocol(classified: Folder) -> None:
    folder = classified
    async with connected(folder) as agent:
        await agent.call("start_loop")
        first = await scored(agent, 1)
        assert first["state"] == "done", first
        assert first["formulas"] == {"loss": "server", "accuracy": "server"}
        assert "protocol" not in options(folder, "v001", 1)
        decided = protocol(folder)
        assert decided is not None
        await agent.analyse()
        await agent.act(change="labels", where=["labels"])

        # Other targets than the first version's are no score but the version's fault.
        await agent.author(1, TURNED)
        failed = await scored(agent, 2)
        assert failed["state"] == "failed" and failed["next"]["tool"] == "repair_version", failed
        assert "have other targets than in the first version" in failed["failure"]["summary"]
        await agent.repair(tuple(reversed(TURNED)), file="02_train_v002.py", version=2)  # type: ignore[arg-type]
        second = await scored(agent, 2)
        assert second["state"] == "done", second
        assert "protocol" in options(folder, "v002", 2) and protocol(folder) == decided

        # The user's other evaluator decides anew, on the first version.
        folder.edit("03_eval.py", ("FORMULA = None", "FORMULA = 'script'"))
        assert accept_protocol(folder.project()) == "03_eval.py"
        assert not folder.path(FROZEN).exists()
        while (made := await agent.report(stop_reason="enough"))["state"] == "running":
            pass
        assert "protocol" not in options(folder, "v001", 2) and "protocol" in options(folder, "v002", 3)
        assert protocol(folder) not in (None, decided)
    told = "By the script's own formula, as its validation_step logs it: accuracy."
    assert told in folder.read(f"{made['folder']}/final-analysis.md")
    assert "script&#39;s own formula, as its validation_step logs it: accuracy." in folder.read(
        f"{made['folder']}/report.html"
    )


async def test_an_edit_of_what_was_decided_or_of_the_machinery_is_the_users_to_accept(classified: Folder) -> None:
    folder = classified
    async with connected(folder) as agent:
        await agent.call("start_loop")
        assert (await scored(agent, 1))["state"] == "done"
        for name, text in (
            (FROZEN, b"{}"),
            ("evaluator_parts/scoring/walk.py", b"pass\n"),
            ("evaluator_parts/command.so", b"\x7fELF"),
        ):
            path = folder.path(name)
            before = path.read_bytes() if path.exists() else None
            path.write_bytes(text)
            said = await agent.refused("write_analysis", version=1, **ANALYSIS)
            assert f"{name} changed since the first score" in said and "protocol accept" in said
            path.unlink()
            if before is not None:
                assert name in await agent.refused("write_analysis", version=1, **ANALYSIS)
                path.write_bytes(before)
        await agent.analyse()
        folder.path(FROZEN).write_bytes(b"{}")
        assert accept_protocol(folder.project()) == FROZEN
        assert protocol(folder) is None
        await agent.act(change="labels", where=["labels"])


async def test_a_lost_machinery_is_written_again_with_the_same_script(classified: Folder) -> None:
    folder = classified
    async with connected(folder) as agent:
        await agent.call("start_loop")
        await agent.call("write_eval", settings={})
        folder.path("evaluator_parts/scoring/walk.py").unlink()
        assert not (await agent.call("write_eval", settings={}))["already_done"]
        assert folder.path("evaluator_parts/scoring/walk.py").is_file()
        assert (await agent.call("write_eval", settings={}))["already_done"]


async def test_whose_evaluator_it_is_depends_on_what_was_written_and_not_on_its_words(classified: Folder) -> None:
    folder = classified
    async with connected(folder) as agent:
        await agent.call("start_loop")
        await agent.call("write_eval", settings={})
        own = folder.read("03_eval.py")
        for text, is_own in (
            (own, True),
            (own.replace("OUTPUT = None", "OUTPUT = 'forward'"), True),
            (own.replace("sys.exit(main(", "sys.exit(print("), False),
            (own.replace('HERE / "evaluator_parts" / "__init__.py"', '"elsewhere.py"'), False),
            ("# from evaluator_parts.command import main\n", False),
        ):
            folder.write("03_eval.py", text)
            assert takes_protocol(folder.project()) is is_own, text[:200]
