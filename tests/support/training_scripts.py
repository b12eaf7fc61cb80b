"""Training scripts as users write them, to be edited by the diff corpus. They are only text: nobody runs them."""

MNIST = '''\
"""Digits with a small convolutional network.

Sections:
- data
- model
- loop
"""

import argparse
import json
import random
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

VERSION = "v001"
SEED = 42
BATCH_SIZE = 128
LEARNING_RATE = 1e-3
WEIGHT_DECAY = 0.0
EPOCHS = 12
OUT = Path("Models/Artifacts")


def seed_everything(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


class Net(nn.Module):
    def __init__(self, width: int = 32, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, width, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width * 2, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(width * 2)
        self.drop = nn.Dropout(0.1)
        self.head = nn.Linear(width * 2 * 7 * 7, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.max_pool2d(x, 2)
        x = F.relu(self.bn2(self.conv2(x)))
        x = F.max_pool2d(x, 2)
        x = self.drop(x.flatten(1))
        return self.head(x)


def load(split: str) -> TensorDataset:
    data = np.load(f"dataset/prepdata/digits/{split}.npz")
    images = torch.from_numpy(data["images"]).float().unsqueeze(1) / 255
    labels = torch.from_numpy(data["labels"]).long()
    return TensorDataset(images, labels)


def run_epoch(model, loader, optimizer=None, device="cpu"):
    training = optimizer is not None
    model.train(training)
    total, correct, loss_sum = 0, 0, 0.0
    with torch.set_grad_enabled(training):
        for images, labels in loader:
            images, labels = images.to(device), labels.to(device)
            logits = model(images)
            loss = F.cross_entropy(logits, labels)
            if training:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            total += len(labels)
            correct += (logits.argmax(1) == labels).sum().item()
            loss_sum += loss.item() * len(labels)
    return loss_sum / total, correct / total


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    seed_everything(SEED)
    train = DataLoader(load("train"), batch_size=BATCH_SIZE, shuffle=True)
    valid = DataLoader(load("valid"), batch_size=BATCH_SIZE)
    model = Net().to(args.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    history = []
    for epoch in range(args.epochs):
        train_loss, train_acc = run_epoch(model, train, optimizer, args.device)
        valid_loss, valid_acc = run_epoch(model, valid, None, args.device)
        history.append({"epoch": epoch, "train_loss": train_loss, "valid_loss": valid_loss, "valid_acc": valid_acc})
        print(f"{epoch}: {train_loss:.4f} {train_acc:.4f} {valid_loss:.4f} {valid_acc:.4f}")
    OUT.mkdir(parents=True, exist_ok=True)
    torch.save(model.state_dict(), OUT / "last.ckpt")
    (OUT / "history.json").write_text(json.dumps(history))


if __name__ == "__main__":
    main()
'''

LIGHTNING = '''\
import lightning as L
import torch
import torch.nn.functional as F
from torch import nn
from torchmetrics.classification import MulticlassAccuracy

VERSION = "v003"
BATCH_SIZE = 64

QUERY = """
SELECT id, path, label
-- only what was checked
FROM samples
-- the held-out set
WHERE split = 'valid'
"""


class Block(nn.Module):
    """Two convolutions and a way around them.

    --- shapes
    +++ in and out: batch, channels, height, width
    """

    def __init__(self, channels):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
        )

    def forward(self, x):
        return x + self.body(x)


class Encoder(nn.Module):
    def __init__(self, channels, depth):
        super().__init__()
        self.stem = nn.Conv2d(3, channels, 3, padding=1)
        self.blocks = nn.ModuleList([Block(channels) for _ in range(depth)])
        self.norm = nn.LayerNorm(channels)

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        x = x.mean(dim=(2, 3))
        return self.norm(x)


class Decoder(nn.Module):
    def __init__(self, channels, depth):
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(channels, channels) for _ in range(depth)])
        self.norm = nn.LayerNorm(channels)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class Classifier(L.LightningModule):
    def __init__(self, channels=48, depth=4, classes=100, lr=3e-4, label_smoothing=0.0):
        super().__init__()
        self.save_hyperparameters()
        self.encoder = Encoder(channels, depth)
        self.decoder = Decoder(channels, depth=2)
        self.head = nn.Linear(channels, classes)
        self.train_acc = MulticlassAccuracy(classes)
        self.valid_acc = MulticlassAccuracy(classes)

    def forward(self, x):
        return self.head(self.decoder(self.encoder(x)))

    def training_step(self, batch, batch_idx):
        x, y = batch
        logits = self(x)
        loss = F.cross_entropy(logits, y, label_smoothing=self.hparams.label_smoothing)
        self.train_acc(logits, y)
        self.log("train/loss", loss)
        self.log("train/acc", self.train_acc, on_epoch=True)
        return loss

    def validation_step(self, batch, batch_idx):
        x, y = batch
        logits = self(x)
        loss = F.cross_entropy(logits, y)
        self.valid_acc(logits, y)
        self.log("valid/loss", loss)
        self.log("valid/acc", self.valid_acc, on_epoch=True)
        return loss

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.hparams.lr, weight_decay=0.05)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=self.trainer.max_epochs)
        return {"optimizer": optimizer, "lr_scheduler": scheduler}


def build_trainer(max_epochs=30):
    return L.Trainer(
        max_epochs=max_epochs,
        accelerator="auto",
        precision="32-true",
        gradient_clip_val=1.0,
        log_every_n_steps=20,
    )
'''

RECOGNITION = """\
# Optical character recognition: convolutions, a recurrent layer and CTC.
# 한글 주석: 데이터는 dataset/prepdata 아래에 있다.
import os
import time
import math
import torch
import torch.nn as nn

ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
CONFIG = {
    "hidden": 256,
    "layers": 2,
    "dropout": 0.2,
    "lr": 0.001,
    "warmup": 500,
    "epochs": 40,
    "clip": 5.0,
}

class CRNN(nn.Module):
    def __init__(self, cfg):
        super(CRNN, self).__init__()
        self.cnn = nn.Sequential(
            nn.Conv2d(1, 64, 3, 1, 1), nn.ReLU(True), nn.MaxPool2d(2, 2),
            nn.Conv2d(64, 128, 3, 1, 1), nn.ReLU(True), nn.MaxPool2d(2, 2),
            nn.Conv2d(128, 256, 3, 1, 1), nn.BatchNorm2d(256), nn.ReLU(True),
            nn.MaxPool2d((2, 1)),
        )
        self.rnn = nn.LSTM(256 * 4, cfg["hidden"], cfg["layers"],
                           bidirectional=True,
                           dropout=cfg["dropout"])
        self.fc = nn.Linear(cfg["hidden"] * 2, len(ALPHABET) + 1)

    def forward(self, images):
        features = self.cnn(images)
        b, c, h, w = features.size()
        features = features.permute(3, 0, 1, 2).reshape(w, b, c * h)
        out, _ = self.rnn(features)
        return self.fc(out).log_softmax(2)

def encode(text):
    return [ALPHABET.index(ch) + 1 for ch in text.lower() if ch in ALPHABET]

def decode(log_probs):
    best = log_probs.argmax(2).t()
    texts = []
    for row in best:
        previous = 0
        chars = []
        for index in row.tolist():
            if index and index != previous:
                chars.append(ALPHABET[index - 1])
            previous = index
        texts.append("".join(chars))
    return texts

def learning_rate(step, cfg, total):
    if step < cfg["warmup"]:
        return cfg["lr"] * (step + 1) / cfg["warmup"]
    progress = (step - cfg["warmup"]) / max(1, total - cfg["warmup"])
    return cfg["lr"] * 0.5 * (1 + math.cos(math.pi * progress))

def train(cfg, train_loader, valid_loader, device):
    model = CRNN(cfg).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=cfg["lr"])
    criterion = nn.CTCLoss(blank=0, zero_infinity=True)
    best = float("inf")
    step = 0
    for epoch in range(cfg["epochs"]):
        started = time.time()
        model.train()
        for images, texts in train_loader:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, cfg, cfg["epochs"] * len(train_loader))
            targets = [torch.tensor(encode(t)) for t in texts]
            lengths = torch.tensor([len(t) for t in targets])
            log_probs = model(images.to(device))
            widths = torch.full((images.size(0),), log_probs.size(0))
            loss = criterion(log_probs, torch.cat(targets), widths, lengths)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), cfg["clip"])
            optimizer.step()
            step += 1
        model.eval()
        losses = []
        with torch.no_grad():
            for images, texts in valid_loader:
                targets = [torch.tensor(encode(t)) for t in texts]
                lengths = torch.tensor([len(t) for t in targets])
                log_probs = model(images.to(device))
                widths = torch.full((images.size(0),), log_probs.size(0))
                loss = criterion(log_probs, torch.cat(targets), widths, lengths)
                losses.append(loss.item())
        score = sum(losses) / len(losses)
        print(epoch, score, time.time() - started)
        if score < best:
            best = score
            os.makedirs("ckpt", exist_ok=True)
            torch.save(model.state_dict(), "ckpt/best.pt")
    return best
"""

TABULAR = '''\
"""Gradient descent on a table; indented with tabs, trailing blanks and all."""
import csv
import sys
import torch
from torch import nn

HIDDEN = 64
STEPS = 2000
RATE = 0.01


def read(path):
	rows = []
	with open(path) as handle:
		reader = csv.reader(handle)
		next(reader)
		for row in reader:
			rows.append([float(cell) for cell in row])
	return torch.tensor(rows)


def standardise(table):
	mean = table.mean(0)
	spread = table.std(0)\x20\x20
	return (table - mean) / (spread + 1e-8)


class Regressor(nn.Module):
	def __init__(self, inputs):
		super().__init__()
		self.first = nn.Linear(inputs, HIDDEN)
		self.second = nn.Linear(HIDDEN, HIDDEN)
		self.last = nn.Linear(HIDDEN, 1)
		self.act = nn.GELU()

	def forward(self, x):
		x = self.act(self.first(x))
		x = self.act(self.second(x))
		return self.last(x).squeeze(-1)


def fit(path):
	table = standardise(read(path))
	x, y = table[:, :-1], table[:, -1]
	model = Regressor(x.shape[1])
	optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=0.9)
	for step in range(STEPS):
		loss = nn.functional.mse_loss(model(x), y)
		optimizer.zero_grad()
		loss.backward()
		optimizer.step()
		if step % 100 == 0:
			print(step, loss.item())
			if not torch.isfinite(loss):
				print("diverged")
				sys.exit(1)
	return model


if __name__ == "__main__":
	fit(sys.argv[1])
'''

SCRIPTS = {"digits.py": MNIST, "lightning.py": LIGHTNING, "ocr.py": RECOGNITION, "table.py": TABULAR}
