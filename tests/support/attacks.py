"""What the attacks share: their registry, and a second project whose script looks like one of Lightning's.

The project brings its own `lightning.py` and `torch/`, which have as much of the real ones' surface as the script needs
and train in no time, so that what a changed script would really do can be seen without an installation.
"""

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


LIGHTNING = '''\
"""As much of Lightning as the script next to this needs."""

import random
from pathlib import Path


def seed_everything(seed, workers=False):
    random.seed(seed)


class LightningModule:
    pass


class Callback:
    def on_train_epoch_end(self, trainer, model):
        pass


class Trainer:
    def __init__(self, max_epochs=1000, min_epochs=None, accumulate_grad_batches=1, callbacks=(), default_root_dir="."):
        self.max_epochs = max_epochs
        self.callbacks = callbacks
        self.root = Path(default_root_dir)
        self.current_epoch = 0
        self.fit_loop = self

    def fit(self, model, train, val):
        optimizer = model.configure_optimizers()
        logs = self.root / "logs"
        folder = logs / f"version_{len(list(logs.glob('version_*')))}"
        folder.mkdir(parents=True)
        lines = ["epoch,step,train_loss,val_loss"]
        while self.current_epoch < self.max_epochs:
            for batch in train:
                optimizer.step(model.training_step(batch))
            lines.append(f"{self.current_epoch},{self.current_epoch},{model.loss()},{model.loss()}")
            for callback in self.callbacks:
                callback.on_train_epoch_end(self, model)
            self.current_epoch += 1
        (folder / "metrics.csv").write_text("\\n".join(lines) + "\\n")
        (folder / "hparams.yaml").write_text("".join(f"{name}: {value}\\n" for name, value in vars(model.cfg).items()))
'''

OPTIMISERS = """\
class SGD:
    def __init__(self, model, lr, momentum=0.0):
        self.model = model
        self.param_groups = [{"lr": lr}]

    def step(self, gradient):
        self.model.threshold -= self.param_groups[0]["lr"] * gradient


class Adam(SGD):
    def step(self, gradient):
        super().step(gradient / abs(gradient))
"""

LOADERS = """\
class BatchSampler:
    def __init__(self, sampler, batch_size, drop_last):
        self.batches = [sampler[i : i + batch_size] for i in range(0, len(sampler), batch_size)]


class DataLoader:
    def __init__(self, dataset, batch_size=1, shuffle=False, batch_sampler=None):
        sampler = batch_sampler or BatchSampler(range(len(dataset)), batch_size, False)
        self.batches = [[dataset[index] for index in batch] for batch in sampler.batches]

    def __iter__(self):
        return iter(self.batches)
"""

SCRIPT = '''\
"""Learns where the positive samples begin, as a Lightning script would."""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import lightning as L
from torch.optim import SGD
from torch.utils.data import DataLoader

VERSION = "baseline"
DATASET_ID = "v1"
START = 1.0
DATA = Path("dataset/prepdata") / DATASET_ID
ARTIFACTS = Path("Models/Artifacts") / VERSION


@dataclass
class Config:
    seed: int = 42
    epochs: int = 3
    batch_size: int = 5
    lr: float = 0.2


def clipped(gradient, most=1.0):
    return max(-most, min(most, gradient))


class Learner(L.LightningModule):
    margin = 0.0

    def __init__(self, cfg):
        self.cfg = cfg
        self.threshold = START

    def loss(self):
        return abs(self.threshold - 0.5)

    def training_step(self, batch):
        return clipped(self.threshold - 0.5 - self.margin)

    def configure_optimizers(self):
        return SGD(self, lr=self.cfg.lr)


def load(split):
    return json.loads((DATA / f"{split}.json").read_text(encoding="utf-8"))


def loaders(cfg):
    train_loader = DataLoader(load("train"), batch_size=cfg.batch_size, shuffle=True)
    val_loader = DataLoader(load("val"), batch_size=20)
    return train_loader, val_loader


def save(model):
    (ARTIFACTS / "best.ckpt").write_text(json.dumps({"threshold": model.threshold}))
    (ARTIFACTS / "last.ckpt").write_text(json.dumps({"threshold": model.threshold}))
    (ARTIFACTS / "spec.json").write_text(json.dumps({"version": VERSION, "additional_assets": "not_required"}))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=3)
    cfg = Config(epochs=parser.parse_args().epochs)
    L.seed_everything(cfg.seed)
    model = Learner(cfg)
    trainer = L.Trainer(max_epochs=cfg.epochs, default_root_dir=str(ARTIFACTS))
    trainer.fit(model, *loaders(cfg))
    save(model)


if __name__ == "__main__":
    main()
'''


def make_lightning_project(folder: Folder) -> Folder:
    """The usual data, and a script in Lightning's manner whose epochs, batch size, rate and seed the user fixed."""
    make_project(folder.root, trainer=SCRIPT)
    folder.path("schedule.py").unlink()
    folder.write("lightning.py", LIGHTNING)
    folder.write("torch/__init__.py", "")
    folder.write("torch/optim.py", OPTIMISERS)
    folder.write("torch/utils/__init__.py", "")
    folder.write("torch/utils/data.py", LOADERS)
    folder.set_rules(training_config={"epochs": 3, "batch_size": 5, "learning_rate": 0.2})
    return folder
