"""Samples as files that one can look at. Pictures are read by matplotlib, which hasn't written them."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.image
import numpy as np
import pytest
import torch

from progressive_training.loop.evaluate.evaluator_parts.canvas import PREDICTED, TRUE
from progressive_training.loop.evaluate.evaluator_parts.formulas import FAMILIES
from progressive_training.loop.evaluate.evaluator_parts.pictures import draw

ORANGE, BLUE = np.array(PREDICTED), np.array(TRUE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "표본 samples" / "0001"
    found.mkdir(parents=True)
    return found


def picture(path: Path) -> Any:
    """8-bit (H, W, 3)."""
    read = matplotlib.image.imread(path)
    return (np.repeat(read[:, :, None], 3, 2) if read.ndim == 2 else read[:, :, :3]) * 255


def said(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text(encoding="utf-8"))


def has(image: Any, colour: Any) -> bool:
    return bool((np.abs(image - colour) < 1.5).all(2).any())


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_class_has_its_probabilities_and_a_picture_of_what_looks_like_one(folder: Path) -> None:
    image = np.arange(64, dtype="float32").reshape(1, 8, 8)
    draw(folder, "classification", torch.from_numpy(image), torch.tensor([0.2, 0.8]), torch.tensor(1))
    assert names(folder) == ["gt.json", "input.npy", "output.json", "viz.png"]
    assert said(folder, "output.json") == {"prediction": 1, "probabilities": pytest.approx([0.2, 0.8])}
    assert said(folder, "gt.json") == {"target": 1}
    assert np.array_equal(np.load(folder / "input.npy"), image)
    drawn = picture(folder / "viz.png")
    assert drawn.shape == (128, 128, 3) and np.allclose(drawn[::16, ::16, 0], image[0] * 255 / 63, atol=1)


def test_a_row_of_features_is_an_array_and_a_text_is_a_text(folder: Path) -> None:
    draw(folder, FAMILIES["regression"], np.ones(5, dtype="float32"), torch.tensor([0.5]), torch.tensor([1.5]))
    assert names(folder) == ["gt.json", "input.npy", "output.json"]
    assert said(folder, "output.json") == {"prediction": 0.5, "values": [0.5]} and said(folder, "gt.json") == {
        "target": 1.5
    }
    draw(folder, "multilabel", "한글 글", torch.tensor([0.9, 0.2, 0.7]), torch.tensor([1, 1, 0]))
    assert (folder / "input.txt").read_text(encoding="utf-8") == "한글 글"
    assert said(folder, "output.json")["prediction"] == [0, 2] and said(folder, "gt.json") == {"target": [0, 1]}


def test_several_inputs_are_written_as_what_they_hold(folder: Path) -> None:
    draw(folder, "classification", {"ids": torch.tensor([1, 2]), "text": "가"}, torch.tensor([1.0, 0]), torch.tensor(0))
    assert said(folder, "input.json") == {"ids": [1, 2], "text": "가"}


def test_masks_lie_over_the_picture_and_each_alone(folder: Path) -> None:
    target = np.zeros((16, 20), dtype=int)
    target[2:6, 2:6], target[0, 0] = 1, -100
    output = np.zeros((16, 20), dtype="uint8")
    output[2:6, 3:7] = 2
    draw(folder, "segmentation", np.random.default_rng(0).random((3, 16, 20)).astype("float32"), output, target)
    assert names(folder) == ["gt.json", "gt.png", "input.npy", "output.json", "output.png", "viz.png"]
    alone = picture(folder / "output.png")
    assert alone.shape == (16, 20, 3) and alone[3, 4].any() and not alone[0].any()
    assert said(folder, "gt.json") == {"target": {"size": [16, 20], "pixels": {"-1": 1, "0": 303, "1": 16}}}
    view = picture(folder / "viz.png")
    assert view.shape == (16 * 12, 3 * 20 * 12 + 2 * 4, 3)
    parts = [view[:, start : start + 240] for start in (0, 244, 488)]
    assert np.array_equal(parts[0][-12:], parts[1][-12:]) and not np.array_equal(parts[0], parts[1])
    assert not np.array_equal(parts[1], parts[2])


def test_masks_without_a_picture_are_side_by_side(folder: Path) -> None:
    draw(folder, "segmentation", {"volume": np.ones(3)}, np.eye(9, dtype="uint8"), np.eye(9, dtype=int))
    assert picture(folder / "viz.png").shape == (9 * 28, 2 * 9 * 28 + 4, 3)


class Boxes(NamedTuple):
    corners: Any
    labels: Any
    scores: Any


@pytest.mark.parametrize("image", [np.zeros((3, 40, 50), dtype="float32"), None])
def test_boxes_are_drawn_where_they_are(folder: Path, image: Any) -> None:
    target = Boxes(np.array([[10.0, 10, 20, 30]]), np.array([1]), np.ones(1))
    output = Boxes(
        np.array([[22.0, 12, 49, 39], [-90, -90, 900, 900], [1, 1, 4, 4]]), np.ones(3), np.array([0.9, 0.6, 0.1])
    )
    draw(folder, "detection", image, output, target)
    view = picture(folder / "viz.png")
    scale = 7 if image is not None else 1
    if image is not None:
        assert view.shape == (280, 350, 3)
        assert has(view[12 * scale : 12 * scale + 2, 25 * scale : 30 * scale], ORANGE)
        assert not has(view[: 5 * scale, : 5 * scale], ORANGE)
    assert has(view, BLUE) and has(view, ORANGE)
    assert said(folder, "output.json")["prediction"][0] == {"box": [22, 12, 49, 39], "label": 1, "score": 0.9}


def test_a_picture_without_boxes_is_drawn_and_nothing_at_all_is_told(folder: Path) -> None:
    none = Boxes(np.zeros((0, 4)), np.zeros(0), np.zeros(0))
    draw(folder, "detection", None, none, none)
    assert names(folder) == ["gt.json", "input.json", "output.json"]
    draw(folder, "detection", np.zeros((3, 40, 50)), none, none)
    assert (folder / "viz.png").exists()


@pytest.mark.parametrize("steps", [1, 24])
def test_a_forecast_is_a_curve_behind_its_past(folder: Path, steps: int) -> None:
    target = torch.linspace(0, 1, steps)[:, None]
    draw(folder, "forecasting", torch.linspace(-1, 0, 48)[:, None], target + 0.3, target)
    view = picture(folder / "viz.png")
    assert has(view, ORANGE) and has(view, BLUE) and has(view, np.array([150, 150, 150]))
    rows = [np.flatnonzero((np.abs(view - colour) < 1.5).all(2).any(1)) for colour in (ORANGE, BLUE)]
    assert rows[0].min() < rows[1].min(), "what is larger lies higher"
    assert np.size(said(folder, "output.json")["prediction"]) == steps


def test_a_forecast_that_is_no_number_is_drawn_without_it(folder: Path) -> None:
    draw(
        folder, "forecasting", torch.zeros(8), torch.tensor([[1.0], [torch.nan], [2]]), torch.tensor([[1.0], [1], [2]])
    )
    assert said(folder, "output.json") == {"prediction": [1, None, 2]}
    draw(folder, "forecasting", torch.zeros(0), torch.full((2, 1), torch.nan), torch.full((2, 1), torch.nan))
    assert picture(folder / "viz.png").min() == 255


def test_texts_lie_below_each_other_with_marks_where_they_differ(folder: Path) -> None:
    draw(
        folder,
        "sequence",
        np.random.default_rng(0).random((1, 8, 40)).astype("float32"),
        "가나x라",
        "가다라",
        np.eye(4, 3),
    )
    assert names(folder) == ["gt.txt", "input.png", "output.txt", "viz.png", "viz.txt"]
    assert (folder / "output.txt").read_text(encoding="utf-8") == "가나x라\n"
    assert (folder / "viz.txt").read_text(encoding="utf-8") == "가다 라\n가나x라\n  ^^^\n"
    assert picture(folder / "viz.png").shape[0] > picture(folder / "input.png").shape[0] * 9, (
        "frames lie below the image"
    )
    draw(folder, "generation", "source text", "a b", ["a b", "a c"])
    assert (folder / "gt.txt").read_text(encoding="utf-8") == "a b\na c\n"
    assert (folder / "input.txt").read_text(encoding="utf-8") == "source text"


def test_every_family_can_be_drawn_from_what_its_formulas_take(folder: Path) -> None:
    """What `shaped` and `predicted` give is what `draw` takes, and what it writes is JSON that anybody reads."""
    tokens = torch.randn(2, 5, 4), torch.tensor([[0, 1, 2, 3, -100]] * 2)
    boxes = {"boxes": [[0, 0, 9, 9.0]], "labels": [1], "scores": [0.5]}
    given: dict[str, tuple[Any, Any]] = {
        "classification": (torch.randn(2, 3), torch.tensor([0, 2])),
        "multilabel": (torch.randn(2, 3), torch.ones(2, 3)),
        "tokens": tokens,
        "regression": (torch.randn(2, 3), torch.randn(2, 3)),
        "forecasting": (torch.randn(2, 6, 2), torch.randn(2, 6, 2)),
        "segmentation": (torch.randn(2, 3, 8, 8), torch.ones(2, 8, 8)),
        "sequence": (["a", "b"], ["a", "c"]),
        "generation": (["a", "b"], ["a", ["c", "d"]]),
        "language_model": tokens,
        "retrieval": (torch.randn(2, 3), torch.tensor([0, 2])),
        "detection": ([boxes, boxes], [boxes, boxes]),
    }
    assert set(given) == set(FAMILIES)
    for name, pair in given.items():
        output, target = FAMILIES[name].shaped(*pair)
        predicted = FAMILIES[name].predicted(output)
        place = folder / name
        place.mkdir()
        draw(place, FAMILIES[name], torch.randn(3, 16, 16), predicted[1], target[1])
        json.dumps(FAMILIES[name].answer(predicted[1]), allow_nan=False)
        for path in place.glob("*.json"):
            assert "NaN" not in path.read_text(encoding="utf-8")
        assert {path.stem for path in place.iterdir()} >= {"input", "output", "gt"} - (
            {"input"} if "viz" in name else set()
        )
