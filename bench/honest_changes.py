# ruff: noqa: E501 - lines of scripts, as edits find them
"""Honest changes of the examples and of two more scripts: what bench/honest_scores.py trains and scores. Edits by name."""

Edits = list[tuple[str, str]]

_SGD = "return torch.optim.SGD(self.parameters(), lr=self.hparams.learning_rate)"
_FIT = "trainer.fit("


def _optimizer(made: str, scheduler: str = "") -> Edits:
    """The example's optimizer, made another way, and what its rate follows."""
    if not scheduler:
        return [(_SGD, f"return {made}")]
    return [(_SGD, f"made = {made}\n        return [made], [{scheduler}]")]


_RATE = "lr=self.hparams.learning_rate"
_MADE = f"torch.optim.SGD(self.parameters(), {_RATE})"
_SCHEDULES: dict[str, Edits] = {
    "adam": _optimizer(f"torch.optim.Adam(self.parameters(), {_RATE})"),
    "adamw": _optimizer(f"torch.optim.AdamW(self.parameters(), {_RATE}, weight_decay=0.05)"),
    "momentum": _optimizer(_MADE.replace("lr=", "momentum=0.9, nesterov=True, lr=")),
    "weight decay": _optimizer(_MADE.replace("lr=", "weight_decay=0.01, lr=")),
    "a rate that falls": _optimizer(_MADE, "torch.optim.lr_scheduler.StepLR(made, 1, 0.5)"),
    "a cosine": _optimizer(_MADE, "torch.optim.lr_scheduler.CosineAnnealingLR(made, EPOCHS)"),
    "two rates": _optimizer(
        "torch.optim.SGD([{'params': self.layers[0].parameters()}, {'params': self.layers[2:].parameters(), 'lr': 0.02}], "
        f"{_RATE})"
    ),
}
_TRAINER: dict[str, Edits] = {
    "clipped gradients": [("deterministic=True,", "deterministic=True,\n        gradient_clip_val=1.0,")],
    "gradients of two batches": [("deterministic=True,", "deterministic=True,\n        accumulate_grad_batches=2,")],
    "averaged weights": [
        (
            "callbacks=[checkpoint],",
            "callbacks=[checkpoint, L.pytorch.callbacks.StochasticWeightAveraging(swa_lrs=0.001, swa_epoch_start=1)],",
        )
    ],
    "smaller validation batches": [('load_split("val"), batch_size=BATCH_SIZE', 'load_split("val"), batch_size=7')],
    "larger validation batches": [('load_split("val"), batch_size=BATCH_SIZE', 'load_split("val"), batch_size=512')],
    "another seed": [("SEED = 42", "SEED = 7")],
    "fewer training samples": [
        ('DataLoader(load_split("train"),', 'DataLoader(torch.utils.data.Subset(load_split("train"), range(200)),')
    ],
    "samples drawn by weight": [
        (
            'DataLoader(load_split("train"), batch_size=BATCH_SIZE, shuffle=True)',
            'DataLoader(load_split("train"), batch_size=BATCH_SIZE, sampler=torch.utils.data.WeightedRandomSampler('
            'torch.ones(len(load_split("train"))), 300))',
        )
    ],
}
_EMA: Edits = [
    (
        "    def configure_optimizers(",
        "    def on_train_batch_end(self, *_):\n"
        "        for mine, other in zip(self.average.parameters(), self.layers.parameters()):\n"
        "            mine.data.mul_(0.9).add_(other.data, alpha=0.1)\n\n"
        "    def configure_optimizers(",
    ),
]


def _layers(activation: str = "nn.ReLU()", *, norm: str = "", width: str = "hidden_size", ends: str) -> Edits:
    start = "nn.Linear(FEATURES, hidden_size)" if ends == "1" else "nn.Linear(IMAGE_PIXELS, hidden_size)"
    last = f"nn.Linear(hidden_size, {ends})"
    middle = "".join(f"            {one},\n" for one in (norm, activation) if one)
    old = f"            {start},\n            nn.ReLU(),\n            {last},\n"
    new = f"            {start.replace('hidden_size', width)},\n{middle}            {last.replace('hidden_size', width)},\n"
    return [(old, new)]


def _nets(ends: str) -> dict[str, Edits]:
    deep = "nn.ReLU(), nn.Linear(hidden_size, hidden_size), nn.ReLU(), nn.Linear(hidden_size, hidden_size), nn.ReLU()"
    return {
        "wider": [("HIDDEN_SIZE = ", "HIDDEN_SIZE = 4 * ")],
        "narrower": [("HIDDEN_SIZE = ", "HIDDEN_SIZE = 4 + 0 * ")],
        "a higher rate": [("LEARNING_RATE = ", "LEARNING_RATE = 4 * ")],
        "a lower rate": [("LEARNING_RATE = ", "LEARNING_RATE = 0.2 * ")],
        "dropout": _layers(norm="nn.Dropout(0.3)", ends=ends),
        "gelu": _layers("nn.GELU()", ends=ends),
        "tanh": _layers("nn.Tanh()", ends=ends),
        "batch normalisation": _layers(norm="nn.BatchNorm1d(hidden_size)", ends=ends),
        "layer normalisation": _layers(norm="nn.LayerNorm(hidden_size)", ends=ends),
        "deeper": _layers(deep, ends=ends),
        "a width of its own": _layers(width="48", ends=ends),
    }


_CLASSES = "logits = self(inputs)\n"
_CLASS_LOSS = "loss = F.cross_entropy(self(inputs), labels)"
_VALIDATED = 'self.log("val_loss", F.cross_entropy(logits, labels), batch_size=len(labels))'
DIGITS: dict[str, Edits] = {
    **_nets("NUM_CLASSES"),
    **_SCHEDULES,
    **_TRAINER,
    "pixels from 0 to 1": [("PIXEL_SCALE = 1.0", "PIXEL_SCALE = 16.0")],
    "pixels around 0": [
        ("return pixels.flatten(start_dim=1) / PIXEL_SCALE", "return (pixels.flatten(start_dim=1) - 5) / 6")
    ],
    "smoothed labels": [(_CLASS_LOSS, _CLASS_LOSS.replace("labels)", "labels, label_smoothing=0.1)"))],
    "smoothed labels everywhere": [
        (_CLASS_LOSS, _CLASS_LOSS.replace("labels)", "labels, label_smoothing=0.1)")),
        (_VALIDATED, _VALIDATED.replace("labels), b", "labels, label_smoothing=0.1), b")),
    ],
    "classes by weight": [
        (_CLASS_LOSS, _CLASS_LOSS.replace("labels)", "labels, weight=torch.arange(10) / 5 + 0.5)")),
        (_VALIDATED, _VALIDATED.replace("labels), b", "labels, weight=torch.arange(10) / 5 + 0.5), b")),
    ],
    "a focal loss": [
        (_CLASS_LOSS, "p = self(inputs).softmax(1).gather(1, labels[:, None])\n        loss = -((1 - p) ** 2 * p.log()).mean()"),
        (_VALIDATED, "p = logits.softmax(1).gather(1, labels[:, None])\n        self.log('val_loss', -((1 - p) ** 2 * p.log()).mean(), batch_size=len(labels))"),
    ],
    "noise on the inputs": [(_CLASS_LOSS, _CLASS_LOSS.replace("self(inputs)", "self(inputs + torch.randn_like(inputs))"))],
    "mixed inputs": [(_CLASS_LOSS, _CLASS_LOSS.replace("self(inputs)", "self(0.8 * inputs + 0.2 * inputs.roll(1, 0))"))],
    "log-probabilities": [
        ("return self.layers(inputs)", "return self.layers(inputs).log_softmax(1)"),
        (_CLASS_LOSS, "loss = F.nll_loss(self(inputs), labels)"),
        (_VALIDATED, _VALIDATED.replace("cross_entropy", "nll_loss")),
    ],
    "a convolution": [
        ("nn.Linear(IMAGE_PIXELS, hidden_size),\n            nn.ReLU(),\n            nn.Linear(hidden_size, NUM_CLASSES)",
         "nn.Unflatten(1, (1, 8, 8)),\n            nn.Conv2d(1, 8, 3, padding=1),\n            nn.ReLU(),\n            nn.MaxPool2d(2),\n"
         "            nn.Flatten(),\n            nn.Linear(128, NUM_CLASSES)"),
    ],
    "a residual connection": [
        ("return self.layers(inputs)", "hidden = self.layers[1](self.layers[0](inputs))\n        return self.layers[2](hidden + hidden.flip(1))")
    ],
    "a body and a head": [
        ("        self.layers = nn.Sequential(", "        self.head = nn.Linear(NUM_CLASSES, NUM_CLASSES)\n        self.layers = nn.Sequential("),
        ("return self.layers(inputs)", "return self.head(self.layers(inputs).relu())"),
    ],
    "the mean of two views": [(_CLASSES, "logits = (self(inputs) + self(inputs * 0.95)) / 2\n")],
    "a moving average that is validated": [
        *_EMA,
        ("    def forward(", "    def setup(self, stage):\n        pass\n\n    def forward("),
        ("            nn.Linear(hidden_size, NUM_CLASSES),\n        )\n", "            nn.Linear(hidden_size, NUM_CLASSES),\n        )\n        self.average = nn.Sequential(nn.Linear(IMAGE_PIXELS, hidden_size), nn.ReLU(), nn.Linear(hidden_size, NUM_CLASSES))\n        self.average.load_state_dict(self.layers.state_dict())\n"),
        (_CLASSES, "logits = self.average(inputs)\n"),
    ],
    "a second head that only trains": [
        ("        self.layers = nn.Sequential(", "        self.other = nn.Linear(IMAGE_PIXELS, NUM_CLASSES)\n        self.layers = nn.Sequential("),
        (_CLASS_LOSS, _CLASS_LOSS + " + 0.3 * F.cross_entropy(self.other(inputs), labels)"),
    ],
    "a second head that is validated beside": [
        ("        self.layers = nn.Sequential(", "        self.other = nn.Linear(IMAGE_PIXELS, NUM_CLASSES)\n        self.layers = nn.Sequential("),
        (_CLASS_LOSS, _CLASS_LOSS + " + 0.3 * F.cross_entropy(self.other(inputs), labels)"),
        (_VALIDATED, _VALIDATED + '\n        self.log("val_other", F.cross_entropy(self.other(inputs), labels))'),
    ],
    "weights made another way": [("        self.save_hyperparameters()\n", "        self.save_hyperparameters()\n        torch.manual_seed(3)\n")],
}  # fmt: skip

_PREDICTED = "predicted = self(features)\n"
_MSE = "return F.mse_loss(predicted / self.target_std, targets / self.target_std)"
DIABETES: dict[str, Edits] = {
    **_nets("1"),
    **_SCHEDULES,
    **_TRAINER,
    "huber": [(_MSE, _MSE.replace("mse_loss", "huber_loss"))],
    "absolute errors": [(_MSE, _MSE.replace("mse_loss", "l1_loss"))],
    "huber in training alone": [
        ("loss = self.loss(self(features), targets)", "loss = F.huber_loss(self(features), targets, delta=20.0) / 100")
    ],
    "noise on the inputs": [("loss = self.loss(self(features)", "loss = self.loss(self(features + 0.01 * torch.randn_like(features))")],
    "scaled in the data": [
        ('torch.from_numpy(arrays["features"])', '(torch.from_numpy(arrays["features"]) - torch.tensor(normaliser()["feature_mean"])) / torch.tensor(normaliser()["feature_std"])'),
        ("standardised = (features - self.feature_mean) / self.feature_std", "standardised = features"),
    ],
    "a column of outputs": [
        (".squeeze(-1) * self.target_std", " * self.target_std"),
        (_MSE, _MSE.replace("targets /", "targets[:, None] /")),
        ("F.l1_loss(predicted, targets)", "F.l1_loss(predicted, targets[:, None])"),
    ],
    "two nets": [
        ("        self.layers = nn.Sequential(", "        self.second = nn.Linear(FEATURES, 1)\n        self.layers = nn.Sequential("),
        ("return self.layers(standardised)", "return (self.layers(standardised) + self.second(standardised))"),
    ],
    "no negative answers": [("* self.target_std + self.target_mean", "* self.target_std + self.target_mean).clamp(min=0)"), ("return self.layers(stand", "return (self.layers(stand")],
    "the mean of two views": [(_PREDICTED, "predicted = (self(features) + self(features * 1.01)) / 2\n")],
}  # fmt: skip

_ADAM = "return torch.optim.Adam(self.parameters(), lr=self.hparams.learning_rate)"
OCR: dict[str, Edits] = {
    "wider": [("CHANNELS = 12", "CHANNELS = 16")],
    "a higher rate": [("LEARNING_RATE = 0.001", "LEARNING_RATE = 0.004")],
    "decay": [(_ADAM, _ADAM.replace("Adam(", "AdamW(").replace("lr=", "weight_decay=0.1, lr="))],
    "a rate that falls": [
        (_ADAM, _ADAM.replace("return", "made =") + "\n        return [made], [torch.optim.lr_scheduler.StepLR(made, 1)]")
    ],
    "dropout": [("return F.log_softmax(self.head(columns), dim=2)", "return F.log_softmax(self.head(F.dropout(columns, 0.2, self.training)), dim=2)")],
    "a recurrent layer": [
        ("        self.head = nn.Linear(channels * (HEIGHT // 4), len(VOCABULARY))", "        self.reads = nn.GRU(channels * (HEIGHT // 4), 16, bidirectional=True, batch_first=True)\n        self.head = nn.Linear(32, len(VOCABULARY))"),
        ("self.head(columns)", "self.head(self.reads(columns)[0])"),
    ],
    "logits": [
        ("return F.log_softmax(self.head(columns), dim=2)", "return self.head(columns)"),
        ("return F.ctc_loss(frames.permute(1, 0, 2)", "return F.ctc_loss(frames.log_softmax(2).permute(1, 0, 2)"),
    ],
    "noise on the images": [("loss = self.loss(self(images)", "loss = self.loss(self(images + torch.rand(images.shape))")],
    "smaller validation batches": [('load_split("val"), batch_size=BATCH_SIZE', 'load_split("val"), batch_size=5')],
    "brighter images in the data": [('torch.from_numpy(arrays["images"])', 'torch.from_numpy(arrays["images"]).clamp(min=1)')],
}  # fmt: skip

PARTS = '''
from pathlib import Path
import json, lightning as L, numpy as np, torch, torchmetrics
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
VERSION = "baseline"
DATASET_ID = "v1"
OUT = Path("Models/Artifacts") / VERSION
EPOCHS, WIDTH, RATE, DECAY = 2, 32, 0.002, 0.0
L.seed_everything(42)
torch.set_num_threads(1)


class Pictures(Dataset):
    def __init__(self, name):
        with np.load(f"dataset/prepdata/{DATASET_ID}/{name}.npz") as arrays:
            self.images, self.labels = torch.from_numpy(arrays["images"]).float() / 16, torch.from_numpy(arrays["labels"]).long()

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, n):
        ITEM


class Data(L.LightningDataModule):
    def train_dataloader(self):
        return DataLoader(Pictures("train"), batch_size=32, shuffle=True)

    def val_dataloader(self):
        return DataLoader(Pictures("val"), batch_size=50)


class Net(L.LightningModule):
    def __init__(self, width=WIDTH, rate=RATE):
        super().__init__()
        self.save_hyperparameters()
        NET

    STEPS

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=self.hparams.rate, weight_decay=DECAY)


saver = ModelCheckpoint(dirpath=OUT, filename="best", monitor="val_loss", save_last=True)
trainer = L.Trainer(max_epochs=EPOCHS, accelerator="cpu", callbacks=[saver], logger=CSVLogger(OUT, name="logs", version=0),
                    enable_progress_bar=False, enable_model_summary=False)
trainer.fit(Net(), datamodule=Data())
'''  # fmt: skip


def _filled(item: str, net: str, steps: str) -> str:
    made = PARTS.replace("ITEM", item).replace("        NET", net.rstrip()).replace("    STEPS", steps.rstrip())
    return made.lstrip()


# Dicts, a data module, a body and a head in the step, a torchmetrics object.
DICTS = _filled(
    'return {"pixels": self.images[n], "id": n, "label": self.labels[n]}',
    """
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU())
        self.head = nn.Linear(width, 10)
        self.right = torchmetrics.Accuracy(task="multiclass", num_classes=10)
""",
    """
    def forward(self, pixels):
        return self.body(pixels)

    def training_step(self, batch, _):
        return F.cross_entropy(self.head(self(batch["pixels"])), batch["label"])

    def validation_step(self, batch, _):
        logits = self.head(self(batch["pixels"]))
        self.right(logits, batch["label"])
        self.log("val_loss", F.cross_entropy(logits, batch["label"]), batch_size=len(logits))
        self.log("val_accuracy", self.right)
""",
)
# A mask of each picture: which pixels are bright, from the picture in half its size.
MASKS = _filled(
    "return F.avg_pool2d(self.images[n][None], 2), (self.images[n] > 0.5).long()",
    """
        self.net = nn.Sequential(nn.Conv2d(1, width, 3, padding=1), nn.ReLU(), nn.Upsample(scale_factor=2),
                                 nn.Conv2d(width, 2, 3, padding=1))
""",
    """
    def forward(self, images):
        return self.net(images)

    def training_step(self, batch, _):
        return F.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch, _):
        outputs = self(batch[0])
        self.log("val_loss", F.cross_entropy(outputs, batch[1]))
""",
)
_SHARED: dict[str, Edits] = {
    "wider": [("WIDTH, RATE, DECAY = 2, 32", "WIDTH, RATE, DECAY = 2, 64")],
    "a higher rate": [("32, 0.002", "32, 0.01")],
    "decay": [("0.002, 0.0\n", "0.002, 0.1\n")],
    "more epochs": [("DECAY = 2,", "DECAY = 3,")],
    "another activation": [("nn.ReLU()", "nn.SiLU()")],
    "validation one by one": [('Pictures("val"), batch_size=50', 'Pictures("val"), batch_size=1')],
    "plain descent": [("torch.optim.AdamW(", "torch.optim.SGD(")],
}
OF_DICTS: dict[str, Edits] = {
    **_SHARED,
    "darker pictures": [('arrays["images"]).float() / 16', 'arrays["images"]).float() / 20')],
    "dropout": [("nn.ReLU())", "nn.ReLU(), nn.Dropout(0.2))")],
    "normalised": [("nn.Linear(64, width),", "nn.Linear(64, width), nn.BatchNorm1d(width),")],
    "the head in forward": [
        ("return self.body(pixels)", "return self.head(self.body(pixels))"),
        ('self.head(self(batch["pixels"]))', 'self(batch["pixels"])'),
    ],
    "smoothed labels": [('batch["label"])\n\n    def val', 'batch["label"], label_smoothing=0.1)\n\n    def val')],
    "a convolution": [("nn.Flatten(), nn.Linear(64, width)", "nn.Unflatten(1, (1, 8)), nn.Conv2d(1, 4, 3, padding=1), nn.Flatten(), nn.Linear(256, width)")],
}  # fmt: skip
OF_MASKS: dict[str, Edits] = {
    **_SHARED,
    "normalised": [("nn.ReLU(), nn.Up", "nn.BatchNorm2d(width), nn.ReLU(), nn.Up")],
    "deeper": [("nn.ReLU(), nn.Up", "nn.ReLU(), nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Up")],
    "a transposed convolution": [("nn.Upsample(scale_factor=2),", "nn.ConvTranspose2d(width, width, 2, stride=2),")],
    "bright pixels count more": [
        ("batch[1])\n\n    def val", "batch[1], weight=torch.tensor([1.0, 2.0]))\n\n    def val")
    ],
}
