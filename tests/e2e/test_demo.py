"""`progressive-training demo`: the digits example, trained for real, twice."""

import csv
import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.clusters.digits import digits
from support.e2e import Ran, attempts, cli, environment, pasted, without_the_program
from support.projects import STATE, Folder

pytest.importorskip("lightning")
pytest.importorskip("sklearn")

PROGRESS = re.compile(r"(?:v\d{3}|    )  (?:train|eval|rehearse):")  # of a Step that takes long, on a busy machine


@dataclass(frozen=True)
class Demo:
    folder: Folder
    run: Ran

    @property
    def report(self) -> str:
        (found,) = self.folder.path("Models/Report").iterdir()
        return f"Models/Report/{found.name}"

    def score(self, version: str) -> dict[str, Any]:
        return self.folder.json(f"Models/Artifacts/{version}/eval_score.json")

    def metrics(self, version: str) -> dict[str, float]:
        return {metric["name"]: metric["value"] for metric in self.score(version)["metrics"]}

    def files(self) -> dict[str, bytes]:
        """Everything but the server's own folder."""
        return {name: data for name, data in self.folder.contents().items() if not name.startswith(".")}

    def script(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """A script of the project, run by hand in its folder."""
        return subprocess.run(
            [sys.executable, *arguments], cwd=self.folder.root, capture_output=True, encoding="utf-8", timeout=120
        )


def demonstrate(root: Path) -> Demo:
    run = cli(root.parent, "demo", root.name, "--versions", "2", patience=240)
    assert run.code == 0, run.err
    return Demo(Folder(root), run)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    return demonstrate(tmp_path_factory.mktemp("demo") / "나의 demo's 폴더")


@pytest.mark.requirement("R1", "R5", "S1")
def test_the_demo_ends_with_a_leaderboard_on_which_a_later_version_is_really_better(demo: Demo) -> None:
    table = demo.run.out[demo.run.out.index("Leaderboard") :]
    rows = [line.split("│")[1:4] for line in table.splitlines() if line.startswith("│")]
    assert [(place.strip(), version.strip()) for place, version, _ in rows] == [("1", "v002"), ("2", "v001")]
    assert demo.metrics("v002")["accuracy"] > demo.metrics("v001")["accuracy"]
    assert max(len(line) for line in table.splitlines() if line.startswith("│")) <= 80
    assert f"Best: v002. Report: {demo.folder.root}/{demo.report}/" in demo.run.out
    steps = [line[6:].split()[0] for line in demo.run.err.splitlines() if not PROGRESS.match(line)]
    one = ["run_train", "run_eval", "write_analysis", "write_action"]
    assert steps == ["start_loop", *one, "author_next_version", *one, "final_report"]


@pytest.mark.requirement("T2", "E3", "E4", "A1", "X1", "I4", "N1")
def test_the_demo_leaves_every_file_that_the_loop_promises(demo: Demo) -> None:
    for version in ("v001", "v002"):
        folder = f"Models/Artifacts/{version}"
        left = {path.name for path in demo.folder.path(folder).iterdir()}
        assert left >= {
            *("best.ckpt", "last.ckpt", "spec.json", "additional_assets", "logs", "_tests"),
            *("eval_score.json", "infer_samples", "result-analysis.md", "action-extract.md"),
        }
        assert demo.folder.path(f"{folder}/logs/version_0/metrics.csv").is_file()
        assert demo.folder.path(f"{folder}/logs/version_0/hparams.yaml").is_file()
        assert demo.folder.json(f"{folder}/spec.json")["version"] == version
        score = demo.score(version)
        assert list(score) == ["dataset_id", "created_at", "num_samples", "metrics", "latency_ms"]
        assert score["num_samples"] == demo.folder.json("dataset/prepdata/v1/stats.json")["num_samples"]["val"]
        samples = sorted(demo.folder.path(f"{folder}/infer_samples").iterdir())
        assert [sample.name for sample in samples] == [f"{number:04d}" for number in range(1, 11)]
        for sample in samples:
            assert {"input", "output", "meta"} <= {path.stem for path in sample.iterdir()}
    assert demo.folder.path("Models/Artifacts/baseline/_tests/baseline_patch_report.md").is_file()
    assert {path.name for path in demo.folder.root.glob("0*.py")} == {
        *("02_train_baseline.py", "02_train_v001.py", "02_train_v002.py"),
        *("03_eval.py", "04_final_report.py"),
    }


@pytest.mark.requirement("R1", "R3")
def test_the_report_holds_the_leaderboard_the_analysis_and_the_best_version(demo: Demo) -> None:
    report = demo.folder.path(demo.report)
    with (report / "leaderboard.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    columns = ["version_id", "dataset_id", "created_at", "latency_ms", "artifact_relpath"]
    assert list(rows[0])[:5] == columns and all(name.startswith("metric__") for name in list(rows[0])[5:])
    assert [row["version_id"] for row in rows] == ["v002", "v001"]
    for row in rows:
        checkpoint = demo.folder.path(f"Models/Artifacts/{row['version_id']}/best.ckpt")
        assert (report / row["artifact_relpath"]).read_bytes() == checkpoint.read_bytes()
        assert float(row["metric__accuracy"]) == demo.metrics(row["version_id"])["accuracy"]
    assert rows[0]["artifact_relpath"] == "Artifacts/v002/best.ckpt"
    bundle = {path.name for path in (report / "Artifacts/v002").iterdir()}
    assert bundle == {"best.ckpt", "spec.json", "additional_assets"}
    analysis = (report / "final-analysis.md").read_text(encoding="utf-8")
    assert "v001" in analysis and "v002" in analysis


@pytest.mark.requirement("R1")
def test_the_report_script_makes_the_same_leaderboard_by_hand(demo: Demo) -> None:
    leaderboard = demo.folder.path(f"{demo.report}/leaderboard.csv")
    before = demo.files()
    expected = leaderboard.read_bytes()
    leaderboard.unlink()
    run = demo.script("04_final_report.py")
    assert run.returncode == 0, run.stderr
    assert leaderboard.read_bytes() == expected
    assert demo.files() == before


@pytest.mark.requirement("E1", "E2")
def test_the_evaluation_by_hand_gives_the_published_scores_and_publishes_nothing(demo: Demo) -> None:
    published = demo.files()
    run = demo.script("03_eval.py", "--version", "v001")
    assert run.returncode == 0, run.stderr
    numbers = ", ".join(f"{name} {value:.6g}" for name, value in demo.metrics("v001").items())
    assert run.stdout.startswith(f"v001: 540 samples, {numbers}, latency ")
    left = {name: data for name, data in demo.files().items() if published.get(name) != data}
    by_hand = "Models/Artifacts/v001/_tests/eval_by_hand"
    assert left and all(name.startswith(f"{by_hand}/") for name in left)
    score = json.loads(left[f"{by_hand}/eval_score.json"])
    assert {metric["name"]: metric["value"] for metric in score["metrics"]} == pytest.approx(demo.metrics("v001"))


def test_the_demo_of_a_finished_folder_shows_its_result_and_trains_nothing(demo: Demo) -> None:
    before, tried = demo.folder.contents(), attempts(demo.folder)
    again = cli(demo.folder.root.parent, "demo", demo.folder.root.name)
    assert again.code == 0, again.err
    assert again.out == demo.run.out
    assert (attempts(demo.folder), demo.folder.contents()) == (tried, before)


def test_the_command_that_the_demo_says_works_beside_an_environment_that_is_not_active(
    demo: Demo, tmp_path: Path
) -> None:
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / demo.folder.root.name).symlink_to(demo.folder.root)
    path = without_the_program()
    done = subprocess.run(
        [".venv/bin/python", "-m", "progressive_training.server", "demo", demo.folder.root.name],
        cwd=tmp_path,
        env=environment(PATH=path),
        capture_output=True,
        encoding="utf-8",
    )
    line = done.stdout.splitlines()[-1].strip()
    assert line.startswith(".venv/bin/progressive-training dashboard --project "), done.stdout + done.stderr
    assert pasted(f"{line} --help", tmp_path, PATH=path).out.startswith("usage: progressive-training dashboard")
    assert pasted(line.replace(" dashboard ", " status "), tmp_path, PATH=path).code == 0


def test_another_example_than_the_folders_is_refused(demo: Demo) -> None:
    before = demo.folder.contents()
    run = cli(demo.folder.root.parent, "demo", demo.folder.root.name, "--example", "ocr")
    assert (run.code, run.out) == (1, "")
    assert "holds the example digits, not ocr\nNext: name a new folder: " in run.err
    assert run.err.endswith(" demo DIR --example ocr\n")
    assert demo.folder.contents() == before


def test_another_number_of_versions_than_the_folders_is_answered_with_what_holds(demo: Demo) -> None:
    run = cli(demo.folder.root.parent, "demo", demo.folder.root.name, "--example", "digits", "--versions", "6")
    assert (run.code, run.out) == (0, demo.run.out)
    assert "was begun with 2 versions, which holds: --versions 6 changes nothing there" in run.err
    assert "Next: set loop_config.max_versions in " in run.err and "rules accept --project " in run.err
    same = cli(demo.folder.root.parent, "demo", demo.folder.root.name, "--versions", "2")
    assert (same.out, same.err) == (run.out, "")


def test_a_project_that_is_no_demo_is_left_alone(folder: Folder) -> None:
    assert cli(folder.root, "start").code == 0
    before = folder.contents()
    run = cli(folder.root.parent, "demo", folder.root.name)
    assert (run.code, run.out) == (1, "")
    assert "holds a project that is no demo\nNext: name a new folder: " in run.err
    assert folder.contents() == before


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    run = cli(tmp_path, "demo", ".")
    assert (run.code, run.out) == (1, "")
    assert "is not empty" in run.err and "Next: name a new folder" in run.err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.whole
def test_a_loop_that_starts_cold_gives_the_same_scores_to_the_last_bit(demo: Demo, tmp_path: Path) -> None:
    cold = Demo(Folder(tmp_path / "cold"), demo.run)
    scores = digits(cold.folder.root, 1, {"warm_start": False})
    assert _starts(cold, "v001") == ["cold", "cold"]
    assert "warm" in _starts(demo, "v001")
    assert scores == {"v001": demo.metrics("v001")}
    assert _timeless(cold, "v001") == _timeless(demo, "v001")
    for name in ("logs/version_0/metrics.csv", "action-extract.md"):  # it leads to v002
        assert cold.folder.read(f"Models/Artifacts/v001/{name}") == demo.folder.read(f"Models/Artifacts/v001/{name}")


@pytest.mark.whole
def test_what_started_warm_is_bit_for_bit_what_the_bare_scripts_make(demo: Demo, tmp_path: Path) -> None:
    assert _starts(demo, "v002") == ["warm", "warm"]
    bare = Demo(Folder(tmp_path / "bare"), demo.run)
    without = shutil.ignore_patterns(".progressive-training", "Models")
    shutil.copytree(demo.folder.root, bare.folder.root, ignore=without)
    for script in (["02_train_v002.py"], ["03_eval.py", "--version", "v002"]):
        run = bare.script(*script)
        assert run.returncode == 0, run.stderr
    by_hand = "Models/Artifacts/v002/_tests/eval_by_hand"
    same = {
        "Models/Artifacts/v002/logs/version_0/metrics.csv": "Models/Artifacts/v002/logs/version_0/metrics.csv",
        f"{by_hand}/samples.jsonl": ".progressive-training/scores/v002/samples.jsonl",
    }
    for mine, theirs in same.items():
        assert bare.folder.read(mine) == demo.folder.read(theirs)


def _timeless(demo: Demo, version: str) -> list[Any]:
    """Every sample's scores, and the inference samples without what a clock says."""
    lines = demo.folder.read(f".progressive-training/scores/{version}/samples.jsonl").splitlines()
    outputs = sorted(demo.folder.path(f"Models/Artifacts/{version}/infer_samples").glob("*/output.json"))
    return [[json.loads(line) for line in lines], [path.read_text(encoding="utf-8") for path in outputs]]


def _starts(demo: Demo, version: str) -> list[str]:
    """How the version's training and its evaluation began."""
    receipts = [demo.folder.json(f"{STATE}/receipts/{version}/{step}.json") for step in ("train", "eval")]
    return [receipt["record"]["start"] for receipt in receipts]
