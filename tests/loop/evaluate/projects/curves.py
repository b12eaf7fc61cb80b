"""Regression: a dataclass of settings in the checkpoint, a loss of its own, the model's own loaders, two outputs."""

from dataclasses import dataclass, field
from pathlib import Path

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader, TensorDataset


@dataclass
class Settings:
    delta: float = 0.3
    weights: list = field(default_factory=lambda: [1.0, 3.0])
    scale: np.ndarray = field(default_factory=lambda: np.ones(2))


class Curves(L.LightningModule):
    def __init__(self, settings: Settings):
        super().__init__()
        self.save_hyperparameters()
        self.settings = settings
        self.line = torch.nn.Linear(3, 2)

    def forward(self, x):
        return self.line(x)

    def weighted_huber(self, x, y):
        parts = torch.nn.functional.huber_loss(self(x), y, delta=self.settings.delta, reduction="none")
        return (parts * torch.tensor(self.settings.weights)).sum(1).mean()

    def training_step(self, batch, _):
        return self.weighted_huber(*batch)

    def validation_step(self, batch, _):
        loss = self.weighted_huber(*batch)
        self.log("penalty", loss)
        return {"loss": loss}

    def loader(self, name):
        with np.load(Path("dataset/prepdata/v1") / f"{name}.npz") as arrays:
            pairs = TensorDataset(torch.from_numpy(arrays["x"]), torch.from_numpy(arrays["y"]))
        return DataLoader(pairs, batch_size=7)

    def train_dataloader(self):
        return self.loader("train")

    def val_dataloader(self):
        return self.loader("val")

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


if __name__ == "__main__":
    L.seed_everything(4, verbose=False)
    L.Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        callbacks=[ModelCheckpoint(dirpath="Models/Artifacts/v001", filename="best")],
    ).fit(Curves(Settings()))  # fmt: skip
