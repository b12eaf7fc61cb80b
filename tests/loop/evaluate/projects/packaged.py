"""argparse, a main guard, a datamodule, local modules with files beside them, and hyper-parameters of own classes."""

import argparse
import json
from pathlib import Path

import lightning.pytorch as L
from nets import Depth, Stack, class_names
from tables import Tables
from torchmetrics import MeanMetric

HERE = Path(__file__).resolve().parent


class Classifier(L.LightningModule):
    def __init__(self, depth, width, home):
        super().__init__()
        self.save_hyperparameters()
        self.stack = Stack(depth, width, len(class_names()))
        self.losses = MeanMetric()

    def training_step(self, batch):
        features, label = batch
        return self.stack.loss(self.stack(features), label)

    def validation_step(self, batch):
        features, label = batch
        self.log("val/loss", self.losses(self.stack.loss(self.stack(features), label)))

    def configure_optimizers(self):
        import torch

        return torch.optim.Adam(self.parameters(), lr=0.05)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--version", default="v001")
    parser.add_argument("--epochs", type=int, default=1)
    args = parser.parse_args()
    width = json.loads((HERE / "config" / "hp.json").read_text())["width"]
    out = HERE / "Models" / "Artifacts" / args.version
    L.seed_everything(2, verbose=False)
    trainer = L.Trainer(
        max_epochs=args.epochs, accelerator="cpu", logger=L.loggers.CSVLogger(out, name="logs"),
        callbacks=[L.callbacks.ModelCheckpoint(dirpath=out, filename="best")],
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    data = Tables(HERE / "dataset" / "prepdata" / "v1")
    trainer.fit(model=Classifier(Depth.SHALLOW, width, Path("somewhere")), datamodule=data)


if __name__ == "__main__":
    main()
