"""Baseline for strings of digits: a small convolutional network, one guess for each column, trained by CTC.

Run it with `python 02_train_baseline.py`. It reads dataset/prepdata/v1 and writes Models/Artifacts/baseline, both
beside this file. Two whole runs on one machine give the same weights.

With PROGRESSIVE_TRAINING_RESUME=<checkpoint> it goes on from that checkpoint. The images then come in another order
than in a run without a break, and logs/version_0/metrics.csv holds the epochs since.
"""

import json
import logging
import os
import platform
import warnings
from pathlib import Path

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics.text import CharErrorRate, WordErrorRate

VERSION = "baseline"
DATASET_ID = "v1"

SEED = 42
EPOCHS = 8
BATCH_SIZE = 32
LEARNING_RATE = 0.001
CHANNELS = 12

BLANK = 0
VOCABULARY = ["<blank>", *"0123456789"]
PIXEL_MAXIMUM = 16.0  # what pixels are divided by; the data holds 0..16
HEIGHT, WIDTH = 12, 64

ROOT = Path(__file__).resolve().parent
DATA_DIR = ROOT / "dataset" / "prepdata" / DATASET_ID
ARTIFACTS_DIR = ROOT / "Models" / "Artifacts" / VERSION


def load_split(name: str) -> TensorDataset:
    """The split as (image uint8 (12, 64), class numbers (6,) padded with the blank, how many of them count)."""
    with np.load(DATA_DIR / f"{name}.npz") as arrays:
        images, digits = torch.from_numpy(arrays["images"]), torch.from_numpy(arrays["labels"])
    return TensorDataset(images, digits + 1, (digits >= 0).sum(dim=1))


class OcrModel(L.LightningModule):
    """Images (n, 12, 64) to log-probabilities (n, 32, 11): one guess for every second column."""

    def __init__(self, channels: int = CHANNELS, learning_rate: float = LEARNING_RATE) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layers = nn.Sequential(
            nn.Conv2d(1, channels, kernel_size=3, padding=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=2),
            nn.Conv2d(channels, channels, kernel_size=3, padding=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=(2, 1)),
            nn.Conv2d(channels, channels, kernel_size=3, padding=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
        )
        self.head = nn.Linear(channels * (HEIGHT // 4), len(VOCABULARY))
        self.val_cer = CharErrorRate()
        self.val_wer = WordErrorRate()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.layers(images.unsqueeze(1) / PIXEL_MAXIMUM)
        columns = features.permute(0, 3, 1, 2).flatten(start_dim=2)
        return F.log_softmax(self.head(columns), dim=2)

    def loss(self, frames: torch.Tensor, labels: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        columns = torch.full((len(frames),), frames.shape[1], dtype=torch.long)
        return F.ctc_loss(frames.permute(1, 0, 2), labels, columns, lengths, blank=BLANK, zero_infinity=True)

    def training_step(self, batch: tuple[torch.Tensor, ...], batch_idx: int) -> torch.Tensor:
        images, labels, lengths = batch
        loss = self.loss(self(images), labels, lengths)
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(images))
        return loss

    def validation_step(self, batch: tuple[torch.Tensor, ...], batch_idx: int) -> None:
        images, labels, lengths = batch
        frames = self(images)
        read = [decode(best.tolist()) for best in frames.argmax(dim=2)]
        written = [spell(row[:length].tolist()) for row, length in zip(labels, lengths, strict=True)]
        self.val_cer.update(read, written)
        self.val_wer.update(read, written)
        self.log("val_loss", self.loss(frames, labels, lengths), batch_size=len(images))
        self.log("val_cer", self.val_cer, batch_size=len(images))
        self.log("val_wer", self.val_wer, batch_size=len(images))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.hparams.learning_rate)


def decode(best: list[int]) -> str:
    """Greedy CTC: repeats become one, blanks go."""
    return spell([one for one, before in zip(best, [BLANK, *best], strict=False) if one != before and one != BLANK])


def spell(classes: list[int]) -> str:
    return "".join(VOCABULARY[one] for one in classes)


def write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def write_assets() -> None:
    """What inference needs besides the checkpoint."""
    assets = ARTIFACTS_DIR / "additional_assets"
    write_json(assets / "vocab.json", VOCABULARY)
    processor = {"input": "uint8 (12, 64), grey 0..16", "height": HEIGHT, "width": WIDTH, "divide_by": PIXEL_MAXIMUM}
    write_json(assets / "image_processor.json", processor)


def write_spec(hyperparameters: dict[str, float], checkpoint: ModelCheckpoint) -> None:
    """Everything that is needed to train the same weights again."""
    spec = {
        "version": VERSION,
        "dataset_id": DATASET_ID,
        "task_type": "sequence",
        "framework": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "lightning": L.__version__,
            "numpy": np.__version__,
        },
        "seed": SEED,
        "hyperparameters": hyperparameters,
        "model": {"class": "OcrModel", "input_shape": [HEIGHT, WIDTH], "num_classes": len(VOCABULARY)},
        "monitor": {"metric": "val_loss", "mode": "min", "best": round(float(checkpoint.best_model_score), 6)},
        "additional_assets": ["vocab.json", "image_processor.json"],
    }
    write_json(ARTIFACTS_DIR / "spec.json", spec)


def quiet() -> None:
    """Leaves out what Lightning says about hardware, workers, a folder in use already and its own calls to torch."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    logging.getLogger("lightning.fabric").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*exists and is not empty.*")
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")


def main() -> None:
    quiet()
    L.seed_everything(SEED, workers=True)
    torch.set_num_threads(1)  # the sums then have one order, and images this small gain little from more

    train_loader = DataLoader(load_split("train"), batch_size=BATCH_SIZE, shuffle=True)
    val_loader = DataLoader(load_split("val"), batch_size=BATCH_SIZE)
    model = OcrModel()

    hyperparameters = {"seed": SEED, "epochs": EPOCHS, "batch_size": BATCH_SIZE, **model.hparams}
    logger = CSVLogger(save_dir=ARTIFACTS_DIR, name="logs", version=0)
    logger.log_hyperparams({"dataset_id": DATASET_ID, **hyperparameters})
    checkpoint = ModelCheckpoint(
        dirpath=ARTIFACTS_DIR,
        filename="best",
        monitor="val_loss",
        mode="min",
        save_last=True,
        enable_version_counter=False,
    )
    trainer = L.Trainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        deterministic=True,
        logger=logger,
        callbacks=[checkpoint],
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, train_loader, val_loader, ckpt_path=os.environ.get("PROGRESSIVE_TRAINING_RESUME") or None)

    write_assets()
    write_spec(hyperparameters, checkpoint)
    print(f"{VERSION}: best val_loss {float(checkpoint.best_model_score):.4f} after {EPOCHS} epochs")


if __name__ == "__main__":
    main()
