"""Makes dataset/prepdata/v1 from the handwritten digits that scikit-learn carries with it.

1,797 real 8×8 grey images (pixel values 0..16) of the digits 0..9, written by 13 people: the test half of the UCI
"Optical Recognition of Handwritten Digits" set (Alpaydin & Kaynak, 1998; CC BY 4.0). Nothing is downloaded.

Writes, beside this file:
    dataset/prepdata/v1/train.npz    images uint8 (1257, 8, 8), labels uint8 (1257,), ids int64 (1257,)
    dataset/prepdata/v1/val.npz      images uint8 (540, 8, 8), labels uint8 (540,), ids int64 (540,)
    dataset/prepdata/v1/stats.json   counts, task type, pixel range, how the split was made

An id is the row of the image in scikit-learn's order; no id is in both files. The split keeps each digit's share and is
the same on every machine. The .npz bytes are the same too wherever zlib compresses alike.

Run it with `python make_dataset.py`; it needs numpy and scikit-learn only.
"""

import json
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

DATASET_ID = "v1"
SEED = 42
VAL_FRACTION = 0.3
ROOT = Path(__file__).resolve().parent
DATA_DIR = ROOT / "dataset" / "prepdata" / DATASET_ID


def split_digits() -> dict[str, dict[str, np.ndarray]]:
    """The arrays `images`, `labels` and `ids` of the splits `train` and `val`, each sorted by id."""
    digits = load_digits()
    images = digits.images.astype(np.uint8)
    labels = digits.target.astype(np.uint8)
    ids = np.arange(len(labels), dtype=np.int64)
    train_ids, val_ids = train_test_split(ids, test_size=VAL_FRACTION, random_state=SEED, stratify=labels)
    return {
        name: {"images": images[rows], "labels": labels[rows], "ids": rows}
        for name, rows in (("train", np.sort(train_ids)), ("val", np.sort(val_ids)))
    }


def describe(splits: dict[str, dict[str, np.ndarray]]) -> dict[str, object]:
    """What stats.json says; the pixel figures are of the training images only."""
    pixels = splits["train"]["images"]
    return {
        "dataset_id": DATASET_ID,
        "task_type": "image_classification",
        "num_samples": {name: len(arrays["labels"]) for name, arrays in splits.items()},
        "num_classes": 10,
        "class_names": [str(digit) for digit in range(10)],
        "label_counts": {name: np.bincount(arrays["labels"], minlength=10).tolist() for name, arrays in splits.items()},
        "input": {
            "shape": [8, 8],
            "dtype": "uint8",
            "min": int(pixels.min()),
            "max": int(pixels.max()),
            "mean": round(float(pixels.mean()), 4),
            "std": round(float(pixels.std()), 4),
        },
        "files": {name: f"{name}.npz" for name in splits},
        "split": {"method": "stratified by label", "seed": SEED, "val_fraction": VAL_FRACTION},
        "source": "sklearn.datasets.load_digits",
    }


def main() -> None:
    splits = split_digits()
    DATA_DIR.mkdir(parents=True, exist_ok=True)
    for name, arrays in splits.items():
        np.savez_compressed(DATA_DIR / f"{name}.npz", **arrays)
    stats = json.dumps(describe(splits), indent=2) + "\n"
    (DATA_DIR / "stats.json").write_text(stats, encoding="utf-8")
    print(f"{DATA_DIR}: {len(splits['train']['labels'])} training and {len(splits['val']['labels'])} validation images")


if __name__ == "__main__":
    main()
