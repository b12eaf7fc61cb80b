"""The leaderboard: columns, order, and what to make of a score that is not as it should be."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from progressive_training.loop.report.leaderboard import metric_columns, write_leaderboard
from progressive_training.loop.store.tree import Tree
from progressive_training.loop.train.curves import read_curves


def version(root: Path, number: int, *metrics: tuple[str, float, bool], text: str | None = None) -> None:
    """A version with these metrics, or with `text` as its score."""
    name = f"v{number:03d}"
    folder = root / "Models" / "Artifacts" / name
    folder.mkdir(parents=True)
    (folder / "best.ckpt").write_text(name)
    listed = [dict(zip(("name", "value", "higher_is_better"), metric, strict=True)) for metric in metrics]
    score = {"dataset_id": "v1", "created_at": "2026-01-01", "num_samples": 1, "metrics": listed, "latency_ms": 1.5}
    (folder / "eval_score.json").write_text(json.dumps(score) if text is None else text)


def rows(root: Path, primary: str, *numbers: int) -> list[dict[str, str]]:
    report = root / "Models" / "Report" / "2026-01-01_00-00"
    report.mkdir(parents=True, exist_ok=True)
    names = [f"v{number:03d}" for number in numbers]
    write_leaderboard(root, report, report / "leaderboard.csv", primary, names)
    with (report / "leaderboard.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def order(found: list[dict[str, str]]) -> list[str]:
    return [row["version_id"] for row in found]


@pytest.mark.requirement("R3", "R5")
@pytest.mark.parametrize(("higher", "expected"), [(True, ["v003", "v001", "v002"]), (False, ["v002", "v001", "v003"])])
def test_the_direction_is_the_metrics_own(tmp_path: Path, higher: bool, expected: list[str]) -> None:
    for number, value in ((1, 0.5), (2, 0.25), (3, 0.75)):
        version(tmp_path, number, ("x", value, higher))
    assert order(rows(tmp_path, "x", 1, 2, 3)) == expected


@pytest.mark.requirement("R5")
def test_equals_stay_in_version_order_also_above_999(tmp_path: Path) -> None:
    for number in (1000, 2, 999):
        version(tmp_path, number, ("x", 0.5, True))
    assert order(rows(tmp_path, "x", 2, 999, 1000)) == ["v002", "v999", "v1000"]


@pytest.mark.requirement("R2", "R3", "R5")
@pytest.mark.parametrize(
    "text", ["{", "[]", "", '{"metrics": [{"name": "x", "value": NaN, "higher_is_better": true}]}', '{"metrics": [1]}']
)
def test_a_score_that_cannot_be_read_gives_empty_cells_and_the_last_place(tmp_path: Path, text: str) -> None:
    version(tmp_path, 1, text=text)
    version(tmp_path, 2, ("loss", 1.0, False))
    version(tmp_path, 3, ("x", 0.5, True))
    copy = tmp_path / "Models" / "Report" / "2026-01-01_00-00" / "Artifacts" / "v003" / "best.ckpt"
    copy.parent.mkdir(parents=True)
    copy.touch()
    found = rows(tmp_path, "x", 1, 2, 3, 4)
    assert order(found) == ["v003", "v001", "v002", "v004"]
    assert list(found[0]) == [
        *("version_id", "dataset_id", "created_at", "latency_ms", "artifact_relpath", "metric__x", "metric__loss")
    ]
    assert (found[1]["metric__x"], found[1]["created_at"], found[2]["metric__x"]) == ("", "", "")
    assert found[3]["artifact_relpath"] == ""
    assert found[0]["artifact_relpath"] == "Artifacts/v003/best.ckpt"
    assert found[1]["artifact_relpath"] == "../../Artifacts/v001/best.ckpt"


@pytest.mark.requirement("R3")
def test_a_name_that_stands_there_again_gets_a_number() -> None:
    metrics: list[dict[str, Any]] = [{"name": "f1", "value": value} for value in (1, 2, 3)]
    assert metric_columns(metrics) == {"metric__f1": 1, "metric__f1__2": 2, "metric__f1__3": 3}


@pytest.mark.requirement("A1")
def test_curves_come_from_version_0_else_from_the_newest_log_folder(tmp_path: Path) -> None:
    for number, loss in ((2, 0.2), (10, 0.1)):
        folder = tmp_path / "artifacts" / "logs" / f"version_{number}"
        folder.mkdir(parents=True)
        (folder / "metrics.csv").write_text(f"epoch,step,val_loss\n0,1,{loss}\n0,2,\n1,3,0.0")
    tree = Tree(tmp_path)
    curves = read_curves(tree, "artifacts")
    assert curves is not None and curves.val_loss == (0.1, 0.0)
    (tmp_path / "artifacts" / "logs" / "version_0").mkdir()
    assert read_curves(tree, "artifacts") is None
