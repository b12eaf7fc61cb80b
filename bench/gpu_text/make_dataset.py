"""Makes dataset/prepdata/v1: plain text of sums in words, and its characters as numbers.

Nothing is downloaded: the sentences are put together here, the same on every machine. Whoever predicts the last word of
"forty-one plus nine is fifty." has learnt to add. The validation sums are not among the training sums.

    python make_dataset.py [--sentences 60000]

Writes, beside this file:
    dataset/prepdata/v1/train.npy, val.npy   uint8, a character as its place in vocabulary.json
    dataset/prepdata/v1/vocabulary.json      the characters
    dataset/prepdata/v1/stats.json           task type and counts
"""

import argparse
import json
import random
from pathlib import Path

import numpy as np

SEED = 42
CONTEXT = 256
VAL_WINDOWS = 512
DATA_DIR = Path(__file__).resolve().parent / "dataset" / "prepdata" / "v1"
ONES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def words(number: int) -> str:
    """A number below 1,000 in words."""
    if number < 20:
        return ONES[number]
    if number < 100:
        return TENS[number // 10 - 2] + (f"-{ONES[number % 10]}" if number % 10 else "")
    rest = f" and {words(number % 100)}" if number % 100 else ""
    return f"{ONES[number // 100]} hundred{rest}"


def sentence(chance: random.Random, *, held_out: bool) -> str:
    """One true sum; those whose terms add up to a multiple of eleven are held out for validation."""
    while True:
        first, second = chance.randrange(500), chance.randrange(500)
        if ((first + second) % 11 == 0) == held_out:
            return f"{words(first)} plus {words(second)} is {words(first + second)}. "


def text(sentences: int, seed: int, *, held_out: bool) -> str:
    chance = random.Random(seed)
    return "".join(sentence(chance, held_out=held_out) for _ in range(sentences))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sentences", type=int, default=60_000)
    count = parser.parse_args().sentences
    splits = {
        "train": text(count, SEED, held_out=False),
        "val": text(max(200, count // 20), SEED + 1, held_out=True),
    }
    vocabulary = sorted(set("".join(splits.values())))
    number_of = {character: number for number, character in enumerate(vocabulary)}
    DATA_DIR.mkdir(parents=True, exist_ok=True)
    for name, characters in splits.items():
        np.save(DATA_DIR / f"{name}.npy", np.array([number_of[one] for one in characters], dtype=np.uint8))
    (DATA_DIR / "vocabulary.json").write_text(json.dumps(vocabulary) + "\n", encoding="utf-8")
    windows = {"train": len(splits["train"]) - CONTEXT, "val": min(VAL_WINDOWS, len(splits["val"]) - CONTEXT)}
    stats = {"dataset_id": "v1", "task_type": "classification", "num_samples": windows, "num_classes": len(vocabulary)}
    (DATA_DIR / "stats.json").write_text(json.dumps(stats, indent=2) + "\n", encoding="utf-8")
    print(f"{DATA_DIR}: {len(splits['train'])} characters to train on, {windows['val']} windows to validate on")


if __name__ == "__main__":
    main()
