"""Baseline for the diabetes data: a small fully connected network on standardised measurements, trained by plain SGD.

Run it with `python 02_train_baseline.py`. It reads dataset/prepdata/v1 and writes Models/Artifacts/baseline, both
beside this file. Two whole runs on one machine give the same weights.

With PROGRESSIVE_TRAINING_RESUME=<checkpoint> it goes on from that checkpoint. The rows then come in another order
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
EPOCHS = 20
BATCH_SIZE = 32
LEARNING_RATE = 0.003
HIDDEN_SIZE = 16

FEATURES = 10

ROOT = Path(__file__).resolve().parent
DATA_DIR = ROOT / "dataset" / "prepdata" / DATASET_ID
ARTIFACTS_DIR = ROOT / "Models" / "Artifacts" / VERSION


def load_split(name: str) -> TensorDataset:
    """The split `train` or `val` as (measurements (10,), progression ()) pairs, in their own units."""
    with np.load(DATA_DIR / f"{name}.npz") as arrays:
        return TensorDataset(torch.from_numpy(arrays["features"]), torch.from_numpy(arrays["targets"]))


def normaliser() -> dict[str, list[float]]:
    """Mean and deviation of each measurement, and of the target, over the training rows."""
    stats = json.loads((DATA_DIR / "stats.json").read_text(encoding="utf-8"))
    features, target = list(stats["features"].values()), stats["target"]
    return {
        "feature_mean": [one["mean"] for one in features],
        "feature_std": [one["std"] for one in features],
        "target": [target["mean"], target["std"]],
    }


class DiabetesModel(L.LightningModule):
    """Measurements (n, 10) to the progression (n,), both in their own units."""

    def __init__(self, hidden_size: int = HIDDEN_SIZE, learning_rate: float = LEARNING_RATE) -> None:
        super().__init__()
        self.save_hyperparameters()
        scale = normaliser()
        self.register_buffer("feature_mean", torch.tensor(scale["feature_mean"]))
        self.register_buffer("feature_std", torch.tensor(scale["feature_std"]))
        self.target_mean, self.target_std = scale["target"]
        self.layers = nn.Sequential(
            nn.Linear(FEATURES, hidden_size),
            nn.ReLU(),
            nn.Linear(hidden_size, 1),
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        standardised = (features - self.feature_mean) / self.feature_std
        return self.layers(standardised).squeeze(-1) * self.target_std + self.target_mean

    def loss(self, predicted: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The mean squared error in units of the target's variance: 1 for who always says the mean."""
        return F.mse_loss(predicted / self.target_std, targets / self.target_std)

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int) -> torch.Tensor:
        features, targets = batch
        loss = self.loss(self(features), targets)
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(targets))
        return loss

    def validation_step(self, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int) -> None:
        features, targets = batch
        predicted = self(features)
        self.log("val_loss", self.loss(predicted, targets), batch_size=len(targets))
        self.log("val_mae", F.l1_loss(predicted, targets), batch_size=len(targets))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=self.hparams.learning_rate)


def write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def write_assets() -> None:
    """What inference needs besides the checkpoint."""
    write_json(ARTIFACTS_DIR / "additional_assets" / "normalizer.json", normaliser())


def write_spec(hyperparameters: dict[str, float], checkpoint: ModelCheckpoint) -> None:
    """Everything that is needed to train the same weights again."""
    spec = {
        "version": VERSION,
        "dataset_id": DATASET_ID,
        "task_type": "tabular_regression",
        "framework": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "lightning": L.__version__,
            "numpy": np.__version__,
        },
        "seed": SEED,
        "hyperparameters": hyperparameters,
        "model": {"class": "DiabetesModel", "input_shape": [FEATURES], "outputs": 1},
        "monitor": {"metric": "val_loss", "mode": "min", "best": round(float(checkpoint.best_model_score), 6)},
        "additional_assets": ["normalizer.json"],
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
    model = DiabetesModel()

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
