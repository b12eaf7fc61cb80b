"""A small Lightning script with the habits of public ones, to be rehearsed."""

SCRIPT = """\
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

VERSION = "baseline"
DATASET_ID = "v1"
OUT = f"Models/Artifacts/{VERSION}"
EPOCHS = 4
BATCH_SIZE = 16
L.seed_everything(42)
generator = torch.Generator().manual_seed(0)
inputs = torch.randn(400, 4, generator=generator)
labels = (inputs.sum(1) > 0).long()
train_set, val_set = TensorDataset(inputs[:340], labels[:340]), TensorDataset(inputs[340:], labels[340:])


class Net(L.LightningModule):
    def __init__(self, lr=0.05):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Linear(4, 2)

    def forward(self, batch):
        return self.net(batch)

    def training_step(self, batch, _):
        loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, _):
        outputs, labels = self(batch[0]), batch[1]
        self.log("val_loss", nn.functional.cross_entropy(outputs, labels))
        self.log("val_acc", (outputs.argmax(1) == labels).float().mean())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.hparams.lr)


keeps = ModelCheckpoint(dirpath=OUT, filename="best", monitor="val_loss", save_last=True, every_n_epochs=2)
trainer = L.Trainer(
    max_epochs=EPOCHS, accelerator="cpu", devices=1, callbacks=[keeps], logger=CSVLogger(OUT, name="logs"),
    enable_progress_bar=False, enable_model_summary=False, check_val_every_n_epoch=2,
)
train = DataLoader(train_set, batch_size=BATCH_SIZE, shuffle=True)
trainer.fit(Net(), train, DataLoader(val_set, batch_size=20))
Path(OUT, "spec.json").write_text('{"additional_assets": "not_required"}')
"""
