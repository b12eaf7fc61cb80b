"""A first score that isn't what the training logged for best.ckpt: refused with both numbers, and the way out taken."""

from typing import Any

import pytest

from support.forked import Forked
from support.projects import Agent, Folder, connected, edited
from support.rehearsals import SCRIPT

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("E3"), pytest.mark.usefixtures("no_device")]
V001 = "02_train_v001.py"
STATS = '{"task_type": "classification", "num_train": 340, "num_val": 60}'
# Each process draws another split, which can't be scored; then each validation draws other noise, which can.
SEED = ("L.seed_everything(42)\n", "")
SPLIT = (
    "train_set, val_set = TensorDataset(inputs[:340], labels[:340]), TensorDataset(inputs[340:], labels[340:])",
    "train_set, val_set = random_split(TensorDataset(inputs, labels), [340, 60])",
)
SEEDED = (SPLIT[1], SPLIT[1].replace("60])", "60], generator=generator)"))
NOISE = (
    "        outputs, labels = self(batch[0]), batch[1]\n",
    "        outputs, labels = self(batch[0] + 0.1 * torch.randn_like(batch[0])), batch[1]\n",
)


async def scored(agent: Agent) -> dict[str, Any]:
    await agent.train()
    while (result := await agent.call("run_eval", version=1, wait_seconds=45))["state"] == "running":
        pass
    return result


async def test_a_split_that_nobody_seeds_is_refused_and_seeding_it_is_the_way_out(folder: Folder) -> None:
    folder.write("02_train_baseline.py", edited(SCRIPT, SEED, SPLIT))
    folder.write("dataset/prepdata/v1/stats.json", STATS)
    folder.set_rules(training_config={"epochs": 4})
    async with connected(folder, executor=Forked()) as agent:
        await agent.call("start_loop")
        failed = await scored(agent)
        assert failed["state"] == "failed" and failed["failure"]["kind"] == "invalid score", failed
        assert "and the training logged val_loss = " in failed["failure"]["summary"]
        assert "seed the split of its data" in failed["failure"]["advice"]
        await agent.repair(SEEDED, NOISE, file=V001)
        done = await scored(agent)
        assert done["state"] == "done", done
        assert any("with other random numbers" in warning for warning in done["warnings"]), done
        assert "chosen by val_loss" in (brief := await agent.brief()) and "picked among 2 epochs" in brief
