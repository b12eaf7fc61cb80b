"""Baseline for the sums in words: a small transformer that predicts the next character, in bf16 on a GPU.

Run it with `python 02_train_baseline.py` after make_dataset.py. About a minute on a present data-centre GPU; without
a GPU it trains a far smaller network for a few steps, so that everything can be tried anywhere.
"""

import json
import logging
import os
import warnings
from pathlib import Path

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, RandomSampler

VERSION = "baseline"
DATASET_ID = "v1"

SEED = 42
EPOCHS = 4
LEARNING_RATE = 0.0003
CONTEXT = 256
ON_GPU = torch.cuda.is_available()
STEPS_AN_EPOCH = 190 if ON_GPU else 4
BATCH_SIZE = 256 if ON_GPU else 4
WIDTH = 512 if ON_GPU else 32
LAYERS = 8 if ON_GPU else 1
HEADS = 8 if ON_GPU else 2

ROOT = Path(__file__).resolve().parent
DATA_DIR = ROOT / "dataset" / "prepdata" / DATASET_ID
ARTIFACTS_DIR = ROOT / "Models" / "Artifacts" / VERSION
VOCABULARY = json.loads((DATA_DIR / "vocabulary.json").read_text(encoding="utf-8"))


class Windows(Dataset):
    """Windows of CONTEXT characters and, as the label, the character that comes next."""

    def __init__(self, split: str, count: int | None = None) -> None:
        self.text = torch.from_numpy(np.load(DATA_DIR / f"{split}.npy").astype(np.int64))
        self.count = len(self.text) - CONTEXT if count is None else count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, place: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.text[place : place + CONTEXT], self.text[place + CONTEXT]


class Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feed = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        batch, length, width = inputs.shape
        parts = self.attention(self.first(inputs)).view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        inputs = inputs + self.out(seen.transpose(1, 2).reshape(batch, length, width))
        return inputs + self.feed(self.second(inputs))


class SumsModel(L.LightningModule):
    """Characters (n, CONTEXT) to the logits of the next one (n, characters)."""

    def __init__(self, width: int = WIDTH, layers: int = LAYERS, learning_rate: float = LEARNING_RATE) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.characters = nn.Embedding(len(VOCABULARY), width)
        self.places = nn.Embedding(CONTEXT, width)
        self.blocks = nn.Sequential(*(Block(width, HEADS) for _ in range(layers)), nn.LayerNorm(width))
        self.head = nn.Linear(width, len(VOCABULARY))

    def everywhere(self, inputs: torch.Tensor) -> torch.Tensor:
        """The logits after each character (n, CONTEXT, characters)."""
        places = torch.arange(inputs.shape[1], device=inputs.device)
        return self.head(self.blocks(self.characters(inputs) + self.places(places)))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.everywhere(inputs)[:, -1]

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int) -> torch.Tensor:
        inputs, following = batch
        targets = torch.cat([inputs[:, 1:], following[:, None]], dim=1)
        loss = F.cross_entropy(self.everywhere(inputs).flatten(0, 1), targets.flatten())
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(inputs))
        return loss

    def validation_step(self, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int) -> None:
        inputs, following = batch
        self.log("val_loss", F.cross_entropy(self(inputs), following), batch_size=len(inputs))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=self.hparams.learning_rate)


def write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def quiet() -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    logging.getLogger("lightning.fabric").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*exists and is not empty.*")
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")


def main() -> None:
    quiet()
    L.seed_everything(SEED, workers=True)
    stats = json.loads((DATA_DIR / "stats.json").read_text(encoding="utf-8"))
    windows = Windows("train")
    chosen = RandomSampler(windows, replacement=True, num_samples=STEPS_AN_EPOCH * BATCH_SIZE)
    train_loader = DataLoader(windows, batch_size=BATCH_SIZE, sampler=chosen)
    val_loader = DataLoader(Windows("val", stats["num_samples"]["val"]), batch_size=64)
    model = SumsModel()

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
        accelerator="auto",
        devices=1,
        precision="bf16-mixed",
        logger=logger,
        callbacks=[checkpoint],
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, train_loader, val_loader, ckpt_path=os.environ.get("PROGRESSIVE_TRAINING_RESUME") or None)

    write_json(ARTIFACTS_DIR / "additional_assets" / "vocabulary.json", VOCABULARY)
    monitor = {"metric": "val_loss", "mode": "min", "best": round(float(checkpoint.best_model_score), 6)}
    framework = {"torch": torch.__version__, "lightning": L.__version__}
    spec = {
        "version": VERSION,
        "dataset_id": DATASET_ID,
        "task_type": "classification",
        "framework": framework,
        "seed": SEED,
        "hyperparameters": hyperparameters,
        "monitor": monitor,
        "additional_assets": ["vocabulary.json"],
    }
    write_json(ARTIFACTS_DIR / "spec.json", spec)
    print(f"{VERSION}: best val_loss {float(checkpoint.best_model_score):.4f} after {EPOCHS} epochs")


if __name__ == "__main__":
    main()
