"""A training script of a few lines, run with the recorder in a folder with a space and Hangul in its name."""

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from progressive_training.loop.record import injection
from progressive_training.loop.record.ranks import RunFacts, run_facts
from support import forked

# What the scripts share: 100 samples of 4 numbers, seeded, and a small network; `say` is what a script counts itself.
COMMON = """
import json, os, sys
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

def samples(count, seed):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(count, 4, generator=generator)
    return TensorDataset(inputs, (inputs.sum(dim=1) > 0).long())

def say(**values):
    print("SAID " + json.dumps(values), flush=True)
"""
MODEL = """
class Model(L.LightningModule):
    def __init__(self, lr=0.1):
        super().__init__()
        self.save_hyperparameters()
        self.layer = nn.Linear(4, 2)
        self.batches, self.steps, self.epochs, self.scores = [], 0, 0, []

    def forward(self, inputs):
        return self.layer(inputs)

    def training_step(self, batch, batch_idx):
        self.batches.append(len(batch[0]))
        loss = F.cross_entropy(self(batch[0]), batch[1])
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch, batch_idx):
        logits = self(batch[0])
        self.log("val_loss", F.cross_entropy(logits, batch[1]))
        self.log("val_acc", (logits.argmax(dim=1) == batch[1]).float().mean())

    test_step = validation_step

    def on_validation_epoch_end(self):
        if not self.trainer.sanity_checking:
            self.scores.append(float(self.trainer.callback_metrics["val_acc"]))

    def on_train_epoch_end(self):
        self.epochs += 1

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.hparams.lr, weight_decay=0.01)

def loaders(batch_size=16, workers=0):
    return (DataLoader(samples(100, 1), batch_size=batch_size, shuffle=True, num_workers=workers),
            DataLoader(samples(30, 2), batch_size=10))

def trainer(epochs=3, **settings):
    return L.Trainer(max_epochs=epochs, accelerator="cpu", logger=False, enable_progress_bar=False,
                     enable_model_summary=False, **{"enable_checkpointing": False, **settings})
"""
LIGHTNING = "import lightning as L\n" + COMMON + MODEL
PYTORCH_LIGHTNING = "import pytorch_lightning as L\n" + COMMON + MODEL


class Recorded(NamedTuple):
    """A run that ended: what it printed, what the script said of itself, and what the recorder measured."""

    code: int
    output: str
    said: Sequence[Mapping[str, Any]]
    run: RunFacts
    folder: Path
    facts: Path


Record = Callable[..., Recorded]
Warm = Callable[[str], Recorded]


@pytest.fixture
def record(tmp_path: Path) -> Record:
    folder = tmp_path / "프로젝트 with space"
    folder.mkdir()

    def run(
        script: str,
        *arguments: str,
        recorder: bool = True,
        env: Mapping[str, str] | None = None,
        launcher: Sequence[str] = (),
        files: Mapping[str, str] | None = None,
    ) -> Recorded:
        facts = folder / "facts"
        facts.mkdir(exist_ok=True)
        for name, text in {**(files or {}), "train.py": textwrap.dedent(script)}.items():
            (folder / name).write_text(text, encoding="utf-8")
        base = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", **(env or {})}
        if recorder:
            base.update(injection.variables(base, facts))
        done = subprocess.run(
            [sys.executable, *launcher, "train.py", *arguments],
            cwd=folder,
            env=base,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=240,
            check=False,
        )
        return _recorded(done.returncode, done.stdout, folder)

    return run


@pytest.fixture
def warm(tmp_path: Path) -> Warm:
    """As `record` with a script alone, in a fork of a process that has imported torch and Lightning: 0.5 s, not 6."""
    folder = tmp_path / "프로젝트 with space"
    (folder / "facts").mkdir(parents=True)

    def run(script: str) -> Recorded:
        (folder / "train.py").write_text(textwrap.dedent(script), encoding="utf-8")
        env = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
        log = tmp_path / "log.txt"
        code = forked.run("train.py", str(folder), env, log, injection.late_install(folder / "facts"))
        return _recorded(code, log.read_text(encoding="utf-8"), folder)

    return run


def _recorded(code: int, output: str, folder: Path) -> Recorded:
    lines = [line.partition("SAID ")[2] for line in output.splitlines() if "SAID " in line]
    facts = folder / "facts"
    return Recorded(code, output, [json.loads(line) for line in lines], run_facts(facts), folder, facts)
