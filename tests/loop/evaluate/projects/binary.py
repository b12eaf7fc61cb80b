"""Binary classification on one logit, a split made by samplers, a fit that the script guards with try/except."""

import lightning.pytorch as pl
import numpy as np
import torch
from torch.utils.data import DataLoader, SubsetRandomSampler, TensorDataset


class Detector(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.score = torch.nn.Linear(6, 1)

    def forward(self, x):
        return self.score(x).squeeze()

    def step(self, batch):
        x, y = batch
        return torch.nn.functional.binary_cross_entropy_with_logits(self(x), y)

    def training_step(self, batch, batch_idx):
        return self.step(batch)

    def validation_step(self, batch, batch_idx):
        self.log_dict({"valid_loss": self.step(batch), "lr_used": 0.1}, prog_bar=True)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


pl.seed_everything(5, verbose=False)
with np.load("dataset/prepdata/v1/all.npz") as arrays:
    everything = TensorDataset(torch.from_numpy(arrays["x"]), torch.from_numpy(arrays["y"]))
train = DataLoader(everything, batch_size=10, sampler=SubsetRandomSampler(range(50)))
val = DataLoader(everything, batch_size=10, sampler=SubsetRandomSampler(range(50, 80)))
trainer = pl.Trainer(
    max_epochs=1, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
    callbacks=[pl.callbacks.ModelCheckpoint(dirpath="Models/Artifacts/v001", filename="best")],
)  # fmt: skip
try:
    trainer.fit(Detector(), train, val)
except Exception:  # noqa: BLE001 - what many scripts do
    print("training failed")
