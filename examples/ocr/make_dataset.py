"""Makes dataset/prepdata/v1: strings of three to six handwritten digits, from the images that scikit-learn carries.

Each string is a row of real 8×8 digits (load_digits: grey values 0..16, written by 13 people, the test half of the UCI
"Optical Recognition of Handwritten Digits" set; Alpaydin & Kaynak, 1998; CC BY 4.0) on a canvas of 12×64, at random
heights, with gaps of -1..3 columns: some touch. No image that a training string is made of is in a validation string.

Writes, beside this file:
    dataset/prepdata/v1/train.npz    images uint8 (2400, 12, 64), labels int64 (2400, 6) padded with -1, ids (2400,)
    dataset/prepdata/v1/val.npz      the same, 400 of them; ids go on where the training's end
    dataset/prepdata/v1/stats.json   counts, task type, alphabet, how the strings were made

Run it with `python make_dataset.py`; it needs numpy and scikit-learn only, and gives the same arrays on every machine.
"""

import json
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

DATASET_ID = "v1"
SEED = 42
COUNTS = {"train": 2400, "val": 400}
VAL_FRACTION = 0.3  # of the source images
HEIGHT, WIDTH = 12, 64
FEWEST, MOST = 3, 6  # digits in a string
GAPS = (-1, 3)  # columns between two digits; -1: they share one
ROOT = Path(__file__).resolve().parent
DATA_DIR = ROOT / "dataset" / "prepdata" / DATASET_ID


def compose(images: np.ndarray, rows: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The source images `rows`, one beside the other from a random place on; uint8 (HEIGHT, WIDTH)."""
    canvas = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    gaps = random.integers(GAPS[0], GAPS[1] + 1, size=len(rows) - 1)
    while 8 * len(rows) + gaps.sum() > WIDTH:
        gaps[gaps.argmax()] -= 1
    left = int(random.integers(0, WIDTH - 8 * len(rows) - gaps.sum() + 1))
    for row, gap in zip(rows, [*gaps, 0], strict=True):
        top = int(random.integers(0, HEIGHT - 8 + 1))
        place = canvas[top : top + 8, left : left + 8]
        np.maximum(place, images[row], out=place)
        left += 8 + int(gap)
    return canvas


def make_split(
    images: np.ndarray, labels: np.ndarray, sources: np.ndarray, count: int, seed: int
) -> dict[str, np.ndarray]:
    """`count` strings of digits that are drawn from the rows `sources`."""
    random = np.random.default_rng(seed)
    pictures, texts = [], np.full((count, MOST), -1, dtype=np.int64)
    for index in range(count):
        rows = random.choice(sources, size=int(random.integers(FEWEST, MOST + 1)))
        pictures.append(compose(images, rows, random))
        texts[index, : len(rows)] = labels[rows]
    return {"images": np.stack(pictures), "labels": texts}


def make_splits() -> tuple[dict[str, dict[str, np.ndarray]], dict[str, np.ndarray]]:
    """The arrays of the splits `train` and `val`, and the source rows that each of them draws from."""
    digits = load_digits()
    images, labels = digits.images.astype(np.uint8), digits.target.astype(np.int64)
    train, val = train_test_split(np.arange(len(labels)), test_size=VAL_FRACTION, random_state=SEED, stratify=labels)
    sources = {"train": np.sort(train), "val": np.sort(val)}
    splits, first = {}, 0
    for number, (name, count) in enumerate(COUNTS.items()):
        arrays = make_split(images, labels, sources[name], count, SEED + number)
        splits[name] = {**arrays, "ids": np.arange(first, first + count, dtype=np.int64)}
        first += count
    return splits, sources


def describe(splits: dict[str, dict[str, np.ndarray]], sources: dict[str, np.ndarray]) -> dict[str, object]:
    lengths = {name: (arrays["labels"] >= 0).sum(axis=1) for name, arrays in splits.items()}
    return {
        "dataset_id": DATASET_ID,
        "task_type": "sequence",
        "num_samples": {name: len(arrays["ids"]) for name, arrays in splits.items()},
        "alphabet": "0123456789",
        "length": {"fewest": FEWEST, "most": MOST},
        "length_counts": {
            name: {str(n): int((found == n).sum()) for n in range(FEWEST, MOST + 1)} for name, found in lengths.items()
        },
        "input": {"shape": [HEIGHT, WIDTH], "dtype": "uint8", "min": 0, "max": 16},
        "files": {name: f"{name}.npz" for name in splits},
        "split": {
            "method": "source images split by label, then composed",
            "seed": SEED,
            "val_fraction": VAL_FRACTION,
            "source_images": {name: len(rows) for name, rows in sources.items()},
        },
        "source": "sklearn.datasets.load_digits",
    }


def main() -> None:
    splits, sources = make_splits()
    DATA_DIR.mkdir(parents=True, exist_ok=True)
    for name, arrays in splits.items():
        np.savez_compressed(DATA_DIR / f"{name}.npz", **arrays)
    stats = json.dumps(describe(splits, sources), indent=2) + "\n"
    (DATA_DIR / "stats.json").write_text(stats, encoding="utf-8")
    print(f"{DATA_DIR}: {len(splits['train']['ids'])} training and {len(splits['val']['ids'])} validation strings")


if __name__ == "__main__":
    main()
