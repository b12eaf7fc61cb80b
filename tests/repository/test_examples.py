"""The examples' data are what their make_dataset.py makes, and no training sample leaks into a validation set."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_digits

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NAMES = ["diabetes", "digits", "ocr"]


def module(example: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"make_{example}", EXAMPLES / example / "make_dataset.py")
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def made(example: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The splits, and what stats.json says of them."""
    maker = module(example)
    if example == "digits":
        splits = maker.split_digits()
        return splits, maker.describe(splits)
    if example == "diabetes":
        names, splits = maker.split_rows()
        return splits, maker.describe(names, splits)
    splits, sources = maker.make_splits()
    return splits, maker.describe(splits, sources)


def stored(example: str, split: str) -> dict[str, Any]:
    with np.load(EXAMPLES / example / "dataset" / "prepdata" / "v1" / f"{split}.npz") as arrays:
        return dict(arrays)


@pytest.mark.parametrize("example", NAMES)
def test_the_stored_data_are_made_anew_value_by_value(example: str) -> None:
    splits, stats = made(example)
    assert json.loads((EXAMPLES / example / "dataset/prepdata/v1/stats.json").read_text(encoding="utf-8")) == stats
    for name, arrays in splits.items():
        kept = stored(example, name)
        assert kept.keys() == arrays.keys()
        for key in arrays:
            assert kept[key].dtype == arrays[key].dtype and np.array_equal(kept[key], arrays[key]), f"{name}: {key}"
        assert stats["num_samples"][name] == len(arrays["ids"])


@pytest.mark.parametrize("example", NAMES)
def test_no_id_is_in_both_splits(example: str) -> None:
    train, val = (set(stored(example, name)["ids"].tolist()) for name in ("train", "val"))
    assert train and val and not train & val


def test_rows_of_digits_are_composed_of_disjoint_source_images_that_can_be_found_in_them() -> None:
    splits, sources = module("ocr").make_splits()
    data: Any = load_digits()
    images = data.images
    assert not set(sources["train"].tolist()) & set(sources["val"].tolist())
    assert len(sources["train"]) + len(sources["val"]) == len(images)
    # The leftmost digit of a row covers its eight columns alone, or shares the last with its neighbour.
    for name, other in (("train", "val"), ("val", "train")):
        own, foreign = ({images[row][:, :7].tobytes() for row in sources[split]} for split in (name, other))
        firsts = [first_digit(image) for image in splits[name]["images"][:200]]
        found = [{piece.tobytes() for piece in pieces} for pieces in firsts]
        assert all(pieces & own for pieces in found)
        assert not any(pieces & (foreign - own) for pieces in found)


def first_digit(image: Any) -> list[Any]:
    """Every 8×7 piece of the row that may be its first digit: from one to four columns of margin, at each height."""
    left = int(np.flatnonzero(image.any(axis=0))[0])
    return [
        image[top : top + 8, start : start + 7].astype(float)
        for start in range(max(0, left - 4), left + 1)
        for top in range(image.shape[0] - 7)
    ]


def test_the_diabetes_rows_are_those_of_scikit_learn_in_their_own_units() -> None:
    data: Any = load_diabetes(scaled=False)
    for name in ("train", "val"):
        arrays = stored("diabetes", name)
        assert np.array_equal(arrays["features"], data.data[arrays["ids"]].astype("float32"))
        assert np.array_equal(arrays["targets"], data.target[arrays["ids"]].astype("float32"))
