"""03_eval.py on the families of tasks: one linear layer each, scored by scikit-learn from the trained weights."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluator_runs import Project, Workshop, render, train
from sklearn import metrics as sk

SCRIPT = """
import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset


def loader(name):
    with np.load(f"dataset/prepdata/v1/{name}.npz") as arrays:
        pairs = TensorDataset(torch.from_numpy(arrays["x"]), torch.from_numpy(arrays["y"]))
    return DataLoader(pairs, batch_size=5)


class Net(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.head = LAYER

    def forward(self, x):
        return self.head(x)

    def training_step(self, batch, _):
        return self.head.weight.square().mean()

    def validation_step(self, batch, _):
        x, y = batch
        out = self(x)
        self.log("val_loss", LOSS)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


L.seed_everything(5, verbose=False)
saver = ModelCheckpoint(dirpath="Models/Artifacts/v001", filename="best")
L.Trainer(max_epochs=1, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
          callbacks=[saver]).fit(Net(), loader("train"), loader("val"))
"""


def trained(workshop: Workshop, root: Path, layer: str, loss: str, arrays: dict[str, Any], evaluator: str) -> Project:
    file = root / "script.py"
    file.write_text(SCRIPT.replace("LAYER", layer).replace("LOSS", loss), encoding="utf-8")
    data = {"train": arrays, "val": arrays}
    return train(workshop, root / "일 project", {"02_train_v001.py": str(file)}, data, evaluator)


def scored(project: Project) -> dict[str, float]:
    ended = project.evaluate()
    assert ended.code == 0, ended.err
    return ended.metrics


def linear(project: Project) -> Any:
    """What the layer gives for the last axis of x."""
    weight = project.weights["head.weight"].reshape(3, 4)
    return project.array("val", "x") @ weight.T + project.weights["head.bias"]


def random(*shape: int, seed: int = 3) -> Any:
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def test_several_labels_a_sample(workshop: Workshop, tmp_path: Path) -> None:
    arrays = {"x": random(22, 4), "y": (random(22, 3, seed=4) > 0).astype("float32")}
    evaluator = render("multilabel classification", ["f1_micro"])
    loss = "F.binary_cross_entropy_with_logits(out, y)"
    project = trained(workshop, tmp_path, "nn.Linear(4, 3)", loss, arrays, evaluator)
    out, y = linear(project), arrays["y"]
    losses = np.log1p(np.exp(-np.abs(out))) + np.maximum(out, 0) - out * y
    expected = {"loss": losses.mean(), "f1_micro": sk.f1_score(y, out > 0, average="micro")}
    assert scored(project) == pytest.approx(expected, rel=1e-4)


def test_a_class_for_each_token_where_padding_counts_for_nothing(workshop: Workshop, tmp_path: Path) -> None:
    y = np.random.default_rng(4).integers(0, 3, size=(22, 6))
    y[:, 4:][::2] = -100
    arrays = {"x": random(22, 6, 4), "y": y}
    loss = "F.cross_entropy(out.flatten(0, 1), y.flatten(), ignore_index=-100)"
    evaluator = render("token classification", ["accuracy"])
    project = trained(workshop, tmp_path, "nn.Linear(4, 3)", loss, arrays, evaluator)
    kept = y != -100
    found, out = scored(project), linear(project)[kept]
    powers = np.exp(out)
    assert found["loss"] == pytest.approx(sk.log_loss(y[kept], powers / powers.sum(1, keepdims=True)), rel=1e-4)
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(y[kept], out.argmax(1)))


def test_a_class_for_each_pixel(workshop: Workshop, tmp_path: Path) -> None:
    x, y = random(12, 8, 8, 4), np.random.default_rng(4).integers(0, 3, size=(12, 8, 8))
    arrays = {"x": x.transpose(0, 3, 1, 2).copy(), "y": y}
    evaluator = render("semantic segmentation", ["pixel_accuracy", "miou"])
    project = trained(workshop, tmp_path, "nn.Conv2d(4, 3, 1)", "F.cross_entropy(out, y)", arrays, evaluator)
    weight = project.weights["head.weight"].reshape(3, 4)
    out = x @ weight.T + project.weights["head.bias"]
    predicted = out.argmax(3).reshape(-1)
    powers = np.exp(out.reshape(-1, 3))
    expected = {
        "loss": sk.log_loss(y.reshape(-1), powers / powers.sum(1, keepdims=True)),
        "pixel_accuracy": sk.accuracy_score(y.reshape(-1), predicted),
        "miou": sk.jaccard_score(y.reshape(-1), predicted, average="macro"),
    }
    assert scored(project) == pytest.approx(expected, rel=1e-4)


def test_a_horizon_of_values(workshop: Workshop, tmp_path: Path) -> None:
    arrays = {"x": random(22, 4), "y": random(22, 3, seed=4)}
    evaluator = render("time series forecasting", ["mae", "rmse"])
    project = trained(workshop, tmp_path, "nn.Linear(4, 3)", "F.mse_loss(out, y)", arrays, evaluator)
    error = linear(project) - arrays["y"]
    expected = {"loss": (error**2).mean(), "mae": np.abs(error).mean(), "rmse": float(np.sqrt((error**2).mean()))}
    assert scored(project) == pytest.approx(expected, rel=1e-4)


def test_a_right_candidate_for_each_query(workshop: Workshop, tmp_path: Path) -> None:
    arrays = {"x": random(22, 5, 4), "y": np.random.default_rng(4).integers(0, 5, size=22)}
    evaluator = render("document retrieval", ["mrr", "recall@3"], "mrr")
    loss = "F.cross_entropy(out.squeeze(2), y)"
    project = trained(workshop, tmp_path, "nn.Linear(4, 1)", loss, arrays, evaluator)
    scores = arrays["x"] @ project.weights["head.weight"][0]
    right = np.take_along_axis(scores, arrays["y"][:, None], 1)
    ranks = 1 + (scores > right).sum(1)
    powers = np.exp(scores)
    expected = {
        "loss": sk.log_loss(arrays["y"], powers / powers.sum(1, keepdims=True)),
        "mrr": (1 / ranks).mean(),
        "recall@3": (ranks <= 3).mean(),
    }
    assert scored(project) == pytest.approx(expected, rel=1e-4)


RANKED = {
    'torch.from_numpy(arrays["y"]))': '*(torch.from_numpy(arrays[name]) for name in ("y", "query_id")))',
    "x, y = batch": "x, y, query = batch",
    "self.head = LAYER": "self.head, self.mrr = LAYER, RetrievalMRR()",
    'self.log("val_loss", LOSS)': """self.log("val_loss", F.binary_cross_entropy_with_logits(out[:, 0], y.float()))
        self.mrr.update(out[:, 0], y, indexes=query)
        self.log("val_mrr", self.mrr)""",
    "from torch import nn\n": "from torch import nn\nfrom torchmetrics.retrieval import RetrievalMRR\n",
}


def test_candidates_that_are_samples_of_their_own_are_ranked_within_their_query(
    workshop: Workshop, tmp_path: Path
) -> None:
    generator = np.random.default_rng(5)
    query = np.repeat(np.arange(7), [3, 4, 2, 5, 3, 4, 2])
    arrays = {"x": random(23, 4), "y": generator.integers(0, 2, size=23), "query_id": query}
    script = SCRIPT
    for old, new in RANKED.items():
        script = script.replace(old, new)
    file = tmp_path / "grouped.py"
    file.write_text(script.replace("LAYER", "nn.Linear(4, 1)"), encoding="utf-8")
    evaluator = render("ranking", ["mrr", "ndcg@3", "recall@1"], "mrr")
    data = {"train": arrays, "val": arrays}
    project = train(workshop, tmp_path / "순위", {"02_train_v001.py": str(file)}, data, evaluator)
    ended = project.evaluate()
    assert ended.code == 0, ended.err
    scores = arrays["x"] @ project.weights["head.weight"][0] + project.weights["head.bias"]
    reciprocal, gains, recalls = [], [], []
    for one in range(7):
        said, there = scores[query == one], arrays["y"][query == one]
        order = there[np.argsort(-said)]
        above = order * (np.sort(said)[::-1] > 0)  # torchmetrics has it so, and the script logs its number
        reciprocal.append(1 / (1 + int(above.argmax())) if above.any() else 0.0)
        gains.append(sk.ndcg_score(there[None], said[None], k=3) if there.any() else 0.0)
        recalls.append(order[0] / order.sum() if order.any() else 0.0)
    found = ended.metrics
    assert found["mrr"] == pytest.approx(np.mean(reciprocal), rel=1e-5)
    assert found["ndcg@3"] == pytest.approx(np.mean(gains), rel=1e-5)
    assert found["recall@1"] == pytest.approx(np.mean(recalls), rel=1e-5)
    losses = np.log1p(np.exp(-np.abs(scores))) + np.maximum(scores, 0) - scores * arrays["y"]
    assert found["loss"] == pytest.approx(losses.mean(), rel=1e-4)
    assert [one["id"] for one in ended.samples] == [str(one) for one in range(7)]
