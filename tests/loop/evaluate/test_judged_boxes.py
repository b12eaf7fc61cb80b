"""03_eval.py on detection: lists of dicts in and out, held against the boxes that the trained weights give."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluator_runs import HERE, Project, Workshop, render, train

from progressive_training.loop.evaluate.evaluator_parts.formulas import FAMILIES

SCRIPT = (HERE / "projects" / "boxes.py").read_text(encoding="utf-8")
SILENT = """    def validation_step(self, batch, _):
        self(batch[0])
"""
#: The script's own decoding of what its module gives, and a metric that is told of the boxes alone.
DECODED = """    def setup(self, stage):
        self.metric = Gathered()

    def validation_step(self, batch, _):
        raw = torch.stack([torch.cat([one["boxes"], one["scores"][:, None], one["labels"][:, None]], 1)
                           for one in self(list(batch[0]))])
        found = [{"boxes": one[:, :4], "scores": one[:, 4], "labels": one[:, 5].long()} for one in raw]
        self.metric.update(found, batch[1])
        self.log("val_hits", self.metric)
"""
PREDICTED = """    def predict_step(self, batch):
        return self.model(batch[0])

    def validation_step(self, batch, _):
        self.log("val_loss", torch.stack([one["boxes"].mean() for one in self.predict_step(batch)]).mean())
"""


def pictures(seed: int, count: int) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    corners = random.uniform(0, 12, size=(count, 2, 2))
    boxes = np.concatenate([corners, corners + random.uniform(4, 9, size=(count, 2, 2))], axis=2)
    return {
        "image": random.normal(size=(count, 3, 16, 20)).astype("float32"),
        "boxes": boxes.astype("float32"),
        "labels": random.integers(1, 3, size=(count, 2)),
        "count": random.integers(1, 3, size=count),
    }


DATA = {"val": pictures(1, 21)}


@pytest.fixture
def made(workshop: Workshop, tmp_path: Path) -> Callable[[str], Project]:
    def make(validation: str) -> Project:
        file = tmp_path / "script.py"
        file.write_text(SCRIPT.replace("    # validation\n", validation), encoding="utf-8")
        evaluator = render("object detection", ["map_50", "map"], "map_50")
        return train(workshop, tmp_path / "상자 boxes", {"02_train_v001.py": str(file)}, DATA, evaluator)

    return make


def by_numpy(project: Project) -> list[dict[str, Any]]:
    """The boxes that the trained layer gives."""
    raw = project.array("val", "image").mean((2, 3)) @ project.weights["model.head.weight"].T
    raw = (raw + project.weights["model.head.bias"]).reshape(-1, 3, 6)
    sigmoid = 1 / (1 + np.exp(-raw))
    corner, size = sigmoid[..., :2] * 12, sigmoid[..., 2:4] * 12 + 2
    return [
        {"boxes": np.concatenate([one, one + two], 1), "scores": score, "labels": (kind > 0) + 1}
        for one, two, score, kind in zip(corner, size, sigmoid[..., 4], raw[..., 5], strict=True)
    ]


def right(project: Project) -> list[dict[str, Any]]:
    boxes, labels, count = (project.array("val", name) for name in ("boxes", "labels", "count"))
    return [{"boxes": b[:n], "labels": one[:n]} for b, one, n in zip(boxes, labels, count, strict=True)]


def expected(project: Project) -> dict[str, float]:
    """By the formula, which tests/…/test_ranking_formulas.py holds against pycocotools' numbers."""
    family = FAMILIES["detection"]
    shaped = family.shaped(by_numpy(project), right(project))
    return {name: float(family.metrics[name].compute(*shaped)) for name in ("map_50", "map")}


@pytest.mark.parametrize("way", [SILENT, DECODED, PREDICTED], ids=["module", "metric", "predict_step"])
def test_boxes_are_found_and_scored(way: str, made: Callable[[str], Project]) -> None:
    project = made(way)
    ended = project.evaluate()
    assert ended.code == 0, ended.err
    wanted = expected(project)
    assert 0 < wanted["map"] < wanted["map_50"] < 1, "the test says nothing of boxes that are right or wrong throughout"
    assert {name: ended.metrics[name] for name in wanted} == pytest.approx(wanted, rel=1e-6)
    assert [len(one["target"]["labels"]) for one in ended.samples] == list(project.array("val", "count"))
    folder = ended.folder / "infer_samples" / "0001"
    assert {path.name for path in folder.iterdir()} == {"input.npy", "output.json", "gt.json", "viz.png", "meta.json"}
    number = json.loads((folder / "meta.json").read_text())["index"]
    assert np.load(folder / "input.npy") == pytest.approx(project.array("val", "image")[number])
