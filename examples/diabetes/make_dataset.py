"""Makes dataset/prepdata/v1 from the diabetes data that scikit-learn carries with it.

442 patients: age, sex, body mass index, mean blood pressure and six blood serum measurements, and how far the disease
had gone a year later, from 25 to 346 (Efron, Hastie, Johnstone & Tibshirani, "Least Angle Regression", 2004). Nothing
is downloaded.

Writes, beside this file:
    dataset/prepdata/v1/train.npz    features float32 (300, 10), targets float32 (300,), ids int64 (300,)
    dataset/prepdata/v1/val.npz      features float32 (142, 10), targets float32 (142,), ids int64 (142,)
    dataset/prepdata/v1/stats.json   counts, task type, each feature's mean and deviation over the training rows

Features are in their own units; an id is the row in scikit-learn's order. Run it with `python make_dataset.py`; it
needs numpy and scikit-learn only, and gives the same arrays on every machine.
"""

import json
from pathlib import Path

import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split

DATASET_ID = "v1"
SEED = 42
VAL_ROWS = 142
ROOT = Path(__file__).resolve().parent
DATA_DIR = ROOT / "dataset" / "prepdata" / DATASET_ID


def split_rows() -> tuple[list[str], dict[str, dict[str, np.ndarray]]]:
    """The features' names, and the arrays of the splits `train` and `val`, each sorted by id."""
    data = load_diabetes(scaled=False)
    ids = np.arange(len(data.target), dtype=np.int64)
    parts = zip(("train", "val"), train_test_split(ids, test_size=VAL_ROWS, random_state=SEED), strict=True)
    features, targets = data.data.astype(np.float32), data.target.astype(np.float32)
    return list(data.feature_names), {
        name: {"features": features[rows], "targets": targets[rows], "ids": rows}
        for name, rows in ((name, np.sort(rows)) for name, rows in parts)
    }


def describe(names: list[str], splits: dict[str, dict[str, np.ndarray]]) -> dict[str, object]:
    """What stats.json says; the figures are of the training rows only."""
    features, targets = splits["train"]["features"], splits["train"]["targets"]
    return {
        "dataset_id": DATASET_ID,
        "task_type": "tabular_regression",
        "num_samples": {name: len(arrays["ids"]) for name, arrays in splits.items()},
        "features": {
            name: {"mean": round(float(column.mean()), 4), "std": round(float(column.std()), 4)}
            for name, column in zip(names, features.T, strict=True)
        },
        "target": {"mean": round(float(targets.mean()), 4), "std": round(float(targets.std()), 4)},
        "files": {name: f"{name}.npz" for name in splits},
        "split": {"method": "random", "seed": SEED},
        "source": "sklearn.datasets.load_diabetes",
    }


def main() -> None:
    names, splits = split_rows()
    DATA_DIR.mkdir(parents=True, exist_ok=True)
    for name, arrays in splits.items():
        np.savez_compressed(DATA_DIR / f"{name}.npz", **arrays)
    stats = json.dumps(describe(names, splits), indent=2) + "\n"
    (DATA_DIR / "stats.json").write_text(stats, encoding="utf-8")
    print(f"{DATA_DIR}: {len(splits['train']['ids'])} training and {len(splits['val']['ids'])} validation rows")


if __name__ == "__main__":
    main()
