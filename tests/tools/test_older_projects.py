"""A project that an older release left in mid-loop goes on to its report; one of a later release is left alone."""

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from progressive_training.loop.store.records import SCHEMA
from support.projects import ANALYSIS, FOLDER_NAME, STATE, Agent, At, Folder, connected

ARCHIVES = Path(__file__).resolve().parents[1] / "fixtures" / "older_projects"
pytestmark = pytest.mark.anyio

Left = Callable[[str], Folder]


@pytest.fixture(params=sorted(path.name.removesuffix(".tar.xz") for path in ARCHIVES.glob("*.tar.xz")))
def left(request: pytest.FixtureRequest, tmp_path: Path) -> Left:
    """A project as that release left it in a state."""

    def unpacked(state: str) -> Folder:
        with tarfile.open(ARCHIVES / f"{request.param}.tar.xz") as archive:
            archive.extractall(tmp_path, filter="data")
        return Folder((tmp_path / state).rename(tmp_path / FOLDER_NAME))

    return unpacked


async def finished(agent: Agent) -> str:
    """v002 from its score to the loop's report."""
    await agent.score(2)
    await agent.analyse(2, summary="The higher rate came closer.")
    await agent.act(2, goal="Start closer", change="START from 1.0 to 0.6", where=["START"])
    return (await agent.report())["folder"]


def rows(folder: Folder, report: str) -> list[str]:
    """The versions of a report, best first."""
    return [line.split(",")[0] for line in folder.read(f"{report}/leaderboard.csv").splitlines()[1:]]


def evaluations(folder: Folder, version: str) -> int:
    return len(list(folder.path(f"{STATE}/attempts/{version}").glob("eval-*")))


async def test_a_failed_training_is_repaired(left: Left) -> None:
    folder = left("failed")
    async with connected(folder) as agent:
        assert await agent.where() == ("repair", 1)
        assert "save_log" in await agent.brief()
        await agent.repair(("    save_log(rows)\n", "    save_logs(rows)\n"))
        assert (await agent.train())["state"] == "done"
        assert await agent.where() == ("evaluate", 1)
    report = folder.read("Models/Artifacts/v001/_tests/train_retry_report.md")
    assert "NameError" in report and "typed again" in report


async def test_the_selected_action_becomes_the_next_version(left: Left) -> None:
    folder = left("acted")
    async with connected(folder) as agent:
        assert await agent.where() == ("author", 1)
        await agent.author()
        assert (await agent.train(2))["state"] == "done"
        report = await finished(agent)
        assert await agent.where() == ("done", 2)
    assert rows(folder, report) == ["v002", "v001"]
    assert evaluations(folder, "v001") == 1, "the older release's score is of the same protocol"


async def test_a_trained_version_is_scored_and_compared_with_an_older_score(left: Left) -> None:
    folder = left("trained")
    async with connected(folder) as agent:
        assert await agent.where() == ("evaluate", 2)
        report = await finished(agent)
    assert rows(folder, report) == ["v002", "v001"]
    assert evaluations(folder, "v001") == 1
    options = folder.json(f"{STATE}/attempts/v002/eval-001/eval.json")["arguments"]
    known = ("version", "project", "source", "samples", "seed", "dataset-id")
    assert sorted(options) == sorted(known), "its evaluator, one file, knows no other"
    assert not folder.path("evaluator_parts").exists()
    assert "v001 → v002" in folder.read("Models/Artifacts/v002/result-analysis.md")


async def test_a_finished_loop_is_still_finished_and_goes_on_when_it_may(left: Left) -> None:
    folder = left("reported")
    async with connected(folder) as agent:
        assert await agent.where() == ("done", 2)
        assert (await agent.report())["already_done"]
        folder.edit("user_defined_rules.json", ('"max_versions": 2', '"max_versions": 3'))
        assert "rules accept" in await agent.refused("author_next_version", version=2, diff="--- a/x\n+++ b/x\n")


def newer(folder: Folder, relative: str) -> str:
    """The record's file as a later release may have left it; returns its text."""
    content: dict[str, Any] = folder.json(relative)
    content |= {"schema": SCHEMA + 1, "release": "9.1.0"}
    content["record"]["something new"] = []
    folder.write(relative, json.dumps(content))
    return folder.read(relative)


@pytest.mark.parametrize(
    ("stage", "where", "tool", "arguments"),
    [
        ("started", "loop.json", "run_train", {"version": 1}),
        ("scored", "receipts/v001/eval.json", "run_eval", {"version": 1}),
        ("scored", "receipts/evaluator.json", "write_analysis", {"version": 1, **ANALYSIS}),
        ("acted", "receipts/v001/action.json", "author_next_version", {"version": 1, "diff": "--- a/x\n+++ b/x\n"}),
        ("reported", "receipts/report.json", "final_report", {}),
    ],
)
async def test_of_a_later_release_it_is_said_that_it_is_newer(
    at: At, stage: str, where: str, tool: str, arguments: dict[str, Any]
) -> None:
    folder = at(stage)
    text = newer(folder, f"{STATE}/{where}")
    async with connected(folder) as agent:
        told = await agent.refused(tool, **arguments)
        assert f"{where}: was made by a newer progressive-training (9.1.0)" in told
        assert "update progressive-training" in told and "delete" not in told and "damaged" not in told
    assert folder.read(f"{STATE}/{where}") == text
