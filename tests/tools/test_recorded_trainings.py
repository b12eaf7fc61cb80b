"""A training counts by what it did: real Lightning scripts, each with a habit that public ones have."""

import json
from typing import Any

import pytest
from mcp import Client

from progressive_training.loop.project.project import Project
from progressive_training.server.app import build_server
from support.projects import Agent, Folder, connected, edited

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T1", "T2"), pytest.mark.usefixtures("no_device")]
V001 = "Models/Artifacts/v001"
BASELINE = "02_train_baseline.py"
SCRIPT = """\
import lightning as L
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

VERSION = "baseline"
DATASET_ID = "v1"
OUT = f"Models/Artifacts/{VERSION}"
EPOCHS = 5
BATCH_SIZE = 64 if torch.cuda.is_available() else 16
L.seed_everything(7)
inputs = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
data = TensorDataset(inputs, (inputs.sum(1) > 0).long())


class Net(L.LightningModule):
    def __init__(self, lr=0.05):
        super().__init__()
        self.lr = lr
        self.net = nn.Linear(4, 2)

    def training_step(self, batch, _):
        loss = nn.functional.cross_entropy(self.net(batch[0]), batch[1])
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, _):
        self.log("val_loss", nn.functional.cross_entropy(self.net(batch[0]), batch[1]))

    def test_step(self, batch, _):
        self.log("test_loss", nn.functional.cross_entropy(self.net(batch[0]), batch[1]))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.lr)


train = DataLoader(data, batch_size=BATCH_SIZE, shuffle=True)
val = DataLoader(data, batch_size=30)
keeps = ModelCheckpoint(dirpath=OUT, filename="{epoch}-of-the-best", monitor="val_loss", save_last="link")
model = Net()


def trainer(epochs=EPOCHS, callbacks=(keeps,), **settings):
    return L.Trainer(
        max_epochs=epochs, accelerator="cpu", devices=1, callbacks=list(callbacks), enable_progress_bar=False,
        enable_model_summary=False, log_every_n_steps=1, **{"logger": CSVLogger(OUT, name="logs"), **settings},
    )


fits = trainer()
fits.fit(model, train, val)
"""
LAST = "fits.fit(model, train, val)\n"


def script(folder: Folder, *edits: tuple[str, str], **fixed: Any) -> None:
    folder.write(BASELINE, edited(SCRIPT, *edits))
    folder.set_rules()
    rules = folder.json("user_defined_rules.json")
    folder.set_rules()
    rules["training_config"] = fixed
    folder.write("user_defined_rules.json", json.dumps(rules))


def confine(folder: Folder) -> None:
    rules = folder.read("user_defined_rules.json").replace('"sandbox": "off"', '"sandbox": "auto"')
    folder.write("user_defined_rules.json", rules)


def standings(trained: dict[str, Any]) -> dict[str, str]:
    return {one["rule"].removeprefix("training_config."): one["standing"] for one in trained["rules"]}


async def test_nothing_finished_is_wiped_for_a_formality(folder: Folder) -> None:
    test = "fits.test(model, val)\n"
    script(folder, ("64 if torch.cuda.is_available() else 16", "16"), (LAST, LAST + test), epochs=3, batch_size=16)
    async with connected(folder) as agent:
        await agent.call("start_loop")
        trained = await agent.train()
        assert trained["state"] == "done", trained
        assert trained["epochs"] == 3
        assert standings(trained) == {"epochs": "in force", "batch_size": "in force", "seed": "in force"}
        said = "\n".join(trained["completed"])
        assert "best.ckpt is epoch=" in said and "last.ckpt was a link to epoch=" in said
        assert "hparams.yaml holds what was measured" in said and "spec.json holds what was measured" in said
        assert all(line in trained["message"] for line in trained["completed"])
    assert not folder.path(f"{V001}/last.ckpt").is_symlink() and folder.path(f"{V001}/best.ckpt").is_file()
    assert "learning_rate: 0.05" in folder.read(f"{V001}/logs/version_0/hparams.yaml")
    spec = folder.json(f"{V001}/spec.json")
    assert spec["module"] == "Net" and spec["additional_assets"] == "not_required"


async def test_values_that_a_script_hides_from_a_reader_are_measured_and_break_the_rules(folder: Folder) -> None:
    script(folder, epochs=3, batch_size=32, weight_decay=0.05)
    async with connected(folder) as agent:
        started = await agent.call("start_loop")
        assert "weight_decay = 0.05 is stated nowhere in the script; each run is measured" in str(started)
        failure = await agent.failed_training("rule violation")
        assert "16 samples a batch, but training_config.batch_size fixes 32" in failure["summary"]
        assert "0 (Adam), but training_config.weight_decay fixes 0.05" in failure["summary"]


async def test_a_tuner_s_rate_breaks_the_rule_and_an_early_stop_keeps_the_epochs(folder: Folder) -> None:
    tuned = "from lightning.pytorch.tuner import Tuner\nTuner(fits).lr_find(model, train, num_training=20)\n"
    stop = "fits = trainer(callbacks=(keeps, EarlyStopping('val_loss', patience=0, min_delta=9.0)))\n"
    script(folder, ("fits = trainer()\n", stop + tuned), epochs=50, learning_rate=0.05)
    confine(folder)  # the tuner writes into the Trainer's default folder
    async with connected(folder) as agent:
        await agent.call("start_loop")
        failure = await agent.failed_training("rule violation")
        assert "after 1 trial of a tuner, but training_config.learning_rate fixes 0.05" in failure["summary"]
        assert "epochs" not in failure["summary"]


async def test_what_only_the_user_can_say_is_asked_and_not_guessed(folder: Folder) -> None:
    first = "trainer(2 + len(val) // 9, (), logger=False, enable_checkpointing=False).fit(model, train, val)\n"
    script(
        folder,
        ("fits = trainer()\n", first + "fits = trainer()\n"),
        epochs=3,
        learning_rate=0.05,
    )
    async with connected(folder) as agent:
        await agent.call("start_loop")
        trained = await agent.train()
        assert trained["state"] == "done", trained
        assert standings(trained)["epochs"] == "not verified"
        assert any("its fits differ" in warning for warning in trained["warnings"])
        assert "not verified" in trained["message"]


async def test_a_warm_training_in_the_sandbox_is_recorded_as_a_cold_one_is(folder: Folder) -> None:
    # Its logger's folder is nobody's word: the working folder would be read-only.
    plain = ('"logger": CSVLogger(OUT, name="logs")', '"logger": True')
    script(
        folder, ("64 if torch.cuda.is_available() else 16", "16"), plain, epochs=3, batch_size=16, learning_rate=0.05
    )
    confine(folder)
    async with Client(build_server(Project(folder.root).kept_warm())) as client:
        agent = Agent(client, folder)
        await agent.call("start_loop")
        trained = await agent.train()
        assert trained["state"] == "done", trained
        assert set(standings(trained).values()) == {"in force"}
    receipts = list(folder.root.glob(".progressive-training/**/train.json"))
    assert '"start": "warm"' in receipts[0].read_text()


async def test_each_rank_that_torchrun_starts_leaves_its_facts(folder: Folder) -> None:
    spread = ('accelerator="cpu", devices=1,', 'accelerator="cpu", devices=2, strategy="ddp",')
    script(folder, ("64 if torch.cuda.is_available() else 16", "15"), spread, epochs=3, batch_size=15)
    rules = folder.json("user_defined_rules.json")
    rules["execution_config"] |= {"launcher": "torchrun", "processes_per_node": 2}
    folder.write("user_defined_rules.json", json.dumps(rules))
    async with connected(folder) as agent:
        await agent.call("start_loop")
        trained = await agent.call("run_train", version=1, wait_seconds=45)
        if trained["state"] == "running":
            trained = await agent.call("run_train", version=1, wait_seconds=45)
        assert trained["state"] == "done", trained
        assert set(standings(trained).values()) == {"in force"}
        (batch,) = (one for one in trained["rules"] if one["rule"].endswith("batch_size"))
        assert "effective batch 30: 2 processes" in batch["verdict"]
    names = {
        path.name.partition("-")[0] for path in folder.root.glob(".progressive-training/attempts/*/*/facts/*.json")
    }
    assert {"rank0", "rank1"} <= names
