"""03_eval.py --external: another model on the same samples, in a process that is given inputs and nothing else (R4)."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from evaluator_runs import CLASSIFICATION, REGRESSION, Ended, Project, render
from sklearn import metrics as sk

pytestmark = pytest.mark.requirement("R4")

CENTRES = """
import numpy as np
SEEN = []

def load(folder):
    return np.load(folder / "centres.npy")

def predict(model, inputs):
    print("this is no answer")
    assert isinstance(inputs, list) and inputs[0].shape == (5,) and inputs[0].dtype == np.float32
    scores = -np.square(np.stack(inputs)[:, None] - model).sum(2)
    p = np.exp(scores - scores.max(1, keepdims=True))
    return p / p.sum(1, keepdims=True)
"""


def external(project: Project, name: str, script: str | None, file: str = "inference_sample.py") -> Path:
    folder = project.root / "Models" / "external" / name
    folder.mkdir(parents=True, exist_ok=True)
    if script is not None:
        (folder / file).write_text(script, encoding="utf-8")
    return folder


def centres_of(project: Project, folder: Path) -> np.ndarray:
    x, y = project.array("all", "x"), project.array("all", "y")
    centres = np.stack([x[y == k].mean(0) for k in range(3)])
    np.save(folder / "centres.npy", centres)
    return centres


def score(project: Project, folder: Path, evaluator: str) -> Ended:
    return project.evaluate("--external", str(folder), evaluator=evaluator)


def test_probabilities_give_every_metric_and_the_versions_own_loss(packaged: Project) -> None:
    folder = external(packaged, "가까운 centre's", CENTRES)
    centres = centres_of(packaged, folder)
    evaluator = render(metrics=CLASSIFICATION)
    before = packaged.fingerprint()
    ended = score(packaged, folder, evaluator)
    assert ended.code == 0, ended.err
    assert packaged.fingerprint() == before
    ids = [int(sample["id"]) for sample in ended.samples]
    assert ids == [int(sample["id"]) for sample in packaged.evaluate(evaluator=evaluator).samples]
    x, y = packaged.array("all", "x")[ids], packaged.array("all", "y")[ids]
    scores = -np.square(x[:, None] - centres).sum(2)
    p = np.exp(scores - scores.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    assert list(ended.metrics) == ["loss", *CLASSIFICATION]
    assert ended.metrics["loss"] == pytest.approx(sk.log_loss(y, p), rel=1e-3)
    assert ended.metrics["accuracy"] == pytest.approx(sk.accuracy_score(y, p.argmax(1)))
    assert ended.metrics["auroc"] == pytest.approx(sk.roc_auc_score(y, p, multi_class="ovr"), rel=1e-4)
    assert ended.score["num_samples"] == 30 and ended.score["latency_ms"] > 0
    assert [sample["target"] for sample in ended.samples] == y.tolist()
    shown = sorted(ended.folder.glob("infer_samples/*"))
    assert len(shown) == 10
    meta = json.loads((shown[0] / "meta.json").read_text(encoding="utf-8"))
    assert (meta["version"], meta["checkpoint"]) == ("가까운 centre's", None)
    output = json.loads((shown[0] / "output.json").read_text())
    assert output["prediction"] == ended.samples[meta["index"]]["prediction"]
    assert "this is no answer" in ended.err, "what a model prints goes to the log"


def test_class_numbers_give_what_can_be_told_from_them(packaged: Project) -> None:
    script = "def load(folder): return 1\n\ndef predict(model, inputs): return [model for _ in inputs]\n"
    ended = score(packaged, external(packaged, "ones", script), render(metrics=["accuracy", "f1", "auroc"]))
    assert ended.code == 0, ended.err
    y = packaged.array("all", "y")[[int(sample["id"]) for sample in ended.samples]]
    expected = {"accuracy": (y == 1).mean(), "f1": sk.f1_score(y, np.ones_like(y), average="macro")}
    assert ended.metrics == pytest.approx(expected, rel=1e-4)


def test_values_are_scored_like_a_versions(curves: Project) -> None:
    script = "def load(folder): return 2.0\n\ndef predict(model, inputs): return [(model * x[:2]) for x in inputs]\n"
    ended = score(curves, external(curves, "doubled", script), render("regression", REGRESSION, "mae"))
    assert ended.code == 0, ended.err
    x, y = curves.array("val", "x"), curves.array("val", "y")
    assert "loss" not in ended.metrics, "the version's loss is no formula of predictions and targets alone"
    assert ended.metrics["mae"] == pytest.approx(np.abs(2 * x[:, :2] - y).mean(), rel=1e-4)
    assert ended.metrics["r2"] == pytest.approx(sk.r2_score(y, 2 * x[:, :2]), rel=1e-4)


GOOD = "def load(folder): return 0\n\ndef predict(model, inputs): return [model for _ in inputs]\n"
BROKEN = {
    "nothing": (None, "it has neither adapter.py nor inference_sample.py"),
    "a demonstration": ("print('here is how')\n", "inference_sample.py offers no load() and no predict()"),
    "no predict": ("def load(folder): ...\n", "inference_sample.py offers no predict()"),
    "no Python": ("def load(folder: ...\n", "SyntaxError"),
    "no such package": ("import glm_ocr\n" + GOOD, "ModuleNotFoundError: No module named 'glm_ocr'"),
    "no weights": ("def load(folder): open(folder / 'w.bin')\n\ndef predict(m, x): ...\n", "FileNotFoundError"),
    "raises": (
        "def load(f): ...\n\ndef predict(m, x): raise ValueError('too long')\n",
        "predict raised ValueError: too long",
    ),
    "too few": ("def load(f): ...\n\ndef predict(m, x): return [0]\n", "gave 1 answers to 21 inputs"),
    "no list": ("def load(f): ...\n\ndef predict(m, x): return None\n", "predict raised TypeError"),
    "NaN": (
        "def load(f): ...\n\ndef predict(m, x): return [[float('nan')] * 4 for _ in x]\n",
        "not every one is finite",
    ),
    "no probabilities": ("def load(f): ...\n\ndef predict(m, x): return [[1.0] * 4 for _ in x]\n", "whose sum is 1"),
    "unknown class": ("def load(f): ...\n\ndef predict(m, x): return [4 for _ in x]\n", "a whole number in 0..3"),
    "text": ("def load(f): ...\n\ndef predict(m, x): return ['a' for _ in x]\n", "its answers can't be read"),
    "object": ("def load(f): ...\n\ndef predict(m, x): return [object() for _ in x]\n", "an answer is a object"),
    "leaves": (
        "import os\ndef load(f): os._exit(3)\n\ndef predict(m, x): ...\n",
        "ended before it was loaded (exit code 3)",
    ),
    "falls": (
        "import os\ndef load(f): ...\n\ndef predict(m, x): os._exit(4)\n",
        "ended while it was asked (exit code 4)",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.whole(but=4)
def test_a_broken_one_is_told_in_one_line_and_leaves_no_score(plain: Project, name: str) -> None:
    script, told = BROKEN[name]
    ended = score(plain, external(plain, name, script), render(metrics=["accuracy"]))
    assert ended.code == 1
    assert ended.last_line.startswith(f"03_eval.py: error: external model {name}: ")
    assert told in ended.last_line
    assert not (ended.folder / "eval_score.json").exists()


def test_an_adapter_stands_in_for_a_sample_that_only_shows_how(plain: Project) -> None:
    folder = external(plain, "shown", "raise SystemExit('this would start the whole demonstration')\n")
    external(plain, "shown", GOOD, file="adapter.py")
    ended = score(plain, folder, render(metrics=["accuracy"]))
    assert ended.code == 0, ended.err
    assert json.loads((ended.folder / "external.json").read_text())["script"] == "adapter.py"


SPY = """
import json, os
from pathlib import Path

def tried(deed):
    try:
        return repr(deed())[:200]
    except OSError as error:
        return type(error).__name__

def load(folder):
    root = folder.parents[2]
    parent = Path(f"/proc/{os.getppid()}")
    return {
        "labels": tried(lambda: (root / "dataset/prepdata/v1/val.npz").read_bytes()),
        "list": tried(lambda: os.listdir(root / "dataset/prepdata/v1")),
        "weights": tried(lambda: (root / "Models/Artifacts/v001/best.ckpt").read_bytes()),
        "round": tried(lambda: (parent / "cwd/dataset/prepdata/v1/val.npz").read_bytes()),
        "memory": tried(lambda: (parent / "mem").open("rb")),
        "own": tried(lambda: (folder / "inference_sample.py").read_text()),
        "write": tried(lambda: (folder / "note").write_text("x")),
        "report": tried(lambda: (root / "03_eval.py").write_text("x")),
        "temporary": tried(lambda: Path(os.environ["TMPDIR"], "x").write_text("x")),
        "environment": sorted(name for name in os.environ if "KEY" in name),
    }

def predict(model, inputs):
    assert model is not None
    print("SPIED", json.dumps(model))
    return [0 for _ in inputs]
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Landlock is Linux's")
def test_the_model_sees_neither_labels_nor_weights_nor_its_judge_and_writes_nothing(plain: Project) -> None:
    ended = score(plain, external(plain, "spy", SPY), render(metrics=["accuracy"]))
    assert ended.code == 0, ended.err
    spied = json.loads(next(line for line in ended.err.splitlines() if line.startswith("SPIED"))[6:])
    refused = {name for name, what in spied.items() if what == "PermissionError"}
    assert refused == {"labels", "list", "weights", "round", "memory", "write", "report"}, spied
    assert "def load" in spied["own"] and spied["temporary"] == "1"
    assert json.loads((ended.folder / "external.json").read_text())["not_hidden"] is None
    assert not (plain.root / "Models" / "external" / "spy" / "note").exists()


def state_of(pid: int) -> str | None:
    """The kernel's letter for a process; None where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return None


@pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc")
@pytest.mark.parametrize(("then", "code"), [("", 0), ("\n    raise ValueError", 1)], ids=["scored", "not loaded"])
def test_what_it_leaves_running_is_ended_before_the_score_is_written(plain: Project, then: str, code: int) -> None:
    script = f"import subprocess\ndef load(f):\n    print('LEFT', subprocess.Popen(['sleep', '600']).pid){then}\n"
    script += "\n\ndef predict(m, x): return [0 for _ in x]\n"
    ended = score(plain, external(plain, "leaves-one", script), render(metrics=["accuracy"]))
    assert ended.code == code, ended.err
    left = int(next(line for line in ended.err.splitlines() if line.startswith("LEFT"))[5:])
    assert state_of(left) in (None, "Z", "X")
