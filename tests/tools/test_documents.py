"""Steps 3 and 4: an analysis whose facts are the server's, and exactly one action that keeps the rules."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from progressive_training.loop.project.integrity import accept_rules
from support.many_versions import grow
from support.projects import ACTION, ANALYSIS, STAGES, STATE, TRAINER, At, Folder, connected

pytestmark = pytest.mark.anyio
ANALYSIS_FILE = "Models/Artifacts/v001/result-analysis.md"
ACTION_FILE = "Models/Artifacts/v001/action-extract.md"


@pytest.mark.requirement("A1")
async def test_an_analysis_holds_the_agents_judgement_beside_the_servers_facts(at: At) -> None:
    folder = at("scored")
    async with connected(folder) as agent:
        brief = await agent.brief()
        assert "accuracy" in brief and "Learning curves" in brief and "Hardest samples" in brief
        await agent.analyse()
    text = folder.read(ANALYSIS_FILE)
    titles = ["Summary", "Metric deltas", "Evidence", "Hypotheses", "Next focus candidates"]
    assert re.findall(r"^## (.*)$", text, re.M) == titles
    assert "This is the first version." in text and ANALYSIS["summary"] in text
    assert "- learning rate\n- another start" in text


@pytest.mark.requirement("A1")
async def test_the_second_analysis_compares_with_the_first_from_the_published_scores(at: At) -> None:
    folder = at("finished")
    text = folder.read("Models/Artifacts/v002/result-analysis.md")
    assert "v001 → v002" in text
    assert "| **accuracy** | 0.75 | 0.95 | +0.2 | better |" in text


@pytest.mark.requirement("A1")
@pytest.mark.parametrize(
    ("edit", "flag"),
    [
        (("LEARNING_RATE = 0.2", "LEARNING_RATE = 0.1"), "worse by what may be chance: accuracy 0.75 -> 0.65"),
        (("LEARNING_RATE = 0.2", "LEARNING_RATE = 0.2001"), "plateau: accuracy stayed at 0.75"),
    ],
)
async def test_plateaus_are_named_and_noise_is_no_regression(at: At, edit: tuple[str, str], flag: str) -> None:
    folder = at("acted")
    async with connected(folder) as agent:
        await agent.author(1, edit)
        await agent.train(2)
        await agent.score(2)
        assert flag in await agent.brief()
        await agent.analyse(2)
    assert flag in folder.read("Models/Artifacts/v002/result-analysis.md")


@pytest.mark.requirement("A1")
async def test_a_version_that_is_worse_beyond_noise_is_a_regression_and_called_worse(folder: Folder) -> None:
    samples = [{"id": f"val-{n}", "x": (n + 0.5) / 400, "label": int(n >= 200)} for n in range(400)]
    folder.write("dataset/prepdata/v1/val.json", json.dumps(samples))
    folder.write("dataset/prepdata/v1/stats.json", '{"task_type": "x", "num_train": 10, "num_val": 400}')
    async with connected(folder) as agent:
        await STAGES["started"](agent)
        for stage in ("trained", "scored", "analysed", "acted"):
            await STAGES[stage](agent)
        await agent.author(1, ("LEARNING_RATE = 0.2", "LEARNING_RATE = 0.1"))
        await agent.train(2)
        await agent.score(2)
        brief = await agent.brief()
        assert "regression: accuracy 0.745 -> 0.635" in brief and "| significantly worse |" in brief
        await agent.analyse(2)
        assert "0.745 → 0.635 (significantly worse)" in await agent.brief()


@pytest.mark.parametrize(
    "parts",
    [
        {"summary": " "},
        {"evidence": ""},
        {"hypotheses": []},
        {"next_focus_candidates": ["x", " "]},
        {"summary": "x" * 8001},
    ],
)
async def test_an_analysis_that_lacks_a_part_is_refused(at: At, parts: dict[str, Any]) -> None:
    folder = at("scored")
    async with connected(folder) as agent:
        text = await agent.refused("write_analysis", version=1, **{**ANALYSIS, **parts})
        assert next(iter(parts)) in text
        await agent.analyse()


@pytest.mark.requirement("X1")
async def test_an_action_extract_holds_exactly_one_action_with_all_its_parts(at: At) -> None:
    folder = at("analysed")
    async with connected(folder) as agent:
        brief = await agent.brief()
        assert "- LEARNING_RATE = 0.2 (constant" in brief and ANALYSIS["summary"] in brief
        await agent.act(deferred=["another start"])
    text = folder.read(ACTION_FILE)
    assert re.findall(r"^## (.*)$", text, re.M) == ["Selected Action", "Deferred Candidates"]
    parts = ["Goal", "Change", "Where", "Expected impact", "Risk", "Verification"]
    assert re.findall(r"^### (.*)$", text, re.M) == parts
    assert "- `LEARNING_RATE`" in text and "- another start" in text


@pytest.mark.requirement("X1")
@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"goal": ""}, "goal"),
        ({"change": " "}, "change"),
        ({"risk": "\n"}, "risk"),
        ({"expected_impact": ""}, "expected_impact"),
        ({"verification": ""}, "verification"),
        ({"where": []}, "where"),
        ({"where": ["Net.forward"]}, "Net.forward"),
        ({"where": ["LEARNING_RATE", "learning rate"]}, "It has: "),
    ],
)
async def test_an_action_that_lacks_a_part_or_names_no_symbol_is_refused(
    at: At, parts: dict[str, Any], words: str
) -> None:
    folder = at("analysed")
    async with connected(folder) as agent:
        text = await agent.refused("write_action", version=1, **{**ACTION, **parts})
        assert words in text
        await agent.act()


@pytest.mark.requirement("C2", "C3", "X2")
@pytest.mark.parametrize(
    ("symbol", "rule"),
    [
        ("EPOCHS", "training_config.epochs"),
        ("BATCH_SIZE", "training_config.batch_size"),
        ("SEED", "seed"),
        ("+MAX_EPOCHS", "training_config.epochs"),
    ],
)
async def test_an_action_on_what_the_rules_fix_is_refused_and_may_be_chosen_anew(
    at: At, symbol: str, rule: str
) -> None:
    folder = at("analysed")
    async with connected(folder) as agent:
        text = await agent.refused("write_action", version=1, **{**ACTION, "where": [symbol]})
        assert f"{rule} = " in text and "next best" in text
        await agent.act()


@pytest.mark.parametrize(("primary", "sign"), [("accuracy", 1), ("loss", -1)])
async def test_the_brief_of_a_long_loop_shows_the_newest_actions_and_the_best_before_them(
    at: At, tmp_path: Path, primary: str, sign: int
) -> None:
    folder = Folder(tmp_path / "긴 loop")
    grow(at("finished").root, folder.root, 90)
    rules = folder.json("user_defined_rules.json")
    rules["eval_config"] |= {"primary_metric": primary, "metrics": ["accuracy", "loss"]}
    folder.write("user_defined_rules.json", json.dumps(rules))
    project = folder.project()
    assert accept_rules(project)
    folder.path(project.workspace.receipt(90, "action")).unlink()
    values: dict[int, float] = {}
    for cur in range(1, 91):
        metrics = folder.json(project.workspace.receipt(cur, "eval"))["record"]["metrics"]
        values[cur] = next(metric["value"] for metric in metrics if metric["name"] == primary)
    best = sorted(range(2, 61), key=lambda cur: -sign * values[cur])[:20]
    async with connected(folder) as agent:
        brief = await agent.brief()
        shown = [int(number) for number in re.findall(r"^- v(\d{3}): ", brief, re.M)]
        assert shown == [*sorted(best), *range(61, 91)]
        assert f"{values[89]:.6g} → {values[90]:.6g}" in brief
        assert "39 more are left out" in brief
        uri = re.findall(r"`(loop://\S+/action)` is the action that led from v001 to v002", brief)[0]
        found = await agent.client.read_resource(uri)
        assert getattr(found.contents[0], "text", "") == folder.read("Models/Artifacts/v001/action-extract.md")


async def test_the_next_brief_brings_back_what_was_deferred_and_says_what_each_change_showed(at: At) -> None:
    left = ["batches of another order", "a wider threshold"]
    async with connected(at("analysed")) as agent:
        await agent.act(deferred=left)
        await agent.author()
        await agent.train(2)
        await agent.score(2)
        evidence = await agent.brief()
        await agent.analyse(2)
        brief = await agent.brief()
    assert re.search(r"^## Where it errs\n(\|.*\n)*\n?The last action (fixed|improved) \d+ samples", evidence, re.M), (
        evidence
    )
    assert re.search(r"^1\. batches of another order\n2\. a wider threshold$", brief, re.M)
    assert re.search(
        r"^- v002: LEARNING_RATE from 0.2 to 0.5 \[LEARNING_RATE\] \S+ → \S+ \((better|worse), \w+\)$", brief, re.M
    )
    assert "take it back and make the new change: v003 is then one action away from the best" in brief


async def test_an_action_brief_of_an_adopted_version_counts_the_loops_own_actions_only(at: At) -> None:
    folder = at("scored")
    for number in range(2, 42):
        folder.write(f"02_train_v{number:03d}.py", TRAINER.replace('"baseline"', f'"v{number:03d}"'))
    folder.path(STATE).rename(folder.path("away"))
    folder.set_rules(loop_config={"max_versions": 41})
    async with connected(folder) as agent:
        await agent.call("start_loop")
        await agent.train(41)
        await agent.score(41)
        await agent.analyse(41)
        brief = await agent.brief()
    assert "Choose exactly one action for v041" in brief
    assert "Tried so far" not in brief and "left out" not in brief


async def test_documents_written_twice_stay_as_they_were_first(at: At) -> None:
    folder = at("acted")
    before = folder.contents()
    async with connected(folder) as agent:
        again = await agent.analyse(summary="Another view.")
        assert again["already_done"]
        action = await agent.act(goal="Another goal")
        assert action["already_done"] and ACTION["goal"] in action["message"]
    assert folder.contents() == before
