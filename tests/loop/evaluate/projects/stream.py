"""A stream of images, no forward(), a loss module of its own, a torchmetrics object that is only updated."""

import lightning.pytorch as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset
from torchmetrics import Accuracy


class Stream(IterableDataset):
    def __iter__(self):
        generator = torch.Generator().manual_seed(1)
        for index in range(23):
            yield torch.randn(1, 8, 8, generator=generator) + index % 3, torch.tensor(index % 3)


class FocalLoss(nn.Module):
    def forward(self, scores, label):
        right = scores.softmax(1).gather(1, label[:, None])[:, 0]
        return -((1 - right) ** 2 * right.log()).mean()


class Watcher(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.network = nn.Sequential(nn.Conv2d(1, 3, 8), nn.Flatten())
        self.criterion, self.hits = FocalLoss(), Accuracy("multiclass", num_classes=3)

    def training_step(self, batch, _):
        return self.criterion(self.network(batch[0]), batch[1])

    def validation_step(self, batch, _):
        scores = self.network(batch[0])
        self.hits.update(scores, batch[1])
        self.log("val/hits", self.hits, on_epoch=True)
        self.log("val_loss", self.criterion(scores, batch[1]))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)


pl.seed_everything(7, verbose=False)
saver = pl.callbacks.ModelCheckpoint(dirpath="Models/Artifacts/v001", filename="best")
trainer = pl.Trainer(max_epochs=1, accelerator="cpu", logger=False, callbacks=[saver], enable_progress_bar=False)
trainer.fit(Watcher(), DataLoader(Stream(), 4), DataLoader(Stream(), 4))
