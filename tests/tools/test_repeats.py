"""Seed noise: the first version trained again with other seeds, when the user asks for it."""

import json

import pytest

from support.projects import EVALUATOR, Folder, connected

pytestmark = pytest.mark.anyio


async def test_repeats_train_the_first_version_again_with_other_seeds_and_touch_nothing_published(
    folder: Folder,
) -> None:
    rules = json.loads(folder.read("user_defined_rules.json"))
    rules["eval_config"]["repeats"] = 3
    folder.path("user_defined_rules.json").write_text(json.dumps(rules), encoding="utf-8")
    async with connected(folder) as agent:
        await agent.call("start_loop")
        assert (await agent.train())["state"] == "done"
        weights = folder.path("Models/Artifacts/v001/best.ckpt").read_bytes()
        await agent.call("write_eval", source=EVALUATOR)
        scored = await agent.score()
        assert scored["state"] == "done"
    noise = json.loads(folder.read(".progressive-training/receipts/seed_noise.json"))["record"]
    assert noise["version"] == "v001"
    assert noise["seeds"] == [rules["seed"], rules["seed"] + 1, rules["seed"] + 2]
    assert noise["values"].keys() == scored["metrics"].keys()
    assert all(len(values) == 3 for values in noise["values"].values())
    assert folder.path("Models/Artifacts/v001/best.ckpt").read_bytes() == weights
    attempt = folder.path(".progressive-training/attempts/v001/eval-001")
    assert not [path.name for path in attempt.iterdir() if "repeat" in path.name]
