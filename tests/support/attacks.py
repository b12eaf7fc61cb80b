"""What the attacks share: their registry, and a second project whose script trains with Lightning."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from .projects import Folder, make_project

Outcome = Literal["stopped", "detected"]
"""stopped: nothing came of it; detected: it ran or was written, and was named and undone or marked."""


@dataclass(frozen=True)
class Attack:
    """One way around the rules: at which step it ends, and words of what the agent is told there."""

    title: str
    step: str
    says: str
    outcome: Outcome = "stopped"


ATTACKS: dict[str, list[Attack]] = {}
"""By chapter of docs/trust.md, in the order of the files."""


def attack(chapter: str, title: str, step: str, says: str, outcome: Outcome = "stopped") -> Attack:
    """Registers an attack; its title is used once."""
    made = Attack(title, step, says, outcome)
    assert title not in [one.title for attacks in ATTACKS.values() for one in attacks], f"{title!r} is there twice"
    ATTACKS.setdefault(chapter, []).append(made)
    return made


def chapter(name: str) -> Callable[..., pytest.MarkDecorator]:
    """For a test file: its `stories` parametrizes a test with `known` and whatever else `names` lists.

    A story is (title, step, says[, outcome]) followed by the test's other arguments.
    """

    def stories(names: str, *cases: tuple[Any, ...]) -> pytest.MarkDecorator:
        rows = [pytest.param(attack(name, *head), *rest, id=head[0]) for head, *rest in cases]
        return pytest.mark.parametrize(f"known,{names}" if names else "known", rows)

    return stories


SCRIPT = '''\
"""Learns where the positive samples begin."""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch import nn
from torch.optim import SGD
from torch.utils.data import DataLoader, TensorDataset

VERSION = "baseline"
DATASET_ID = "v1"
START = 1.0
DATA = Path("dataset/prepdata") / DATASET_ID
ARTIFACTS = Path("Models/Artifacts") / VERSION
QUIET = {"enable_progress_bar": False, "enable_model_summary": False, "log_every_n_steps": 1}


@dataclass
class Config:
    seed: int = 42
    epochs: int = 3
    batch_size: int = 5
    lr: float = 0.2


class Learner(L.LightningModule):
    margin = 0.0

    def __init__(self, cfg):
        super().__init__()
        self.cfg = cfg
        self.net = nn.Sequential(nn.Linear(1, 8), nn.ReLU(), nn.Linear(8, 2))
        self.scale = START

    def forward(self, inputs):
        return self.scale * self.net(inputs) + self.margin

    def loss(self, batch):
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def training_step(self, batch, batch_idx):
        return self.loss(batch)

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self.loss(batch))

    def configure_optimizers(self):
        return SGD(self.parameters(), lr=self.cfg.lr)


def load(split):
    samples = json.loads((DATA / f"{split}.json").read_text(encoding="utf-8"))
    inputs = torch.tensor([[sample["x"]] for sample in samples])
    return TensorDataset(inputs, torch.tensor([sample["label"] for sample in samples]))


def loaders(cfg):
    train_loader = DataLoader(load("train"), batch_size=cfg.batch_size, shuffle=True)
    val_loader = DataLoader(load("val"), batch_size=20)
    return train_loader, val_loader


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=3)
    cfg = Config(epochs=parser.parse_args().epochs)
    L.seed_everything(cfg.seed)
    model = Learner(cfg)
    best = ModelCheckpoint(ARTIFACTS, "best", monitor="val_loss", save_last=True, enable_version_counter=False)
    logger = CSVLogger(ARTIFACTS, "logs")
    trainer = L.Trainer(max_epochs=cfg.epochs, accelerator="cpu", callbacks=[best], logger=logger, **QUIET)
    trainer.fit(model, *loaders(cfg))


if __name__ == "__main__":
    main()
'''


def make_lightning_project(folder: Folder) -> Folder:
    """A script in Lightning's manner, on as many samples as fill eight batches; the user fixed all that it can."""
    make_project(folder.root, trainer=SCRIPT)
    folder.path("schedule.py").unlink()
    samples = [{"x": (i + 0.5) / 40, "label": int(i > 19)} for i in range(40)]
    folder.write("dataset/prepdata/v1/train.json", json.dumps(samples))
    folder.write("dataset/prepdata/v1/stats.json", '{"task_type": "classification", "num_train": 40, "num_val": 20}')
    folder.set_rules(training_config={"epochs": 3, "batch_size": 5, "learning_rate": 0.2})
    return folder
