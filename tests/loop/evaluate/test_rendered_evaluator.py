"""03_eval.py on training scripts that have little in common. Expected numbers come from numpy and scikit-learn."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluator_runs import CLASSIFICATION, Ended, Project, Workshop, render, train
from sklearn import metrics as sk

from progressive_training.loop.evaluate.evaluation import SCRIPT_AT_FAULT


def softmax(logits: Any) -> Any:
    exponents = np.exp(logits - logits.max(1, keepdims=True))
    return exponents / exponents.sum(1, keepdims=True)


def hashes(folder: Path) -> dict[str, bytes]:
    """Every file that has to be the same in a second run."""
    files = [folder / "samples.jsonl", *sorted((folder / "infer_samples").rglob("*.*"))]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files if path.is_file()}


@pytest.fixture(scope="session")
def plain_result(plain: Project) -> Ended:
    before = plain.fingerprint()
    ended = plain.evaluate()
    assert ended.code == 0, ended.err
    assert plain.fingerprint() == before, "the evaluation changed the project"
    return ended


@pytest.fixture(scope="session")
def packaged_result(packaged: Project) -> Ended:
    before = packaged.fingerprint()
    ended = packaged.evaluate()
    assert ended.code == 0, ended.err
    assert packaged.fingerprint() == before, "the evaluation changed the project"
    return ended


def test_scores_of_a_plain_script_are_those_of_its_best_weights_on_every_validation_sample(
    plain: Project, plain_result: Ended
) -> None:
    x, y = plain.array("val", "x"), plain.array("val", "y")
    p = softmax(x @ plain.weights["head.weight"].T + plain.weights["head.bias"])
    losses = -np.log(p[np.arange(21), y])
    # The loader drops samples and shuffles; batches of 8, 8 and 5 of the whole set give the sample-weighted mean.
    assert plain_result.metrics["loss"] == pytest.approx(losses.mean(), rel=1e-4)
    assert plain_result.metrics["accuracy"] == pytest.approx((p.argmax(1) == y).mean())
    assert plain_result.metrics["sharpness_error"] == pytest.approx(p.max(1).mean(), rel=1e-4)
    assert [sample["scores"]["loss"] for sample in plain_result.samples] == pytest.approx(losses.tolist(), rel=1e-3)
    assert [sample["prediction"] for sample in plain_result.samples] == p.argmax(1).tolist()
    assert [sample["target"] for sample in plain_result.samples] == y.tolist()


def test_eval_score_json_has_the_agreed_keys_and_nothing_else(plain_result: Ended) -> None:
    score = plain_result.score
    assert list(score) == ["dataset_id", "created_at", "num_samples", "metrics", "latency_ms"]
    assert (score["dataset_id"], score["num_samples"]) == ("v1", 21)
    assert score["created_at"].endswith("+00:00")
    assert 0 < score["latency_ms"] < 10_000
    assert score["metrics"][0]["name"] == "loss"
    directions = {metric["name"]: metric["higher_is_better"] for metric in score["metrics"]}
    assert directions == {"loss": False, "sharpness_error": False, "accuracy": True}


def test_samples_have_unique_ids_and_scores_whose_mean_is_the_metric(plain_result: Ended) -> None:
    samples = plain_result.samples
    assert len({sample["id"] for sample in samples}) == len(samples) == 21
    assert {type(sample["id"]) for sample in samples} == {str}
    for name in ("loss", "accuracy"):
        mean = sum(sample["scores"][name] for sample in samples) / 21
        assert mean == pytest.approx(plain_result.metrics[name], rel=1e-4)
    assert {sample["scores"]["accuracy"] for sample in samples} <= {0, 1}
    assert "sharpness_error" not in samples[0]["scores"]


def test_a_second_run_gives_the_same_bytes_apart_from_time(plain: Project, plain_result: Ended) -> None:
    again = plain.evaluate()
    assert hashes(again.folder) == hashes(plain_result.folder)
    timed = {"created_at", "latency_ms"}
    first, second = ({k: v for k, v in run.score.items() if k not in timed} for run in (plain_result, again))
    assert first == second


def test_infer_samples_show_what_went_in_and_what_came_out(plain: Project, plain_result: Ended) -> None:
    folders = sorted((plain_result.folder / "infer_samples").iterdir())
    assert [folder.name for folder in folders] == [f"{number:04d}" for number in range(1, 11)]
    for folder in folders:
        meta, output, truth = (json.loads((folder / f"{name}.json").read_text()) for name in ("meta", "output", "gt"))
        index = meta["index"]
        assert np.array_equal(np.load(folder / "input.npy"), plain.array("val", "x")[index])
        assert output["prediction"] == plain_result.samples[index]["prediction"]
        assert sum(output["probabilities"]) == pytest.approx(1)
        assert truth == {"target": plain_result.samples[index]["target"]}
        assert meta["sample_id"] == plain_result.samples[index]["id"]
        assert meta["scores"] == plain_result.samples[index]["scores"]
        assert (meta["version"], meta["seed"], meta["dataset_id"]) == ("v001", 42, "v1")
        assert (meta["checkpoint"], meta["task_type"]) == ("best.ckpt", "classification")
        assert (folder / "viz.png").read_bytes().startswith(b"\x89PNG")


def test_another_seed_draws_other_samples_and_the_count_is_kept(plain: Project, plain_result: Ended) -> None:
    other = plain.evaluate("--seed", "7", "--samples", "3")
    drawn = [json.loads(path.read_text())["index"] for path in sorted(other.folder.glob("infer_samples/*/meta.json"))]
    before = [
        json.loads(path.read_text())["index"] for path in sorted(plain_result.folder.glob("infer_samples/*/meta.json"))
    ]
    assert len(drawn) == 3
    assert drawn != before[:3]
    assert other.metrics == plain_result.metrics


@pytest.mark.parametrize("name", ["plain", "packaged", "curves", "binary"])
def test_shuffled_weights_move_the_score(name: str, request: pytest.FixtureRequest) -> None:
    project: Project = request.getfixturevalue(name)
    evaluator = render("regression" if name == "curves" else "classification")
    straight, shuffled = (
        project.evaluate(evaluator=evaluator),
        project.evaluate("--shuffle-weights", evaluator=evaluator),
    )
    assert shuffled.code == 0, shuffled.err
    assert abs(shuffled.metrics["loss"] - straight.metrics["loss"]) > 0.01


def test_a_packaged_script_is_scored_through_its_datamodule_and_local_modules(
    packaged: Project, packaged_result: Ended
) -> None:
    ids = [int(sample["id"]) for sample in packaged_result.samples]
    x, y, w = packaged.array("all", "x")[ids], packaged.array("all", "y")[ids], packaged.weights
    hidden = np.maximum(x @ w["stack.inner.weight"].T + w["stack.inner.bias"], 0)
    p = softmax(hidden @ w["stack.outer.weight"].T + w["stack.outer.bias"])
    predicted = p.argmax(1)
    expected = {
        "loss": sk.log_loss(y, p),
        "accuracy": sk.accuracy_score(y, predicted),
        "balanced_accuracy": sk.balanced_accuracy_score(y, predicted),
        "top5_accuracy": 1.0,
        "f1": sk.f1_score(y, predicted, average="macro"),
        "f1_micro": sk.f1_score(y, predicted, average="micro"),
        "precision": sk.precision_score(y, predicted, average="macro"),
        "recall": sk.recall_score(y, predicted, average="macro"),
        "auroc": sk.roc_auc_score(y, p, multi_class="ovr"),
        "mcc": sk.matthews_corrcoef(y, predicted),
    }
    assert len(set(ids)) == 30
    assert packaged_result.metrics == pytest.approx(expected, rel=1e-4)
    assert list(packaged_result.metrics) == ["loss", *CLASSIFICATION]


def test_an_own_loss_is_taken_from_the_model_one_sample_at_a_time(curves: Project) -> None:
    ended = curves.evaluate()
    assert ended.code == 0, ended.err
    x, y = curves.array("val", "x"), curves.array("val", "y")
    predicted = x @ curves.weights["line.weight"].T + curves.weights["line.bias"]
    error = np.abs(predicted - y)
    losses = (np.where(error < 0.3, error**2 / 2, 0.3 * (error - 0.15)) * [1, 3]).sum(1)
    both = [spearman(predicted[:, k], y[:, k]) for k in (0, 1)]
    expected = {
        "loss": losses.mean(),
        "mae": error.mean(),
        "mse": sk.mean_squared_error(y, predicted),
        "rmse": math.sqrt(sk.mean_squared_error(y, predicted)),
        "r2": sk.r2_score(y, predicted),
        "mape": sk.mean_absolute_percentage_error(y, predicted),
        "smape": (2 * error / (np.abs(y) + np.abs(predicted))).mean(),
        "spearman": sum(both) / 2,
        "pearson": sum(np.corrcoef(predicted[:, k], y[:, k])[0, 1] for k in (0, 1)) / 2,
        "explained_variance": sk.explained_variance_score(y, predicted),
    }
    assert ended.metrics == pytest.approx(expected, rel=1e-3)
    assert [sample["scores"]["loss"] for sample in ended.samples] == pytest.approx(losses.tolist(), rel=1e-4)
    for name in ("mae", "mse", "mape", "smape"):
        assert np.mean([sample["scores"][name] for sample in ended.samples]) == pytest.approx(expected[name], rel=1e-3)
    assert set(ended.samples[0]["scores"]) == {"loss", "mae", "mse", "mape", "smape"}


def spearman(a: Any, b: Any) -> float:
    return float(np.corrcoef(a.argsort().argsort(), b.argsort().argsort())[0, 1])


def test_one_logit_and_a_split_by_sampler_are_scored_on_exactly_that_split(binary: Project) -> None:
    ended = binary.evaluate()
    assert ended.code == 0, ended.err
    x, y = binary.array("all", "x")[50:], binary.array("all", "y")[50:]
    positive = 1 / (1 + np.exp(-(x @ binary.weights["score.weight"].T + binary.weights["score.bias"])[:, 0]))
    assert [int(sample["id"]) for sample in ended.samples] == list(range(50, 80))
    assert ended.metrics["loss"] == pytest.approx(sk.log_loss(y, positive), rel=1e-4)
    assert ended.metrics["accuracy"] == pytest.approx(sk.accuracy_score(y, positive > 0.5))
    assert ended.metrics["auroc"] == pytest.approx(sk.roc_auc_score(y, positive), rel=1e-4)
    assert ended.metrics["mcc"] == pytest.approx(sk.matthews_corrcoef(y, positive > 0.5), rel=1e-4)


def test_text_is_written_as_text_and_a_returned_weighted_loss_is_the_models_own(
    workshop: Workshop, tmp_path: Path
) -> None:
    project = train(workshop, tmp_path / "글", {"02_train_v001.py": "text.py"}, {}, render(metrics=["accuracy"]))
    ended = project.evaluate()
    assert ended.code == 0, ended.err
    assert ended.score["num_samples"] == 24
    texts = {path.read_text(encoding="utf-8") for path in ended.folder.glob("infer_samples/*/input.txt")}
    assert texts <= {"good day", "bad day", "very good", "so bad", "좋은 good", "bad bad"}
    assert len(texts) > 1
    # Class weights 1 and 3 normalise within each batch of 5, and vanish for a sample on its own.
    pairs = [(sample["scores"]["loss"], [1, 3][sample["target"]]) for sample in ended.samples]
    batches = [pairs[first : first + 5] for first in range(0, 24, 5)]
    means = [sum(loss * weight for loss, weight in batch) / sum(weight for _, weight in batch) for batch in batches]
    loss = np.average(means, weights=[len(batch) for batch in batches])
    assert ended.metrics["loss"] == pytest.approx(loss, rel=1e-4)


def test_a_stream_without_forward_is_scored_and_updated_torchmetrics_objects_count(
    workshop: Workshop, tmp_path: Path
) -> None:
    evaluator = render(metrics=["hits", "accuracy"])
    ended = train(workshop, tmp_path / "stream", {"02_train_v001.py": "stream.py"}, {}, evaluator).evaluate()
    assert ended.code == 0, ended.err
    assert ended.score["num_samples"] == len({sample["id"] for sample in ended.samples}) == 23
    assert [sample["target"] for sample in ended.samples] == [index % 3 for index in range(23)]
    assert ended.metrics["hits"] == pytest.approx(ended.metrics["accuracy"])
    assert np.mean([s["scores"]["loss"] for s in ended.samples]) == pytest.approx(ended.metrics["loss"], rel=1e-3)
    assert np.load(ended.folder / "infer_samples" / "0001" / "input.npy").shape == (1, 8, 8)
    assert len(list(ended.folder.glob("infer_samples/*/viz.png"))) == 10


@pytest.mark.skipif(sys.platform != "linux", reason="memory is shared on Linux")
def test_validation_data_that_no_process_could_keep_pass_through_in_bounded_blocks(
    workshop: Workshop, tmp_path: Path
) -> None:
    root = tmp_path / "wide"
    root.mkdir()
    (root / "user_defined_rules.json").write_text('{"samples": 4}')
    project = train(workshop, root, {"02_train_v001.py": "wide.py"}, {}, render(metrics=["accuracy"]))
    little = project.evaluate()
    (root / "user_defined_rules.json").write_text('{"samples": 40}')
    much = project.evaluate()
    assert (little.code, much.code) == (0, 0), much.err
    assert [one.score["num_samples"] for one in (little, much)] == [4, 40]
    # 640 MiB of inputs, of which the samples to look at, 160 MiB, and the batches that a reading is tried on are kept.
    assert much.peak - little.peak < 400 << 20


def test_a_model_made_in_setup_and_a_metric_of_the_epochs_end_are_found(workshop: Workshop, tmp_path: Path) -> None:
    evaluator = render("regression", ["worst_error", "mse"])
    ended = train(workshop, tmp_path / "late", {"02_train_v001.py": "late.py"}, {}, evaluator).evaluate()
    assert ended.code == 0, ended.err
    errors = [(sample["prediction"] - sample["target"]) ** 2 for sample in ended.samples]
    worst = max(np.mean(errors[first : first + 8]) for first in range(0, 30, 8))
    assert ended.metrics["worst_error"] == pytest.approx(worst, rel=1e-4)
    assert ended.metrics["loss"] == pytest.approx(ended.metrics["mse"], rel=1e-4)
    assert not next(m for m in ended.score["metrics"] if m["name"] == "worst_error")["higher_is_better"]


def test_a_fresh_isolated_interpreter_needs_no_second_lightning(
    plain: Project, plain_result: Ended, tmp_path: Path
) -> None:
    stage = plain_result.folder / "stage"
    command = [sys.executable, "-I", str(plain.root / "03_eval.py"), *plain.options(stage, tmp_path)]
    ended = subprocess.run(command, cwd=stage, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "lightning imported: False" in ended.stdout
    assert hashes(tmp_path) == hashes(plain_result.folder)


def test_by_hand_it_stages_itself_and_never_touches_the_published_score(
    packaged: Project, packaged_result: Ended, tmp_path: Path
) -> None:
    artifacts = packaged.checkpoint.parent
    published = artifacts / "eval_score.json"
    published.write_text("published")
    (packaged.root / "tables.py").write_text("raise RuntimeError('newer than the snapshot')")
    command = [sys.executable, str(packaged.root / "03_eval.py"), "--version", "v001"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    score = json.loads((artifacts / "_tests" / "eval_by_hand" / "eval_score.json").read_text())
    assert score["metrics"] == packaged_result.score["metrics"]
    assert published.read_text() == "published"
    assert not list(tmp_path.glob("eval-*")), "the temporary stage was left behind"


def test_by_hand_without_a_snapshot_the_projects_own_code_is_used(binary: Project) -> None:
    kept = binary.snapshot.rename(binary.snapshot.with_name("elsewhere"))
    folder = binary.workshop.folder()
    ended = binary.workshop.run(
        binary.root / "03_eval.py", "--version", "v001", "--out", str(folder), cwd=binary.root, folder=folder
    )
    kept.rename(binary.snapshot)
    assert ended.code == 0, ended.err
    assert ended.score["num_samples"] == 30


NEVER_FITS = "print('just thinking')\n"
RAISES = "def prepare():\n    raise KeyError('column')\nprepare()\n"


def test_a_script_that_never_fits_is_told_how_to_go_on(plain: Project, tmp_path: Path) -> None:
    ended = plain.evaluate(snapshot=plain.with_script(NEVER_FITS, tmp_path))
    assert ended.code == SCRIPT_AT_FAULT
    assert ended.last_line.startswith("03_eval.py: error: 02_train_v001.py ended without calling Trainer.fit")
    assert "write_eval" in ended.last_line
    assert not (ended.folder / "eval_score.json").exists()


def test_a_script_that_fails_before_fit_is_quoted(plain: Project, tmp_path: Path) -> None:
    ended = plain.evaluate(snapshot=plain.with_script(RAISES, tmp_path))
    assert ended.code == SCRIPT_AT_FAULT
    assert "02_train_v001.py raised KeyError: 'column' before it reached Trainer.fit" in ended.last_line
    assert "in prepare" in ended.err


def test_a_bare_except_around_fit_hides_nothing(plain: Project, plain_result: Ended, tmp_path: Path) -> None:
    head, tail = plain.script.split("trainer.fit(")
    call = "trainer.fit(" + tail.split("(OUT /")[0].replace("\n", "\n    ")
    text = head + "try:\n    " + call.rstrip() + "\nexcept:\n    raise RuntimeError('gave up')\n"
    ended = plain.evaluate(snapshot=plain.with_script(text, tmp_path))
    assert ended.code == 0, ended.err
    assert ended.metrics == plain_result.metrics


@pytest.mark.parametrize(
    ("change", "named"),
    [("nn.Linear(64, 5)", "size mismatch for head.weight"), ("nn.Linear(64, 4); self.new = nn.ReLU6()", None),
     ("nn.Linear(64, 4); self.new = nn.Linear(1, 1)", "new.weight")],
)  # fmt: skip
def test_a_checkpoint_of_another_model_is_refused(
    change: str, named: str | None, plain: Project, tmp_path: Path
) -> None:
    text = plain.script.replace("nn.Linear(64, 4)", change)
    ended = plain.evaluate(snapshot=plain.with_script(text, tmp_path))
    if named is None:  # a layer without weights fits
        assert ended.code == 0, ended.err
        return
    assert ended.code == SCRIPT_AT_FAULT
    assert "best.ckpt doesn't fit the model that 02_train_v001.py builds" in ended.last_line
    assert named in ended.last_line


def test_random_numbers_in_validation_do_not_depend_on_what_the_script_drew_before(
    curves: Project, tmp_path: Path
) -> None:
    noisy = curves.script.replace("return self.line(x)", "return self.line(x) + torch.rand(1)")
    drawn = noisy.replace("    L.Trainer(", "    torch.rand(1000)\n    L.Trainer(")
    assert drawn != noisy != curves.script
    folders = [tmp_path / "noisy", tmp_path / "drawn"]
    for folder in folders:
        folder.mkdir()
    runs = [curves.evaluate(snapshot=curves.with_script(t, f)) for t, f in zip((noisy, drawn), folders, strict=True)]
    assert runs[0].metrics == runs[1].metrics


def test_a_checkpoint_that_holds_a_foreign_object_is_refused_by_name(plain: Project, tmp_path: Path) -> None:
    maker = tmp_path / "make.py"
    maker.write_text(
        "import sys, torch, fractions\n"
        "checkpoint = torch.load(sys.argv[1], weights_only=False)\n"
        "checkpoint['hyper_parameters'] = {'rate': fractions.Fraction(1, 3)}\n"
        "torch.save(checkpoint, sys.argv[2])\n"
    )
    made = plain.workshop.run(maker, str(plain.checkpoint), str(tmp_path / "best.ckpt"), cwd=tmp_path)
    assert made.code == 0, made.err
    ended = plain.evaluate("--checkpoint", str(tmp_path / "best.ckpt"))
    assert ended.code == SCRIPT_AT_FAULT
    assert "best.ckpt holds fractions.Fraction" in ended.last_line


def test_what_stands_in_sys_modules_and_is_no_module_is_passed_over(
    plain: Project, plain_result: Ended, tmp_path: Path
) -> None:
    odd = (
        "import sys\n"
        "class Lazy:\n"
        "    def __getattr__(self, name):\n"
        "        raise RuntimeError(f'{name} of what is no module was asked for')\n"
        "sys.modules['lazy_package'] = Lazy()\n"
        "sys.modules['nothing'] = None\n"
    )
    before, after = plain.script.split("import numpy as np\n")
    ended = plain.evaluate(snapshot=plain.with_script(f"{before}{odd}import numpy as np\n{after}", tmp_path))
    assert ended.code == 0, ended.err
    assert ended.metrics == plain_result.metrics


def test_a_missing_checkpoint_is_named(plain: Project, tmp_path: Path) -> None:
    ended = plain.evaluate("--checkpoint", str(tmp_path / "none.ckpt"))
    assert ended.code == 1
    assert f"{tmp_path}/none.ckpt is missing" in ended.last_line


def test_an_unknown_metric_is_answered_with_the_closest_known_names(plain: Project) -> None:
    ended = plain.evaluate(evaluator=render(metrics=["acuracy"]))
    assert ended.code == 1
    assert "metric 'acuracy' is neither known for classification" in ended.last_line
    assert "Closest: accuracy" in ended.last_line


def test_a_score_that_is_not_finite_is_an_error(curves: Project, tmp_path: Path) -> None:
    text = curves.script.replace("return self.line(x)", "return self.line(x) * 0")
    ended = curves.evaluate(evaluator=render("regression", ["pearson"]), snapshot=curves.with_script(text, tmp_path))
    assert ended.code == 1
    assert "pearson isn't finite: nan" in ended.last_line
    assert not (ended.folder / "eval_score.json").exists()


def test_an_error_inside_the_users_validation_step_ends_in_one_line(curves: Project, tmp_path: Path) -> None:
    text = curves.script.replace('self.log("penalty", loss)', "raise ZeroDivisionError('of mine')")
    ended = curves.evaluate(snapshot=curves.with_script(text, tmp_path))
    assert ended.code == SCRIPT_AT_FAULT
    assert ended.last_line.startswith("03_eval.py: error: ZeroDivisionError: of mine (02_train_v001.py, line ")
    assert "Traceback" in ended.err


def test_a_task_that_it_does_not_know_is_refused(plain: Project) -> None:
    ended = plain.evaluate(evaluator=render("speech synthesis"))
    assert ended.code == 1
    assert "task_type 'speech synthesis' is none that can be scored here" in ended.last_line


def test_the_rendered_file_is_clean_for_ruff_and_for_old_pythons(tmp_path: Path) -> None:
    for task in ("classification", "regression", "sequence"):
        file = tmp_path / f"{task}.py"
        file.write_text(render(task, ['it\'s "quoted" \\'], primary=None), encoding="utf-8")
        compile(file.read_text(encoding="utf-8"), str(file), "exec")
        command = [sys.executable, "-m", "ruff", "check", "--isolated", "--target-version", "py39", str(file)]
        checked = subprocess.run(command, capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stdout
