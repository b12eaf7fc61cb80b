"""Lightning scripts of other people, taken through the real loop: snapshot, stage, acceptance and the template."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluator_runs import HERE, labelled

from support.projects import Folder, connected, edited

pytestmark = pytest.mark.anyio
SPEC = '\nPath("Models/Artifacts/v001/spec.json").write_text(\'{"additional_assets": "not_required"}\')\n'


@dataclass(frozen=True)
class Foreign:
    """Files of a project, by their source in projects/; what its v001 must leave for the loop is edited in."""

    code: dict[str, str]
    edits: tuple[tuple[str, str], ...]
    data: dict[str, dict[str, Any]]
    task_type: str
    val_samples: int
    metrics: tuple[str, ...]
    primary: str

    def make(self, root: Path) -> Folder:
        folder = Folder(root)
        for name, source in self.code.items():
            folder.write(name, (HERE / "projects" / source).read_text(encoding="utf-8"))
        folder.write("02_train_v001.py", edited(folder.read("02_train_v001.py"), *self.edits) + SPEC)
        prepared = folder.path("dataset/prepdata/v1")
        prepared.mkdir(parents=True)
        for name, arrays in self.data.items():
            np.savez(prepared / f"{name}.npz", **arrays)
        stats = {"task_type": self.task_type, "num_train": 40, "num_val": self.val_samples}
        folder.write("dataset/prepdata/v1/stats.json", json.dumps(stats))
        rules = {
            "loop_config": {"max_versions": 1},
            "rehearse": False,
            "training_config": {"epochs": 1},
            "eval_config": {"primary_metric": self.primary, "metrics": list(self.metrics), "infer_samples": 4},
        }
        folder.write("user_defined_rules.json", json.dumps(rules))
        return folder


def points(seed: int, count: int) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    x = random.normal(size=(count, 3))
    y = x @ np.array([[1.0, -2.0], [0.5, 1.0], [0.0, 1.5]]) + random.normal(size=(count, 2)) * 0.1
    return {"x": x.astype("float32"), "y": y.astype("float32")}


ARGPARSE_AND_A_PACKAGE = Foreign(
    code={
        "02_train_v001.py": "packaged.py",
        "nets/__init__.py": "packaged_nets.py",
        "tables.py": "packaged_tables.py",
        "nets/classes.txt": "packaged_classes.txt",
        "config/hp.json": "packaged_hp.json",
    },
    edits=(('filename="best")', 'filename="best", save_last=True)'),),
    data={"all": labelled(3, 90, 5, 3)},
    task_type="tabular classification",
    val_samples=30,
    metrics=("accuracy", "f1"),
    primary="accuracy",
)
SETTINGS_IN_A_DATACLASS = Foreign(
    code={"02_train_v001.py": "curves.py"},
    edits=(
        ('filename="best")', 'filename="best", save_last=True)'),
        ("logger=False", 'logger=L.pytorch.loggers.CSVLogger("Models/Artifacts/v001", name="logs")'),
    ),
    data={"train": points(1, 40), "val": points(2, 24)},
    task_type="tabular regression",
    val_samples=24,
    metrics=("mae", "r2"),
    primary="mae",
)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    made = tmp_path / "남의 project's 폴더"
    yield made
    Folder(made).end_jobs()


@pytest.mark.requirement("I2", "E1", "E2", "E3", "E4")
@pytest.mark.parametrize("foreign", [ARGPARSE_AND_A_PACKAGE, SETTINGS_IN_A_DATACLASS], ids=["argparse", "dataclass"])
@pytest.mark.whole(but=1)
async def test_a_script_that_nobody_here_has_seen_is_trained_and_scored(root: Path, foreign: Foreign) -> None:
    folder = foreign.make(root)
    async with connected(folder) as agent:
        assert (await agent.call("start_loop"))["next"]["tool"] == "run_train"
        trained = await agent.train()
        assert trained["state"] == "done", trained
        scored = await agent.score()
        while scored["state"] == "running":
            scored = await agent.score()
        assert scored["state"] == "done", scored
        assert scored["num_samples"] == foreign.val_samples
        assert set(scored["metrics"]) == {"loss", *foreign.metrics}
        assert await agent.where() == ("analysis", 1)
    score = folder.json("Models/Artifacts/v001/eval_score.json")
    assert (score["dataset_id"], score["num_samples"]) == ("v1", foreign.val_samples)
    assert len(list(folder.path("Models/Artifacts/v001/infer_samples").iterdir())) == 4
    assert folder.path(".progressive-training/receipts/evaluator.json").exists(), "the evaluator is accepted"
    assert not list(folder.root.glob("lightning_logs")), "an evaluation leaves nothing in the project"
