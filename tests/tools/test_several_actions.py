"""`loop_config.actions_per_version`: a few declared actions in one version, where the user allows it."""

from typing import Any

import pytest

from progressive_training.loop.project.integrity import accept_rules
from support.projects import ACTION, At, Folder, connected

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("X1", "N1")]
START: dict[str, Any] = {**ACTION, "goal": "Begin closer", "change": "START from 1.0 to 0.9", "where": ["START"]}
RATE, BEGIN = ("LEARNING_RATE = 0.2", "LEARNING_RATE = 0.5"), ("START = 1.0", "START = 0.9")


def allowed(at: At, stage: str, most: int = 2, **config: Any) -> Folder:
    folder = at(stage)
    folder.set_rules(loop_config={"max_versions": 5, "actions_per_version": most, **config})
    accept_rules(folder.project())
    return folder


async def test_two_actions_are_declared_apart_and_carried_out_in_one_version(at: At) -> None:
    folder = allowed(at, "analysed")
    async with connected(folder) as agent:
        assert "up to 2 such actions" in await agent.brief()
        chosen = await agent.act(also=[START])
        assert "2 actions are selected: (1) Come closer to 0.5 in three epochs (2) Begin closer" in chosen["message"]
        extract = folder.read("Models/Artifacts/v001/action-extract.md")
        assert extract.count("## Selected Action ") == 2 and extract.count("### Verification") == 2
        brief = await agent.brief()
        assert "Where of (1): LEARNING_RATE" in brief and "Where of (2): START" in brief
        diff = folder.diff("02_train_v001.py", RATE)
        refused = await agent.refused("author_next_version", version=1, diff=diff)
        assert "the diff changes nothing of action 2: none of START" in refused
        more = folder.diff("02_train_v001.py", RATE, BEGIN, ("EPOCHS = 3\nBATCH", "EPOCHS = 3\nX = 1\nBATCH"))
        assert "also changes X" in await agent.refused("author_next_version", version=1, diff=more)
        assert (await agent.author(1, RATE, BEGIN))["symbols"] == ["LEARNING_RATE", "START"]
        header = folder.read("02_train_v002.py")[:500]
        assert "v002, 2 actions away from v001" in header and "(2) Begin closer" in header
        await agent.train(2)
        await agent.score(2)
        assert "It is 2 actions away from its parent: **(1) Come closer" in await agent.brief()
        report = await agent.report(stop_reason="enough")
        assert report["best"] == "v002"
        assert "2 actions away from its parent: (1)" in folder.read(f"{report['folder']}/final-analysis.md")


@pytest.mark.parametrize(
    ("also", "words"),
    [
        ([START, START], "there are 3 actions, and loop_config.actions_per_version is 2"),
        ([{**START, "where": ["LEARNING_RATE"]}], "also[0].where: actions 1 and 2 both name LEARNING_RATE"),
        ([{**START, "where": ["EPOCHS"]}], "also[0].where: the action changes EPOCHS, and the user fixed"),
        ([{**START, "where": ["BEGIN"]}], "also[0].where: where names what 02_train_v001.py doesn't have: BEGIN"),
        ([{**START, "risk": " "}], "also[0].risk: is empty"),
        ([{"goal": "x"}], "also[0]: lacks, or should not have: change, where"),
        ([{**START, "where": "START"}], "also[0]: where: input should be a valid tuple"),
        ([{**START, "change": "- START\n- EPOCHS"}], "also[0].change: lists several changes"),
    ],
)
async def test_each_further_action_is_checked_as_the_first_one(at: At, also: list[dict[str, Any]], words: str) -> None:
    folder = allowed(at, "analysed")
    async with connected(folder) as agent:
        assert words in await agent.refused("write_action", version=1, **ACTION, also=also)


async def test_without_the_users_word_a_version_is_one_action(at: At) -> None:
    async with connected(at("analysed")) as agent:
        assert "actions_per_version is 1" in await agent.refused("write_action", version=1, **ACTION, also=[START])
        assert "such actions in one version" not in await agent.brief()
