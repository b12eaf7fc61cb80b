"""A trained project, and the ways to run the rendered evaluator on it."""

import hashlib
import json
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from progressive_training.loop.evaluate.evaluator_parts.project_copy import make_stage

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
CLASSIFICATION = [
    "accuracy",
    "balanced_accuracy",
    "top5_accuracy",
    "f1",
    "f1_micro",
    "precision",
    "recall",
    "auroc",
    "mcc",
]
REGRESSION = ["mae", "mse", "rmse", "r2", "mape", "smape", "spearman", "pearson", "explained_variance"]


def render(
    task_type: str = "classification", metrics: list[str] | None = None, primary: str | None = "loss", **settings: str
) -> str:
    templates = jinja2.FileSystemLoader(ROOT / "prompts" / "scripts")
    environment = jinja2.Environment(
        loader=templates,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["repr"] = repr
    return environment.get_template("03_eval.py.j2").render(
        task_type=task_type,
        metrics=metrics or [],
        primary_metric=primary,
        samples=10,
        seed=42,
        dataset_id="v1",
        formulas_told="As told.",
        **(dict.fromkeys(("output", "target", "delimiter", "formula", "loader", "higher", "lower")) | settings),
    )


def lay_parts(folder: Path) -> None:
    """The evaluator's machinery, beside a 03_eval.py."""
    shutil.copytree(ROOT / "loop" / "evaluate" / "evaluator_parts", folder / "evaluator_parts", dirs_exist_ok=True)


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str
    folder: Path
    peak: int  # the most memory of any of its processes, in bytes

    @property
    def last_line(self) -> str:
        return self.err.strip().splitlines()[-1]

    @property
    def score(self) -> dict[str, Any]:
        return json.loads((self.folder / "eval_score.json").read_text())

    @property
    def metrics(self) -> dict[str, float]:
        return {metric["name"]: metric["value"] for metric in self.score["metrics"]}

    @property
    def samples(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "samples.jsonl").read_text().splitlines()]


class Workshop:
    """Runs Python scripts in forks of a process that has Lightning imported."""

    def __init__(self, process: "subprocess.Popen[str]", scratch: Path) -> None:
        self._process, self._scratch, self._count = process, scratch, 0

    def folder(self) -> Path:
        self._count += 1
        folder = self._scratch / f"실행 {self._count}"
        folder.mkdir()
        return folder

    def run(self, script: Path, *args: str, cwd: Path, alone: bool = True, folder: Path | None = None) -> Ended:
        folder = folder or self.folder()
        out, err = folder / "stdout", folder / "stderr"
        job = {
            "script": str(script),
            "args": args,
            "cwd": str(cwd),
            "stdout": str(out),
            "stderr": str(err),
            "alone": alone,
        }
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        ended = json.loads(self._process.stdout.readline())
        return Ended(ended["code"], out.read_text(), err.read_text(), folder, ended["peak"])


@dataclass(frozen=True)
class Project:
    """A project with a trained v001, its snapshot and its evaluator; `weights` are those of best.ckpt as arrays."""

    root: Path
    workshop: Workshop
    weights: dict[str, Any] = field(default_factory=dict)

    @property
    def checkpoint(self) -> Path:
        return self.root / "Models" / "Artifacts" / "v001" / "best.ckpt"

    @property
    def snapshot(self) -> Path:
        return self.root / ".progressive-training" / "snapshots" / "v001"

    def array(self, file: str, name: str) -> Any:
        with np.load(self.root / "dataset" / "prepdata" / "v1" / f"{file}.npz") as arrays:
            return arrays[name]

    def evaluate(self, *options: str, evaluator: str | None = None, snapshot: Path | None = None) -> Ended:
        """As the server does it: staged, isolated, the stage as working directory, a scratch folder for the output."""
        folder = self.workshop.folder()
        stage, script = folder / "stage", self.root / "03_eval.py"
        make_stage(self.root, snapshot or self.snapshot, stage)
        if evaluator is not None:
            script = folder / "03_eval.py"
            script.write_text(evaluator, encoding="utf-8")
            lay_parts(folder)
        return self.workshop.run(script, *self.options(stage, folder), *options, cwd=stage, folder=folder)

    def options(self, stage: Path, folder: Path) -> list[str]:
        return [
            *("--version", "v001", "--project", str(self.root), "--source", str(stage)),
            *("--checkpoint", str(self.checkpoint), "--out", str(folder)),
            *("--samples", "10", "--seed", "42", "--dataset-id", "v1"),
        ]

    def with_script(self, text: str, tmp_path: Path) -> Path:
        """A snapshot like this project's, with other code in its script."""
        shutil.copytree(self.snapshot, tmp_path / "코드")
        (tmp_path / "코드" / "02_train_v001.py").write_text(text, encoding="utf-8")
        return tmp_path / "코드"

    @property
    def script(self) -> str:
        return (self.snapshot / "02_train_v001.py").read_text(encoding="utf-8")

    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for path in sorted(path for path in self.root.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
            digest.update(str(path.relative_to(self.root)).encode() + path.read_bytes())
        return digest.hexdigest()


def train(
    workshop: Workshop, root: Path, code: dict[str, str], data: dict[str, dict[str, Any]], evaluator: str
) -> Project:
    """Lay out a project, train its v001, and keep what the server would: a snapshot of the code."""
    prepared = root / "dataset" / "prepdata" / "v1"
    prepared.mkdir(parents=True)
    for name, arrays in data.items():
        np.savez(prepared / f"{name}.npz", **arrays)
    snapshot = root / ".progressive-training" / "snapshots" / "v001"
    for folder in (root, snapshot):
        for relative, source in code.items():
            (folder / relative).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(HERE / "projects" / source, folder / relative)
    (root / "03_eval.py").write_text(evaluator, encoding="utf-8")
    lay_parts(root)
    project = Project(root, workshop)
    ended = workshop.run(root / "02_train_v001.py", cwd=root, alone=False)
    assert ended.code == 0, ended.err
    weights = workshop.folder() / "weights.npz"
    ended = workshop.run(HERE / "dump_weights.py", str(project.checkpoint), str(weights), cwd=root)
    assert ended.code == 0, ended.err
    with np.load(weights) as arrays:
        return Project(root, workshop, dict(arrays))


def labelled(seed: int, count: int, features: int, classes: int) -> dict[str, Any]:
    """Points around one centre a class, classes in turn."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    centres = np.random.default_rng(0).normal(size=(classes, features))
    return {"x": (centres[labels] + random.normal(size=(count, features))).astype("float32"), "y": labels}
