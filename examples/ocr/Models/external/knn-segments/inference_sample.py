"""Reads a row of digits the classical way: cut it into glyphs at its empty columns, name each by its neighbours.

Where two digits touch there is no empty column, so that a piece is cut at its thinnest place as long as it is wider
than a digit. The neighbours are the training part of scikit-learn's digits. It needs scikit-learn and numpy only:

    python inference_sample.py

prints what it reads on three rows of its own making.
"""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

SIDE = 8  # of a digit, in pixels
WIDEST = 9  # columns of a piece that may still be one digit


def load(folder: str | Path) -> KNeighborsClassifier:
    """The fitted classifier. Its images are those that no validation row is made of: the split of make_dataset.py."""
    digits = load_digits()
    rows = np.arange(len(digits.target))
    train, _ = train_test_split(rows, test_size=0.3, random_state=42, stratify=digits.target)
    glyphs = np.stack([glyph(image) for image in digits.images[train]])
    return KNeighborsClassifier(n_neighbors=3).fit(glyphs, digits.target[train])


def predict(model: KNeighborsClassifier, inputs: list[np.ndarray]) -> list[str]:
    """Images uint8 (12, 64) to the digits that are read on them."""
    return [read(model, image) for image in inputs]


def read(model: KNeighborsClassifier, image: np.ndarray) -> str:
    pieces = [glyph(image[:, left:right]) for left, right in segments(image)]
    return "".join(map(str, model.predict(np.stack(pieces)))) if pieces else ""


def segments(image: np.ndarray) -> list[tuple[int, int]]:
    """The columns from..to of each digit, from left to right."""
    ink = image.sum(axis=0)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], (ink > 0).astype(int), [0]])))
    return [piece for left, right in zip(edges[::2], edges[1::2], strict=True) for piece in cut(ink, left, right)]


def cut(ink: np.ndarray, left: int, right: int) -> list[tuple[int, int]]:
    """A piece that is too wide for one digit, in two at its thinnest column, and so on."""
    if right - left <= WIDEST:
        return [(left, right)]
    near, far = left + SIDE // 2, min(right - SIDE // 2, left + SIDE + 2)
    place = near + int(ink[near:far].argmin()) if far > near else (left + right) // 2
    return [(left, place), *cut(ink, place, right)]


def glyph(image: np.ndarray) -> np.ndarray:
    """The ink of an image in the upper left corner of 8×8 pixels, flattened; what is larger is cut off."""
    rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    canvas = np.zeros((SIDE, SIDE))
    if rows.size:
        ink = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1][:SIDE, :SIDE]
        canvas[: ink.shape[0], : ink.shape[1]] = ink
    return canvas.ravel()


if __name__ == "__main__":
    classifier = load(Path(__file__).parent)
    images, blank = load_digits().images, np.zeros((2, 24))
    print(predict(classifier, [np.vstack([blank, np.hstack(images[first : first + 3]), blank]) for first in (0, 3, 6)]))
