"""Training scripts in the styles that users write them, for the offline agent. They are only text: nobody runs them."""

CONSTANTS = '''\
"""손글씨 숫자 — a convolutional network with module constants."""
import torch
from torch import nn
import torch.nn.functional as F
import lightning as L

VERSION = "baseline"
DATASET_ID = "v1"
SEED = 42
MAX_EPOCHS = 8
BATCH_SIZE = 64
LR = 0.05  # 학습률
WEIGHT_DECAY = 1e-4


class Net(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 16, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(16, 10),
        )

    def forward(self, x):
        return self.body(x)

    def training_step(self, batch, _):
        x, y = batch
        return F.cross_entropy(
            self(x),
            y,
        )

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=LR, momentum=0.9, weight_decay=WEIGHT_DECAY)
        return optimizer


def main():
    L.seed_everything(SEED)
    trainer = L.Trainer(max_epochs=MAX_EPOCHS)


if __name__ == "__main__":
    main()
'''

DATACLASS = '''\
from __future__ import annotations

from dataclasses import dataclass, field

import lightning as L
from torch import nn, optim

VERSION = "baseline"
DATASET_ID = "v1"


@dataclass(frozen=True)
class Config:
    """Everything that can be set."""

    seed: int = 42
    epochs: int = 5
    batch_size: int = 32
    lr: float = 3e-4
    weight_decay: float = 0.01
    dropout: float = 0.3
    hidden_dim: int = 128


class Classifier(L.LightningModule):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.loss = nn.CrossEntropyLoss()
        self.encoder = nn.Linear(64, config.hidden_dim)
        self.drop = nn.Dropout(config.dropout)
        self.head = nn.Linear(config.hidden_dim, 10)

    def training_step(self, batch, batch_idx):
        x, y = batch
        return self.loss(self.head(self.drop(self.encoder(x).relu())), y)

    def configure_optimizers(self):
        return optim.AdamW(
            self.parameters(),
            lr=self.config.lr,
            weight_decay=self.config.weight_decay,
        )


if __name__ == "__main__":
    cfg = Config()
    L.Trainer(max_epochs=cfg.epochs).fit(Classifier(cfg))
'''

ARGPARSE = """\
import argparse

import pytorch_lightning as pl
from torch import nn
from torch.nn.functional import cross_entropy
from torch.optim import SGD

VERSION = "baseline"
DATASET_ID = "v1"


def parse_args():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--lr", type=float, default=0.002)
    parser.add_argument("--seed", type=int, default=42)
    return parser.parse_args()


class Net(pl.LightningModule):
    def __init__(self, args):
        super().__init__()
        self.args = args
        self.net = nn.Sequential(
            nn.Flatten(), nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 10)
        )

    def training_step(self, batch, batch_idx):
        x, y = batch
        return cross_entropy(self.net(x), y)

    def configure_optimizers(self):
        return SGD(self.parameters(), lr=self.args.lr)


def main():
    args = parse_args()
    pl.seed_everything(args.seed)
    pl.Trainer(max_epochs=args.epochs).fit(Net(args))


if __name__ == "__main__":
    main()
"""
