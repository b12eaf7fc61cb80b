"""A training that is not worth going on with ends while it runs, and says why and how much time that saved."""

import json
from typing import Any

import anyio
import pytest
from mcp import Client

from progressive_training.loop.project.project import Project
from progressive_training.server.app import build_server
from support.projects import EVALUATOR, Agent, Folder, connected, edited

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T2"), pytest.mark.usefixtures("no_device")]
BASELINE = "02_train_baseline.py"
# A loop of the script's own: 5 steps an epoch, a row of metrics.csv after each.
PLAIN = """\
from pathlib import Path

import torch
from torch.utils.data import DataLoader, TensorDataset

VERSION = "baseline"
DATASET_ID = "v1"
EPOCHS = 40
OUT = Path(f"Models/Artifacts/{VERSION}")
LOGS = OUT / "logs/version_0"
LOGS.mkdir(parents=True, exist_ok=True)
torch.manual_seed(7)
inputs = torch.randn(40, 4)
data = TensorDataset(inputs, (inputs.sum(1) > 0).float())
train, val = DataLoader(data, batch_size=8), DataLoader(data, batch_size=20)
net = torch.nn.Linear(4, 1)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)


def loss_of(x, y):
    return torch.nn.functional.binary_cross_entropy_with_logits(net(x)[:, 0], y)


def penalty(epoch):
    return 0.0


def after(epoch):
    pass


metrics = (LOGS / "metrics.csv").open("w", buffering=1)
metrics.write("epoch,step,val_loss\\n")
for epoch in range(EPOCHS):
    for x, y in train:
        loss = loss_of(x, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        value = sum(float(loss_of(x, y)) for x, y in val) / 2 + penalty(epoch)
    metrics.write(f"{epoch},{epoch * 5 + 4},{value}\\n")
    after(epoch)
for name in ("best.ckpt", "last.ckpt"):
    torch.save({"state_dict": net.state_dict()}, OUT / name)
(OUT / "spec.json").write_text("{}")
"""
LIGHTNING = """\
import lightning as L
import torch
from torch.utils.data import DataLoader, TensorDataset

VERSION = "baseline"
DATASET_ID = "v1"
data = TensorDataset(torch.randn(80, 4), torch.randn(80, 1))


class Net(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.automatic_optimization = AUTOMATIC
        self.net = torch.nn.Linear(4, 1)

    def training_step(self, batch, batch_idx):
        loss = torch.nn.functional.mse_loss(self.net(batch[0]), batch[1])
        if self.current_epoch == 2 and batch_idx == 3:
            loss = loss / torch.zeros(())
        if not AUTOMATIC:
            optimizer = self.optimizers()
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)


AUTOMATIC = True
L.Trainer(
    max_epochs=5000, accelerator="cpu", devices=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
    enable_model_summary=False,
).fit(Net(), DataLoader(data, batch_size=8))
"""
ZERO = "        optimizer.zero_grad()\n"
NAN = (ZERO, f"{ZERO}        if epoch == 3:\n            loss = loss * float('nan')\n")
# Once, in one step of the fourth epoch.
ONE_NAN = (
    ZERO,
    f"{ZERO}        if epoch == 3 and torch.equal(x, inputs[:8]):\n            loss = loss * float('nan')\n",
)
STEP = "        optimizer.step()\n"
# It waits for a file that the test makes, when it has seen what it came for.
WAITS = (
    "def after(epoch):\n    pass\n",
    "def after(epoch):\n    while epoch == 2 and not Path('gate').exists():\n        __import__('time').sleep(0.01)\n",
)
WORSE = ("    return 0.0", "    return 9.0 * (epoch == 1)")


def made(folder: Folder, text: str, *edits: tuple[str, str], **loop_config: Any) -> None:
    folder.write(BASELINE, edited(text, *edits))
    folder.set_rules()
    rules = folder.json("user_defined_rules.json")
    rules["training_config"], rules["loop_config"] = {}, {**rules["loop_config"], **loop_config}
    folder.write("user_defined_rules.json", json.dumps(rules))


async def failed(folder: Folder, kind: str) -> dict[str, Any]:
    async with connected(folder) as agent:
        await agent.call("start_loop")
        return await agent.failed_training(kind)


@pytest.mark.parametrize("automatic", [True, False])
async def test_a_loss_that_is_no_number_any_more_ends_a_lightning_run_at_once(folder: Folder, automatic: bool) -> None:
    made(folder, LIGHTNING, ("AUTOMATIC = True", f"AUTOMATIC = {automatic}"))
    failure = await failed(folder, "diverged")
    assert "the training loss became inf, after " in failure["summary"]
    assert "in epoch 3, at backward pass 24 of the fit: the weights are no numbers any more" in failure["summary"]
    # 4,997 epochs of some milliseconds each were left.
    assert failure["saved_seconds"] > 5 and "; that saved about " in failure["summary"]


async def test_so_it_ends_a_loop_of_the_script_s_own_and_the_attempt_may_be_repaired(folder: Folder) -> None:
    made(folder, PLAIN, NAN, ("EPOCHS = 40", "EPOCHS = 100_000"))
    async with connected(folder) as agent:
        await agent.call("start_loop")
        failure = await agent.failed_training("diverged")
        assert "the training loss became nan, after 0." in failure["summary"] and "in epoch 4" in failure["summary"]
        assert failure["saved_seconds"] > 5
        assert await agent.where() == ("repair", 1)
        report = folder.read("Models/Artifacts/v001/_tests/train_retry_report.md")
        assert "diverged: the training loss became nan" in report and "that saved about" in report
        undone = (NAN[1], NAN[0]), ("EPOCHS = 100_000", "EPOCHS = 40")
        await agent.repair(*undone)
        assert (await agent.train())["state"] == "done"


@pytest.mark.parametrize(
    "handled",
    [
        (STEP, "        if torch.isfinite(loss):\n            optimizer.step()\n"),
        (STEP, f"        for one in net.parameters():\n            one.grad.nan_to_num_()\n{STEP}"),
        (
            "        loss.backward()\n",
            "        if not torch.isfinite(loss):\n            continue\n        loss.backward()\n",
        ),
    ],
    ids=["a step left out", "gradients cleaned", "a batch left out"],
)
async def test_a_single_loss_that_the_script_deals_with_ends_nothing(folder: Folder, handled: tuple[str, str]) -> None:
    made(folder, PLAIN, ONE_NAN, handled)
    async with connected(folder) as agent:
        await agent.call("start_loop")
        trained = await agent.train()
        assert trained["state"] == "done", trained


async def test_a_loss_that_stays_infinite_ends_the_run_though_no_weight_is_spoiled(folder: Folder) -> None:
    endless = (ZERO, f"{ZERO}        loss = loss + (float('inf') if epoch > 1 else 0.0)\n")
    made(folder, PLAIN, endless)
    failure = await failed(folder, "diverged")
    assert "the training loss became inf, after 0." in failure["summary"]
    assert "in epoch 3, at backward pass 11 of the fit: it has not been a number since" in failure["summary"]


async def test_a_run_without_a_new_step_is_said_to_have_stalled_and_goes_on(folder: Folder) -> None:
    made(folder, PLAIN, WAITS, stalled_minutes=0.01)
    async with connected(folder) as agent:
        await agent.call("start_loop")
        job = await stalled(agent)
        assert job["stalled_in"] in ("training", "validation")
        assert "no new " in job["stalled"] and "; usually " in job["stalled"]
        assert "stalled: no new" in (await agent.call("next_step"))["message"]
        folder.write("gate", "")
        trained = await agent.train()
        assert trained["state"] == "done", trained


async def stalled(agent: Agent) -> dict[str, Any]:
    with anyio.fail_after(40):
        while True:
            result = await agent.call("run_train", version=1)
            assert result["state"] == "running", result
            if "stalled" in result["job"]:
                return result["job"]
            await anyio.sleep(0.1)


async def test_it_is_ended_where_the_rules_say_so(folder: Folder) -> None:
    made(folder, PLAIN, WAITS, stalled_minutes=0.01, stop_stalled=True, max_train_minutes=60)
    failure = await failed(folder, "stalled")
    assert "no new step for " in failure["summary"] and "; that saved about " in failure["summary"]
    assert 3000 < failure["saved_seconds"] < 3600
    assert "resume" in failure["advice"]


async def test_the_user_s_condition_ends_a_hopeless_run(folder: Folder) -> None:
    made(
        folder,
        PLAIN,
        WAITS,
        ("    return 0.0", "    return 9.0 * (epoch == 1)"),
        stop_when={"val_loss": "> 5 at epoch 2"},
    )
    failure = await failed(folder, "stopped")
    assert failure["summary"].startswith("val_loss was 9.")
    assert ' in epoch 2, and the rules end it at "> 5 at epoch 2"; that saved about ' in failure["summary"]
    assert failure["saved_seconds"] is not None
    assert "stop_when" in failure["advice"]


@pytest.mark.parametrize("condition", ["> 5 at epoch 1", "> 5 from epoch 3", "< 0.001", "> 2 x best"])
@pytest.mark.whole(but=1)
async def test_a_condition_that_is_not_met_ends_nothing(folder: Folder, condition: str) -> None:
    made(folder, PLAIN, WORSE, stop_when={"val_loss": condition})
    async with connected(folder) as agent:
        await agent.call("start_loop")
        trained = await agent.train()
        assert trained["state"] == "done", trained
        said = [warning for warning in trained["warnings"] if "stop_when" in warning]
        assert bool(said) == ("best" in condition), trained["warnings"]


async def test_a_metric_that_nobody_logs_is_said(folder: Folder) -> None:
    made(folder, PLAIN, stop_when={"valid_loss": "> 5"}, stop_stalled=True)
    async with connected(folder) as agent:
        await agent.call("start_loop")
        warnings = (await agent.train())["warnings"]
        assert "loop_config.stop_when names 'valid_loss', which it never logged; it logged: val_loss" in warnings


@pytest.mark.parametrize(
    "condition", ["2 x best", "> two", "> 2 x", "> 1 at epoch 0", "> -1 x best", "> nan", "> 1e999"]
)
async def test_what_is_no_condition_is_refused_with_its_place_and_an_example(folder: Folder, condition: str) -> None:
    made(folder, PLAIN, stop_when={"val_loss": condition})
    async with connected(folder) as agent:
        for tool in ("read_rules", "start_loop"):
            result = await agent.client.call_tool(tool, {})
            text = getattr(result.content[0], "text", "")
            assert result.is_error and "loop_config.stop_when.val_loss" in text, text
            assert '"> 2 x best at epoch 3"' in text and "user_defined_rules.json:1:" in text


async def test_best_is_that_of_the_versions_before(folder: Folder) -> None:
    waits = "    while LEARNING_RATE > 0.4 and not Path('gate').exists():\n        __import__('time').sleep(0.01)\n"
    folder.edit(BASELINE, ("    save_logs(rows)\n", f"    save_logs(rows)\n{waits}"))
    folder.set_rules(loop_config={"stop_when": {"val_loss": "< best at epoch 3"}})
    async with connected(folder) as agent:
        await agent.call("start_loop")
        trained = await agent.train()
        assert "loop_config.stop_when 'val_loss': '< best at epoch 3' could not end it" in str(trained["warnings"])
        await agent.call("write_eval", source=EVALUATOR)
        await agent.score()
        await agent.analyse()
        await agent.act()
        await agent.author()
        failure = await agent.failed_training("stopped", 2)
        assert 'end it at "< best at epoch 3", which is 0.' in failure["summary"]
        assert "(the best of v001 is 0." in failure["summary"]
        assert await agent.where() == ("repair", 2)


RANKS = """\
import os
import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, TensorDataset

VERSION = "baseline"
DATASET_ID = "v1"
distributed.init_process_group("gloo")
torch.manual_seed(7)
data = TensorDataset(torch.randn(40, 4), torch.randn(40, 1))
net = DistributedDataParallel(nn.Linear(4, 1))
optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
EPOCHS = 100_000
for epoch in range(EPOCHS):
    for x, y in DataLoader(data, batch_size=8):
        loss = nn.functional.mse_loss(net(x), y)
        if epoch == 3 and distributed.get_rank() == 1:
            loss = loss * float("nan")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
"""


async def test_the_loss_of_one_rank_ends_all_of_them(folder: Folder) -> None:
    made(folder, RANKS)
    rules = folder.json("user_defined_rules.json")
    rules["execution_config"] = {
        **rules.get("execution_config", {}),
        "launcher": "torchrun",
        "processes_per_node": 2,
        "env": ["GLOO_SOCKET_IFNAME"],
    }
    folder.write("user_defined_rules.json", json.dumps(rules))
    failure = await failed(folder, "diverged")
    assert "the training loss became nan, after " in failure["summary"] and "in epoch 4" in failure["summary"]
    assert failure["saved_seconds"] > 5


async def test_a_warm_training_is_watched_as_a_cold_one_is(folder: Folder) -> None:
    made(folder, PLAIN, NAN, ("EPOCHS = 40", "EPOCHS = 100_000"))
    async with Client(build_server(Project(folder.root).kept_warm())) as client:
        agent = Agent(client, folder)
        await agent.call("start_loop")
        failure = await agent.failed_training("diverged")
        assert "in epoch 4" in failure["summary"]
    result = folder.json(".progressive-training/attempts/v001/train-001/result.json")
    assert (result["start"], result["reason"]) == ("warm", "diverged")
