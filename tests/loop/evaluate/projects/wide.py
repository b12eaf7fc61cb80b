"""A stream of large samples, which no process could keep: as many as `samples` of 16 MiB each."""

import json
from pathlib import Path

import lightning.pytorch as pl
import torch
from torch.utils.data import DataLoader, IterableDataset

SAMPLES = json.loads(Path("user_defined_rules.json").read_text())["samples"]


class Stream(IterableDataset):
    def __iter__(self):
        for index in range(SAMPLES):
            yield torch.full((4, 1024, 1024), float(index % 3)), index % 3


class Mean(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.head = torch.nn.Linear(1, 3)

    def forward(self, images):
        return self.head(images.mean((1, 2, 3))[:, None])

    def training_step(self, batch, _):
        return torch.nn.functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch, _):
        self.log("val_loss", torch.nn.functional.cross_entropy(self(batch[0]), batch[1]))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)


pl.seed_everything(7, verbose=False)
saver = pl.callbacks.ModelCheckpoint(dirpath="Models/Artifacts/v001", filename="best")
trainer = pl.Trainer(max_epochs=1, accelerator="cpu", logger=False, callbacks=[saver], enable_progress_bar=False)
trainer.fit(Mean(), DataLoader(Stream(), 2), DataLoader(Stream(), 2))
