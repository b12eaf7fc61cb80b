"""Text by CTC: targets of unequal length padded in a collate function, frames before samples, lengths beside scores."""

from pathlib import Path

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

TOKENS = ["a", "b", " ", "<blank>"]
OUT = Path("Models/Artifacts/v001")


def load(name):
    with np.load(Path("dataset/prepdata/v1") / f"{name}.npz") as arrays:
        frames, text = arrays["frames"], arrays["text"]
    return [
        (torch.from_numpy(one), [TOKENS.index(c) for c in str(word)]) for one, word in zip(frames, text, strict=True)
    ]


def pad(samples):
    frames, classes = zip(*samples, strict=True)
    rows = torch.nn.utils.rnn.pad_sequence([torch.tensor(one) for one in classes], batch_first=True)
    return {"features": torch.stack(frames), "labels": rows, "label_lengths": torch.tensor([len(c) for c in classes])}


class Lines(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.line = torch.nn.Linear(3, 4)

    def forward(self, frames):
        scores = self.line(frames).permute(1, 0, 2)
        return scores, torch.full((len(frames),), len(scores))

    def loss(self, batch):
        scores, lengths = self(batch["features"])
        return torch.nn.functional.ctc_loss(
            scores.log_softmax(2), batch["labels"], lengths, batch["label_lengths"], blank=3, zero_infinity=True
        )

    def training_step(self, batch, _):
        return self.loss(batch)

    def validation_step(self, batch, _):
        self.log("val_loss", self.loss(batch))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.2)


if __name__ == "__main__":
    L.seed_everything(3, verbose=False)
    trainer = L.Trainer(
        max_epochs=2, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        callbacks=[ModelCheckpoint(dirpath=OUT, filename="best")],
    )  # fmt: skip
    trainer.fit(
        Lines(),
        DataLoader(load("train"), batch_size=4, collate_fn=pad),
        DataLoader(load("val"), batch_size=5, collate_fn=pad),
    )
    (OUT / "additional_assets").mkdir(parents=True)
    (OUT / "additional_assets" / "vocab.json").write_text('{"b": 1, "a": 0, " ": 2, "<blank>": 3}')
