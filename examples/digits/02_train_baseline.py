"""Baseline for the digits: a small fully connected network on the pixels as they are, trained by plain SGD.

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

VERSION = "baseline"
DATASET_ID = "v1"

SEED = 42
EPOCHS = 5
BATCH_SIZE = 32
LEARNING_RATE = 0.005
HIDDEN_SIZE = 32
PIXEL_SCALE = 1.0  # what pixels are divided by; the data holds 0..16

IMAGE_PIXELS = 64
NUM_CLASSES = 10

ROOT = Path(__file__).resolve().parent
DATA_DIR = ROOT / "dataset" / "prepdata" / DATASET_ID
ARTIFACTS_DIR = ROOT / "Models" / "Artifacts" / VERSION


def preprocess(images: np.ndarray) -> torch.Tensor:
    """Images uint8 (n, 8, 8) to the model's input, float32 (n, 64)."""
    pixels = torch.from_numpy(images.astype(np.float32))
    return pixels.flatten(start_dim=1) / PIXEL_SCALE


def load_split(name: str) -> TensorDataset:
    """The split `train` or `val` as (input, label) pairs."""
    with np.load(DATA_DIR / f"{name}.npz") as arrays:
        return TensorDataset(preprocess(arrays["images"]), torch.from_numpy(arrays["labels"].astype(np.int64)))


class DigitsModel(L.LightningModule):
    """Inputs (n, 64) to logits (n, 10)."""

    def __init__(self, hidden_size: int = HIDDEN_SIZE, learning_rate: float = LEARNING_RATE) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layers = nn.Sequential(
            nn.Linear(IMAGE_PIXELS, hidden_size),
            nn.ReLU(),
            nn.Linear(hidden_size, NUM_CLASSES),
        )

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.layers(inputs)

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int) -> torch.Tensor:
        inputs, labels = batch
        loss = F.cross_entropy(self(inputs), labels)
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(labels))
        return loss

    def validation_step(self, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int) -> None:
        inputs, labels = batch
        logits = self(inputs)
        self.log("val_loss", F.cross_entropy(logits, labels), batch_size=len(labels))
        self.log("val_accuracy", (logits.argmax(dim=1) == labels).float().mean(), batch_size=len(labels))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=self.hparams.learning_rate)


def write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def write_assets() -> None:
    """What inference needs besides the checkpoint."""
    assets = ARTIFACTS_DIR / "additional_assets"
    write_json(assets / "label_map.json", {str(digit): str(digit) for digit in range(NUM_CLASSES)})
    write_json(assets / "normalizer.json", {"input": "uint8 (8, 8), flattened", "divide_by": PIXEL_SCALE})


def write_spec(hyperparameters: dict[str, float], checkpoint: ModelCheckpoint) -> None:
    """Everything that is needed to train the same weights again."""
    spec = {
        "version": VERSION,
        "dataset_id": DATASET_ID,
        "task_type": "image_classification",
        "framework": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "lightning": L.__version__,
            "numpy": np.__version__,
        },
        "seed": SEED,
        "hyperparameters": hyperparameters,
        "model": {"class": "DigitsModel", "input_shape": [IMAGE_PIXELS], "num_classes": NUM_CLASSES},
        "monitor": {"metric": "val_loss", "mode": "min", "best": round(float(checkpoint.best_model_score), 6)},
        "additional_assets": ["label_map.json", "normalizer.json"],
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
    torch.set_num_threads(1)  # the sums then have one order, and matrices this small gain nothing from more

    train_loader = DataLoader(load_split("train"), batch_size=BATCH_SIZE, shuffle=True)
    val_loader = DataLoader(load_split("val"), batch_size=BATCH_SIZE)
    model = DigitsModel()

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
