"""The other examples, trained for real: rows of digits with an external model beside them, and a regression."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torchmetrics.functional.text import char_error_rate, word_error_rate

from support.e2e import cli
from support.projects import Folder

pytestmark = pytest.mark.whole(shown_by="tests/e2e/test_demo.py")


def demonstrate(root: Path, example: str, versions: int) -> Folder:
    run = cli(root.parent, "demo", root.name, "--example", example, "--versions", str(versions), patience=300)
    assert run.code == 0, run.err
    return Folder(root)


def samples(folder: Folder, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in folder.read(f".progressive-training/scores/{name}/samples.jsonl").splitlines()]


def leaderboard(folder: Folder) -> tuple[Path, list[dict[str, str]]]:
    (report,) = folder.path("Models/Report").iterdir()
    with (report / "leaderboard.csv").open(encoding="utf-8", newline="") as file:
        return report, list(csv.DictReader(file))


@pytest.mark.requirement("R4", "R5", "E1", "E4")
def test_rows_of_digits_are_read_better_from_version_to_version_and_compared_with_an_external_model(
    tmp_path: Path,
) -> None:
    folder = demonstrate(tmp_path / "숫자 줄", "ocr", 2)
    report, rows = leaderboard(folder)
    found = {row["version_id"]: row for row in rows}
    assert list(rows[0])[5:7] in (["metric__cer", "metric__wer"], ["metric__loss", "metric__cer"])
    assert float(found["v002"]["metric__cer"]) < 0.7 * float(found["v001"]["metric__cer"])
    for name, scores in (("v001", "v001"), ("v002", "v002"), ("knn-segments", "external-knn-segments")):
        read, written = ([one[key] for one in samples(folder, scores)] for key in ("prediction", "target"))
        assert len(read) == 400
        assert float(found[name]["metric__cer"]) == pytest.approx(float(char_error_rate(read, written)), rel=1e-5)
        assert float(found[name]["metric__wer"]) == pytest.approx(float(word_error_rate(read, written)), rel=1e-5)
        assert float(found[name]["latency_ms"]) > 0
        assert (report / found[name]["artifact_relpath"]).exists()
    with np.load(folder.path("dataset/prepdata/v1/val.npz")) as arrays:
        texts = ["".join(str(digit) for digit in row if digit >= 0) for row in arrays["labels"]]
    assert [one["target"] for one in samples(folder, "external-knn-segments")] == texts
    analysis = (report / "final-analysis.md").read_text(encoding="utf-8")
    assert "external model knn-segments ranks last" not in analysis
    assert "could have read the data set" not in analysis
    assert "Best version: **v002**" in analysis
    for place in ("v002", "external/knn-segments"):
        shown = sorted(folder.path(f"Models/Artifacts/{place}/infer_samples").iterdir())
        assert len(shown) == 10
        for sample in shown:
            names = {path.name for path in sample.iterdir()}
            assert names == {"input.png", "output.txt", "gt.txt", "viz.png", "viz.txt", "meta.json"}
    assets = {path.name for path in folder.path("Models/Artifacts/v002/additional_assets").iterdir()}
    assert assets == {"vocab.json", "image_processor.json"}
    again = cli(tmp_path, "demo", folder.root.name)
    assert (again.code, again.err) == (0, "") and again.out.startswith("Rows of handwritten digits, read by CTC")


@pytest.mark.requirement("E1", "E3")
def test_a_regression_is_scored_on_real_data(tmp_path: Path) -> None:
    folder = demonstrate(tmp_path / "당뇨", "diabetes", 1)
    _, (row,) = leaderboard(folder)
    predicted, target = (np.array([one[key] for one in samples(folder, "v001")]) for key in ("prediction", "target"))
    assert len(predicted) == 142
    error = predicted - target
    assert float(row["metric__mae"]) == pytest.approx(np.abs(error).mean(), rel=1e-4)
    assert float(row["metric__rmse"]) == pytest.approx(np.sqrt((error**2).mean()), rel=1e-4)
    assert float(row["metric__r2"]) == pytest.approx(
        1 - (error**2).sum() / ((target - target.mean()) ** 2).sum(), rel=1e-4
    )
    assert 0 < float(row["metric__r2"]) < 1
