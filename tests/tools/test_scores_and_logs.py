"""A first score of other samples than the training validated on: refused, and the way out taken."""

from typing import Any

import pytest

from support.forked import Forked
from support.projects import Agent, Folder, connected, edited
from support.rehearsals import SCRIPT

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("E3"), pytest.mark.usefixtures("no_device")]
V001 = "02_train_v001.py"
STATS = '{"task_type": "classification", "num_train": 340, "num_val": 60}'
# Another split in training than in evaluations, which have no Models/; another one in each process, by random numbers
# or by the order of its hashes. None can be scored. The noise of each validation alone can, and it is so much that it
# would excuse any difference between two scores.
SEED = ("L.seed_everything(42)\n", "")
SPLIT = "train_set, val_set = random_split(TensorDataset(inputs, labels), [340, 60]{})\n"
BY_FOLDER = SPLIT.format(', torch.Generator().manual_seed(len([*Path("Models").rglob("*")]))')
UNSEEDED, SEEDED = SPLIT.format(""), SPLIT.format(", generator")
BY_HASH = SPLIT.format(', torch.Generator().manual_seed(hash("split") % 9999)')
WHOLE = "train_set, val_set = TensorDataset(inputs[:340], labels[:340]), TensorDataset(inputs[340:], labels[340:])\n"
NOISE = (
    "        outputs, labels = self(batch[0]), batch[1]\n",
    "        outputs, labels = self(batch[0] + 3 * torch.randn_like(batch[0])), batch[1]\n",
)


async def scored(agent: Agent) -> dict[str, Any]:
    await agent.train()
    while (result := await agent.call("run_eval", version=1, wait_seconds=45))["state"] == "running":
        pass
    return result


def begin(folder: Folder, *edits: tuple[str, str]) -> None:
    folder.write("02_train_baseline.py", edited(SCRIPT, SEED, *edits))
    folder.write("dataset/prepdata/v1/stats.json", STATS)
    folder.set_rules(training_config={"epochs": 4})


async def refused(agent: Agent, kind: str, why: str) -> None:
    failed = await scored(agent)
    assert failed["state"] == "failed" and failed["failure"]["kind"] == kind, failed
    assert why in failed["failure"]["summary"] and "seed the split" in failed["failure"]["advice"]


async def test_a_split_that_nobody_seeds_is_refused_whatever_the_noise_and_seeding_it_is_the_way_out(
    folder: Folder,
) -> None:
    begin(folder, (WHOLE, BY_FOLDER))
    async with connected(folder, executor=Forked()) as agent:
        await agent.call("start_loop")
        await refused(agent, "invalid score", "and the training logged val_loss = ")
        await agent.repair((BY_FOLDER, UNSEEDED), NOISE, file=V001)
        await refused(agent, "other samples", "of 60 validation samples are others")
        await agent.repair((UNSEEDED, SEEDED), file=V001)
        done = await scored(agent)
        assert done["state"] == "done", done
        assert any("may be another by" in warning for warning in done["warnings"]), done
        assert "chosen by val_loss" in (brief := await agent.brief()) and "picked among 2 epochs" in brief


@pytest.mark.whole
async def test_so_is_one_by_the_order_of_hashes_which_each_process_has_of_its_own(folder: Folder) -> None:
    begin(folder, (WHOLE, BY_HASH), NOISE)
    async with connected(folder, executor=Forked()) as agent:
        await agent.call("start_loop")
        await refused(agent, "other samples", "of 60 validation samples are others")
