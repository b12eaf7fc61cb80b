"""Data of many styles, each with a fit of its own, so that one process tries them all at a rehearsal."""

BEGIN = """\
import json
import sys
from dataclasses import dataclass

import lightning as L
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset, random_split

L.seed_everything(3, verbose=False)
rng = np.random.default_rng(5)


class Net(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def training_step(self, batch, _):
        return self.weight.sum()

    def validation_step(self, batch, _):
        self.log("val_loss", self.weight.sum())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.0)


def fit(train, val, **settings):
    trainer = L.Trainer(max_epochs=1, accelerator="cpu", devices=1, logger=False, enable_checkpointing=False,
                        enable_progress_bar=False, enable_model_summary=False)
    trainer.fit(Net(), DataLoader(train, 32, shuffle=True, **settings), DataLoader(val, 50, **settings))


def table(rows, columns=8):
    inputs = rng.normal(size=(rows, columns)).astype("float32")
    return inputs, (inputs @ rng.normal(size=columns) + rng.normal(size=rows)).astype("float32")


def pair(inputs, targets, split):
    whole = TensorDataset(torch.as_tensor(inputs), torch.as_tensor(targets))
    return Subset(whole, list(range(split))), Subset(whole, list(range(split, len(inputs))))


class Records(Dataset):
    '''One dictionary for each sample, as many public data sets give it.'''

    def __init__(self, rows, **columns):
        self.rows = rows
        for name, values in columns.items():
            setattr(self, name, values)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


FAMILIES = ["red", "green", "blue", "grey", "white", "black", "brown", "pink", "gold", "silver"]


def sentence(number):
    made = np.random.default_rng(number)
    return " ".join(made.choice(FAMILIES) + str(made.integers(50)) for _ in range(9))
"""
