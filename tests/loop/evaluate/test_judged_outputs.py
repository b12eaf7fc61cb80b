"""03_eval.py finds what validation_step judges, however it is written. One linear model, so that numpy knows it too."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluator_runs import Ended, Project, Workshop, labelled, render, train

from progressive_training.loop.evaluate.evaluation import SCRIPT_AT_FAULT

#: What every script here begins and ends with; `Net` and `batch_of` stand between.
HEAD = """
import sys
import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

VERSION = "v001"


def load(name):
    with np.load(f"dataset/prepdata/v1/{name}.npz") as arrays:
        return [(torch.from_numpy(x), torch.tensor(int(y))) for x, y in zip(arrays["x"], arrays["y"])]


def batch_of(samples):
    return torch.stack([x for x, _ in samples]), torch.stack([y for _, y in samples])


class Base(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(x)

    def training_step(self, batch, _):
        return self.head.weight.square().mean()

    def validation_step(self, batch, _):
        x, y = batch
        out = self(x)
        self.log("val_loss", F.cross_entropy(out, y))
        self.log("val_acc", (out.argmax(1) == y).float().mean())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def trainer(**more):
    saver = ModelCheckpoint(dirpath=f"Models/Artifacts/{VERSION}", filename="best")
    return L.Trainer(max_epochs=1, accelerator="cpu", logger=False, enable_progress_bar=False,
                     enable_model_summary=False, callbacks=[saver], **more)


def loader(name):
    return DataLoader(load(name), batch_size=6, collate_fn=lambda samples: batch_of(samples))
"""
TAIL = """
L.seed_everything(5, verbose=False)
trainer().fit(Net(), loader("train"), loader("val"))
"""
PLAIN = "\nclass Net(Base):\n    pass\n"
DATA = {"train": labelled(1, 24, 4, 3), "val": labelled(2, 21, 4, 3)}


def step(body: str) -> str:
    return "    def validation_step(self, batch, _):\n" + "".join(f"        {line}\n" for line in body.splitlines())


WAYS = {
    "forward returns the loss and the output": """
class Net(Base):
    def forward(self, x, y=None):
        out = self.head(x)
        return (F.cross_entropy(out, y), out) if y is not None else out

"""
    + step("""x, y = batch
loss, out = self(x, y)
self.log("val_loss", loss)
self.log("val_acc", (out.argmax(1) == y).float().mean())"""),
    "a group and a mask stand after the label": """
def batch_of(samples):
    x, y = torch.stack([x for x, _ in samples]), torch.stack([y for _, y in samples])
    return x, y, torch.arange(len(y)) % 2, torch.ones(len(y), dtype=torch.bool)

class Net(Base):
"""
    + step("""x, y, group, mask = batch
out = self(x)
self.log("val_loss", F.cross_entropy(out[mask], y[mask]))
self.log("val_acc", (out.argmax(1) == y).float().mean())"""),
    "batches are dicts": """
def batch_of(samples):
    return {"label": torch.stack([y for _, y in samples]), "x": torch.stack([x for x, _ in samples])}

class Net(Base):
"""
    + step("""out = self(batch["x"])
self.log("val_loss", F.cross_entropy(out, batch["label"]))
self.log("val_acc", (out.argmax(1) == batch["label"]).float().mean())"""),
    "forward gives embeddings and the step has the head": """
class Net(Base):
    def __init__(self):
        super().__init__()
        self.body = nn.Identity()

    def forward(self, x):
        return self.body(x)

"""
    + step("""x, y = batch
out = self.head(self(x))
self.log("val_loss", F.cross_entropy(out, y))
self.log("val_acc", (out.argmax(1) == y).float().mean())"""),
    "the mean over a mirrored input is judged": """
class Net(Base):
"""
    + step("""x, y = batch
out = (self(x) + self(x)) / 2
self.log("val_loss", F.cross_entropy(out, y))
self.log("val_acc", (out.argmax(1) == y).float().mean())"""),
    "validation data are a stream": """
class Stream(torch.utils.data.IterableDataset):
    def __init__(self, name):
        self.name = name

    def __iter__(self):
        yield from load(self.name)

def loader(name):
    return DataLoader(Stream(name), batch_size=6)

class Net(Base):
    pass
""",
    "a frozen backbone is in no checkpoint": """
class Net(Base):
    strict_loading = False

    def __init__(self):
        super().__init__()
        self.backbone = nn.Linear(4, 4, bias=False).requires_grad_(False)
        nn.init.eye_(self.backbone.weight)

    def forward(self, x):
        return self.head(self.backbone(x))

    def on_save_checkpoint(self, checkpoint):
        del checkpoint["state_dict"]["backbone.weight"]
""",
    "an object that nobody looks into is in the batch": """
class Place:
    def __init__(self, number):
        self.number = number

def batch_of(samples):
    return torch.stack([x for x, _ in samples]), torch.stack([y for _, y in samples]), Place(len(samples))

class Net(Base):
    def validation_step(self, batch, index):
        super().validation_step(batch[:2], index)
""",
}


@pytest.fixture
def made(workshop: Workshop, tmp_path: Path) -> Callable[..., Project]:
    def make(code: str, metrics: list[str], name: str = "프로젝트 a", change: Callable[[str], str] = str) -> Project:
        sources = change(HEAD + code + TAIL)
        file = tmp_path / f"{name}.py"
        file.write_text(sources, encoding="utf-8")
        return train(workshop, tmp_path / name, {"02_train_v001.py": str(file)}, DATA, render(metrics=metrics))

    return make


def by_numpy(project: Project, layer: str = "head", x: Any = None, of: str = "val") -> dict[str, float]:
    """The loss and the accuracy of the one linear model."""
    x, y, w = project.array(of, "x") if x is None else x, project.array(of, "y"), project.weights
    logits = x @ w[f"{layer}.weight"].T + w[f"{layer}.bias"]
    top = logits.max(1, keepdims=True)
    losses = np.log(np.exp(logits - top).sum(1)) + top[:, 0] - logits[np.arange(len(y)), y]
    return {"loss": losses.mean(), "accuracy": float((logits.argmax(1) == y).mean())}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.whole(but=3)
def test_the_judged_output_is_found_and_scored_by_the_servers_formula(way: str, made: Callable[..., Project]) -> None:
    project = made(WAYS[way], ["accuracy"])
    ended = project.evaluate()
    assert ended.code == 0, ended.err
    assert ended.metrics == pytest.approx(by_numpy(project), rel=1e-4)
    assert told(ended)["formulas"] == {"loss": "server", "accuracy": "server"}


def told(ended: Ended) -> dict[str, Any]:
    return json.loads((ended.folder / "evaluation.json").read_text(encoding="utf-8"))


def later(project: Project, code: str, tmp_path: Path, change: Callable[[str], str] = str, *, name: str) -> Ended:
    """A later version's evaluation with the same weights, held against the first one's protocol."""
    first = project.evaluate()
    assert first.code == 0, first.err
    folder = tmp_path / name
    folder.mkdir()
    return project.evaluate(
        "--protocol", str(first.folder), snapshot=project.with_script(change(HEAD) + code + TAIL, folder)
    )


LATER = {
    "other targets": (
        "torch.tensor(int(y))",
        "torch.tensor((int(y) + 1) % 3)",
        "21 of 21 validation samples",
    ),
    "fewer samples": ('zip(arrays["x"], arrays["y"])]', 'zip(arrays["x"], arrays["y"])][:20]', "for 20 validation"),
    "another order": ('zip(arrays["x"], arrays["y"])]', 'zip(arrays["x"], arrays["y"])][::-1]', "have other targets"),
}


@pytest.mark.parametrize("what", LATER)
@pytest.mark.whole(but=1)
def test_a_later_version_that_answers_for_other_samples_is_refused(
    what: str, made: Callable[..., Project], tmp_path: Path
) -> None:
    old, new, message = LATER[what]
    ended = later(made(PLAIN, ["accuracy"]), PLAIN, tmp_path, lambda head: head.replace(old, new), name="later")
    assert message in ended.last_line
    assert ended.code == SCRIPT_AT_FAULT


@pytest.mark.whole
def test_a_later_versions_changed_inputs_are_noted(made: Callable[..., Project], tmp_path: Path) -> None:
    project = made(PLAIN, ["accuracy"])
    ended = later(
        project,
        PLAIN,
        tmp_path,
        lambda head: head.replace("torch.from_numpy(x),", "torch.from_numpy(x) * 2,"),
        name="n",
    )
    assert ended.code == 0, ended.err
    assert {"key": "other_inputs", "differing": 21, "count": 21} in told(ended)["notes"]


@pytest.mark.whole
def test_probabilities_and_a_focal_loss_in_a_later_version_are_scored_by_the_first_formula(
    made: Callable[..., Project], tmp_path: Path
) -> None:
    project = made(PLAIN, ["accuracy"])
    focal = "\nclass Net(Base):\n" + step("""x, y = batch
out = self(x).softmax(1)
right = out.gather(1, y[:, None])[:, 0]
self.log("val_loss", -((1 - right) ** 2 * right.log()).mean())
self.log("val_acc", (out.argmax(1) == y).float().mean())""")
    ended = later(project, focal, tmp_path, name="focal")
    assert ended.code == 0, ended.err
    assert ended.metrics == pytest.approx(by_numpy(project), rel=1e-4)


def test_weights_that_the_loop_did_not_train_are_refused(made: Callable[..., Project], tmp_path: Path) -> None:
    trains = """
class Net(Base):
    def on_load_checkpoint(self, checkpoint):
        weights = checkpoint["state_dict"]
        weights["head.weight"] = weights["head.weight"] + 0.5
"""
    ended = later(made(PLAIN, ["accuracy"]), trains, tmp_path, name="made")
    assert ended.code == SCRIPT_AT_FAULT
    assert "head.weight hold values that are in no tensor of best.ckpt" in ended.last_line


@pytest.mark.whole
def test_a_model_that_opens_the_data_set_or_starts_a_program_is_stopped(
    made: Callable[..., Project], tmp_path: Path
) -> None:
    project = made(PLAIN, ["accuracy"])
    reads = """
class Net(Base):
    def forward(self, x):
        np.load("dataset/prepdata/v1/val.npz")
        return self.head(x)
"""
    starts = reads.replace('np.load("dataset/prepdata/v1/val.npz")', '__import__("subprocess").run(["true"])')
    for name, code in (("reads", reads), ("starts", starts)):
        ended = later(project, code, tmp_path, name=name)
        assert ended.code == SCRIPT_AT_FAULT, name
        assert "PermissionError" in ended.last_line, name


def test_the_second_of_two_fits_is_scored(made: Callable[..., Project]) -> None:
    first = """
class Net(Base):
    pass

warm = L.Trainer(max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False,
                 enable_progress_bar=False, enable_model_summary=False)
warm.fit(Net(), loader("train"), loader("train"))
"""
    project = made(first, ["accuracy"])
    ended = project.evaluate("--fit", "2")
    assert ended.code == 0, ended.err
    assert ended.metrics == pytest.approx(by_numpy(project), rel=1e-4)
    assert ended.score["num_samples"] == 21


TWO_LOADERS = """
class Net(Base):
    def validation_step(self, batch, index, dataloader_idx=0):
        super().validation_step(batch, index)

one = loader
def loader(name):
    return [one("val"), one("train")] if name == "val" else one(name)
"""


@pytest.mark.parametrize(
    ("metric", "settings", "number"),
    [
        ("accuracy", {}, 0),
        ("val_acc/dataloader_idx_1", {}, 1),
        ("accuracy", {"loader": "train"}, 1),
    ],
)
def test_of_two_validation_loaders_one_is_scored_and_it_is_noted_which(
    metric: str, settings: dict[str, str], number: int, made: Callable[..., Project]
) -> None:
    code = TWO_LOADERS
    if settings:
        code = code.replace('[one("val"), one("train")]', '{"val": one("val"), "train": one("train")}')
    project = made(code, [])
    ended = project.evaluate(evaluator=render(metrics=[metric], **settings))
    assert ended.code == 0, ended.err
    right = by_numpy(project, of=("val", "train")[number])
    assert ended.metrics == pytest.approx({"loss": right["loss"], metric: right["accuracy"]}, rel=1e-4)
    named = ("val", "train")[number] if settings else str(number)
    note = {"key": "several_loaders", "count": 2, "loader": number, "named": named}
    assert note in told(ended)["notes"] and told(ended)["loader"] == number


@pytest.mark.parametrize(
    ("metrics", "loader", "words"),
    [
        (["val_acc/dataloader_idx_0", "val_loss/dataloader_idx_1"], None, "metrics of several validation loaders"),
        (["accuracy"], "3", "has 2 (0, 1) validation loaders, and 3 is to be scored"),
    ],
)
def test_loaders_that_cannot_be_scored_are_refused_with_a_way_out(
    metrics: list[str], loader: str | None, words: str, made: Callable[..., Project]
) -> None:
    project = made(TWO_LOADERS, [])
    ended = project.evaluate(evaluator=render(metrics=metrics, **({"loader": loader} if loader else {})))
    assert ended.code != 0 and words in ended.last_line


OWN_WAY = {
    "by its ModelCheckpoint": ('filename="best"', 'filename="best", monitor="val_gap", mode="min"', {}, False),
    "by a setting": ("", "", {"lower": "gap"}, False),
    "by a setting, the other way": ("", "", {"higher": "val_gap"}, True),
    "by its name": ("val_gap", "val_gap_error", {}, False),
}


@pytest.mark.parametrize("way", OWN_WAY)
def test_which_way_a_metric_of_the_scripts_own_is_better_is_known_by(way: str, made: Callable[..., Project]) -> None:
    old, new, settings, higher = OWN_WAY[way]
    own = "\nclass Net(Base):\n" + step("""super().validation_step(batch, 0)
self.log("val_gap", self(batch[0]).std())""")
    name = "gap_error" if "error" in new else "gap"
    project = made(own, [], change=lambda text: text.replace(old, new) if old else text)
    ended = project.evaluate(evaluator=render(metrics=[name], **settings))
    assert ended.code == 0, ended.err
    assert {one["name"]: one["higher_is_better"] for one in ended.score["metrics"]} == {"loss": False, name: higher}


def test_a_metric_whose_direction_nothing_says_is_asked_about(made: Callable[..., Project]) -> None:
    own = "\nclass Net(Base):\n" + step("""super().validation_step(batch, 0)
self.log("val_gap", self(batch[0]).std())""")
    ended = made(own, ["gap"]).evaluate()
    assert ended.code == 1
    assert "nothing says whether more or less of gap is better" in ended.last_line
    assert 'write_eval(settings={"higher": "gap"})' in ended.last_line


def test_a_known_metric_in_the_scripts_own_units_is_scored_by_the_formula_of_the_script(
    made: Callable[..., Project], tmp_path: Path
) -> None:
    scaled = "\nclass Net(Base):\n" + step("""x, y = batch
out = self(x)
self.log("val_loss", F.cross_entropy(out, y))
self.log("val_acc", (out.argmax(1) == y).float().mean() * 40)""")
    project = made(scaled, ["accuracy"])
    refused = project.evaluate()
    right = by_numpy(project)
    assert refused.code == 1
    assert f"accuracy: {right['accuracy']:.6g} by accuracy" in refused.last_line
    assert f"validation_step logs val_acc = {right['accuracy'] * 40:.6g}" in refused.last_line
    assert 'write_eval(settings={"formula": "script"})' in refused.last_line
    ended = project.evaluate(evaluator=render(metrics=["accuracy"], formula="script"))
    assert ended.code == 0, ended.err
    assert ended.metrics == pytest.approx({"loss": right["loss"], "accuracy": right["accuracy"] * 40}, rel=1e-4)
    assert told(ended)["formulas"] == {"loss": "server", "accuracy": "script"}


@pytest.mark.whole
def test_a_formula_of_the_scripts_own_may_not_change(made: Callable[..., Project], tmp_path: Path) -> None:
    own = "\nclass Net(Base):\n" + step("""x, y = batch
out = self(x)
self.log("val_loss", F.cross_entropy(out, y))
self.log("val_sharpness_error", out.softmax(1).amax(1).mean())""")
    project = made(own, ["sharpness_error"])
    first = project.evaluate()
    assert first.code == 0, first.err
    assert told(first)["formulas"] == {"loss": "server", "sharpness_error": "script"}
    ended = later(project, own.replace("out.softmax(1)", "(out * 3).softmax(1)"), tmp_path, name="changed")
    assert ended.code == SCRIPT_AT_FAULT
    assert "this version computes it by other code than the first one" in ended.last_line


def test_a_moving_average_that_the_step_judges_is_what_is_scored(made: Callable[..., Project]) -> None:
    averaged = """
class Net(Base):
    def __init__(self):
        super().__init__()
        self.average = nn.Linear(4, 3)

    def training_step(self, batch, _):
        return F.cross_entropy(self(batch[0]), batch[1])

    def on_train_batch_end(self, *_):
        for mine, other in zip(self.average.parameters(), self.head.parameters()):
            mine.data.mul_(0.5).add_(other.data, alpha=0.5)

""" + step("""x, y = batch
out = self.average(x)
self.log("val_loss", F.cross_entropy(out, y))
self.log("val_acc", (out.argmax(1) == y).float().mean())""")
    project = made(averaged, ["accuracy"])
    ended = project.evaluate()
    assert ended.code == 0, ended.err
    assert ended.metrics == pytest.approx(by_numpy(project, "average"), rel=1e-4)
    assert ended.metrics["loss"] != pytest.approx(by_numpy(project)["loss"], rel=1e-3)


def test_normalisation_over_batches_uses_what_training_has_counted(made: Callable[..., Project]) -> None:
    normed = """
class Net(Base):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x):
        return self.head(self.norm(x))

    def training_step(self, batch, _):
        return F.cross_entropy(self(batch[0]), batch[1])
"""
    project = made(normed, ["accuracy"])
    ended = project.evaluate()
    assert ended.code == 0, ended.err
    w = project.weights
    x = (project.array("val", "x") - w["norm.running_mean"]) / np.sqrt(w["norm.running_var"] + 1e-5)
    assert ended.metrics == pytest.approx(by_numpy(project, x=x * w["norm.weight"] + w["norm.bias"]), rel=1e-4)


@pytest.mark.whole
def test_half_precision_weights_are_scored(made: Callable[..., Project]) -> None:
    project = made(
        "\nclass Net(Base):\n    pass\n\nplain = trainer\ntrainer = lambda: plain(precision='bf16-true')\n", []
    )
    ended = project.evaluate()
    assert ended.code == 0, ended.err
    assert ended.metrics["loss"] == pytest.approx(by_numpy(project)["loss"], rel=0.02)


def test_weights_that_a_compiler_has_renamed_are_found(made: Callable[..., Project], tmp_path: Path) -> None:
    project = made(PLAIN, ["accuracy"])
    rename = tmp_path / "rename.py"
    rename.write_text(
        "import sys, torch\n"
        "checkpoint = torch.load(sys.argv[1], weights_only=False)\n"
        "weights = checkpoint['state_dict']\n"
        "checkpoint['state_dict'] = {n.replace('head.', 'head._orig_mod.'): v for n, v in weights.items()}\n"
        "torch.save(checkpoint, sys.argv[2])\n"
    )
    renamed = str(tmp_path / "best.ckpt")
    assert project.workshop.run(rename, str(project.checkpoint), renamed, cwd=tmp_path).code == 0
    ended = project.evaluate("--checkpoint", renamed)
    assert ended.code == 0, ended.err
    assert ended.metrics == pytest.approx(by_numpy(project), rel=1e-4)


RANDOM = {
    "in the step": "\nclass Net(Base):\n"
    + step("""x, y = batch
out = self(x + 0.8 * torch.randn_like(x))
self.log("val_loss", F.cross_entropy(out, y))
self.log("val_acc", (out.argmax(1) == y).float().mean())"""),
    "in the data": """
def batch_of(samples):
    x = torch.stack([x for x, _ in samples])
    return x + 0.8 * torch.randn_like(x), torch.stack([y for _, y in samples])

class Net(Base):
    pass
""",
}


@pytest.mark.parametrize("where", RANDOM)
def test_of_a_random_validation_it_is_said_how_far_apart_two_draws_are(
    where: str, made: Callable[..., Project], tmp_path: Path
) -> None:
    project = made(RANDOM[where], ["accuracy"])
    random = np.random.default_rng(0)
    x = project.array("val", "x")
    drawn = [by_numpy(project, x=x + 0.8 * random.normal(size=x.shape)) for _ in range(50)]
    ended = later(project, RANDOM[where], tmp_path, name="later")
    assert ended.code == 0, ended.err
    apart = {one["metric"]: one["apart"] for one in told(ended)["notes"] if one["key"] == "random_range"}
    for metric, width in apart.items():
        values = [one[metric] for one in drawn]
        spread = float(np.std(values))
        assert 3 * spread < width < 15 * spread
        assert sum(abs(ended.metrics[metric] - value) < width for value in values) >= 49
    assert apart.keys() == {"loss", "accuracy"}


def test_a_script_that_asks_an_earlier_fit_for_its_score_is_run_up_to_the_one_that_counts(
    made: Callable[..., Project],
) -> None:
    folds = """
class Net(Base):
    pass

for fold in range(2):
    fitted = trainer()
    fitted.checkpoint_callback.monitor = "val_loss"
    fitted.fit(Net(), loader("train"), loader("train"))
    print("fold", fold, float(fitted.checkpoint_callback.best_model_score))
"""
    project = made(folds, ["accuracy"])
    ended = project.evaluate("--fit", "3")
    assert ended.code == 0, ended.err
    assert ended.score["num_samples"] == 21


def test_a_later_versions_reading_is_the_one_that_gives_its_own_numbers(
    made: Callable[..., Project], tmp_path: Path
) -> None:
    """Its first cross_entropy, which was the first version's loss, judges something else: turned and halved logits."""
    project = made(PLAIN, ["accuracy"])
    other = "\nclass Net(Base):\n" + step("""x, y = batch
out = self(x)
self.log("val_other", F.cross_entropy(out.roll(1, 1) / 2, y))
self.log("val_loss", F.cross_entropy(out, y))
self.log("val_acc", (out.argmax(1) == y).float().mean())""")
    ended = later(project, other, tmp_path, name="later")
    assert ended.code == 0, ended.err
    assert ended.metrics == pytest.approx(by_numpy(project), rel=1e-4)
