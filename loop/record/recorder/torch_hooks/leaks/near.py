"""Validation samples that are nearly a training sample.

Near: 20 times nearer than the sample's neighbours are at all, and not the same. So it is no matter of units, and dense
data have few. How many chance would bring follows from the dimension that the training samples seem to fill; how many
the training set has within itself is measured alike. Of rows that are repeated one is kept: they are no neighbours.
"""

from __future__ import annotations

import math
import re
import unicodedata
from typing import Any

from .. import named
from .samples import Samples

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

_NEAR = 0.05
_FEWEST_TRAIN, _FEWEST_VALIDATION = 40, 10
_QUERIES = 1000
_BLOCK = 200
_COLUMNS = 64


def near(numpy: Any, train: Samples, validation: Samples) -> dict[str, Any] | None:
    """How many were looked at and are near, on either side, and what chance would bring; None: not to tell."""
    paths = [path for path in named.inputs(validation.paths) if path in train.blocks]
    texts = [path for path in paths if validation.texts(path) is not None]
    if texts:
        return _alike(numpy, train, validation, texts, _normal_texts)
    tokens = [path for path in paths if validation.tokens(numpy, path) is not None]
    if tokens:
        return _alike(numpy, train, validation, tokens[:1], _trimmed)
    return _by_distance(numpy, train, validation, paths)


def _by_distance(numpy: Any, train: Samples, validation: Samples, paths: list[named.Path]) -> dict[str, Any] | None:
    ours, theirs = _matrix(numpy, validation, paths), _matrix(numpy, train, paths)
    if ours is None or theirs is None or ours.shape[1] != theirs.shape[1]:
        return None
    in_train = train.digests(numpy, paths)
    kept = numpy.unique(in_train, return_index=True)[1]
    rows = numpy.flatnonzero(~numpy.isin(validation.digests(numpy, paths), in_train))
    if len(kept) < _FEWEST_TRAIN or len(ours) < _FEWEST_VALIDATION:
        return None
    rows, theirs = _spread(numpy, rows, _QUERIES), theirs[kept]
    ours, theirs, is_fine = _scaled(numpy, ours, theirs)
    neighbours = min(16, len(kept) // 10)
    first, other, _ = _distances(numpy, ours[rows], theirs, neighbours, None)
    within = _spread(numpy, numpy.arange(len(kept)), _QUERIES)
    first_within, _, dimension = _distances(numpy, theirs[within], theirs, neighbours, within)
    hits = numpy.flatnonzero(first)
    found: dict[str, Any] = {
        "kind": "distance",
        "looked": len(rows),
        "near": len(hits),
        "within_looked": len(within),
        "within_near": int(first_within.sum()),
        "by_chance": min(1.0, (neighbours - 1) * _NEAR**dimension),
        "fine": bool(is_fine and dimension >= 3),
    }
    if len(hits):
        found["example"] = [validation.index(int(rows[hits[0]])), train.index(int(kept[other[hits[0]]]))]
    return found


def _matrix(numpy: Any, samples: Samples, paths: list[named.Path]) -> Any:
    arrays = [samples.array(numpy, path) for path in paths]
    arrays = [array for array in arrays if array is not None]
    if not arrays or sum(array.shape[1] for array in arrays) < 2:
        return None
    return numpy.nan_to_num(numpy.concatenate([array.astype(numpy.float32) for array in arrays], axis=1))


def _scaled(numpy: Any, ours: Any, theirs: Any) -> tuple[Any, Any, bool]:
    """Both in units of the training data, in few columns; and whether their values tell rows apart."""
    some = theirs[:: max(1, len(theirs) // 2000)]
    bits = sum(math.log2(len(numpy.unique(column))) for column in some.T)
    middle, spread = theirs.mean(axis=0), theirs.std(axis=0)
    # Columns of a table have units of their own; pixels have one, and its border's noise is no more than noise.
    scale = numpy.where(spread > 0, spread, 1) if theirs.shape[1] < _COLUMNS else (float(spread.mean()) or 1.0)
    ours, theirs = (ours - middle) / scale, (theirs - middle) / scale
    if theirs.shape[1] > _COLUMNS:
        turn = numpy.random.RandomState(0).standard_normal((theirs.shape[1], _COLUMNS)).astype(numpy.float32)
        ours, theirs = ours @ turn, theirs @ turn
    return ours, theirs, bits >= 4 * math.log2(len(some))


def _distances(numpy: Any, queries: Any, rows: Any, neighbours: int, own: Any) -> tuple[Any, Any, float]:
    """Which queries are near a row, their nearest rows, and the dimension that the rows seem to fill."""
    fewer = neighbours // 2
    square = (rows * rows).sum(axis=1)
    is_near, nearest, logs = [], [], []
    for begin in range(0, len(queries), _BLOCK):
        some = queries[begin : begin + _BLOCK]
        far = square - 2 * (some @ rows.T)
        if own is not None:
            far[numpy.arange(len(some)), own[begin : begin + _BLOCK]] = numpy.inf
        best = far.argmin(axis=1)
        far = numpy.maximum(far + (some * some).sum(axis=1)[:, None], 0)
        parts = numpy.partition(far, (fewer - 1, neighbours - 1), axis=1)
        closer, usual = parts[:, fewer - 1], parts[:, neighbours - 1]
        gap = some - rows[best]  # exactly: a difference of squares is rough where it is small
        is_near.append((gap * gap).sum(axis=1) < _NEAR**2 * usual)
        nearest.append(best)
        known = (closer > 0) & (usual > closer)
        logs.append(numpy.log(usual[known] / closer[known]) / 2)
    if not is_near:
        return numpy.zeros(0, bool), numpy.zeros(0, int), 0.0
    grown = numpy.concatenate(logs)
    dimension = math.log(neighbours / fewer) / max(float(grown.mean()), 1e-3) if len(grown) else 0.0
    return numpy.concatenate(is_near), numpy.concatenate(nearest), dimension


def _spread(numpy: Any, rows: Any, most: int) -> Any:
    return rows if len(rows) <= most else rows[numpy.linspace(0, len(rows) - 1, most).astype(int)]


def _alike(
    numpy: Any, train: Samples, validation: Samples, paths: list[named.Path], normal: Any
) -> dict[str, Any] | None:
    """Sequences that are the same in all but their writing, or their padding."""
    if train.rows < _FEWEST_TRAIN or validation.rows < _FEWEST_VALIDATION:
        return None
    exact = train.digests(numpy, paths).tolist()
    known: dict[Any, tuple[int, int]] = {}
    within = 0
    theirs = normal(numpy, train, paths)
    for row, (form, digest) in enumerate(zip(theirs, exact)):
        before = known.setdefault(form, (row, digest))
        within += bool(form) and before[1] != digest
    seen = set(exact)
    hits = [
        (row, known[form][0])
        for row, (form, digest) in enumerate(
            zip(normal(numpy, validation, paths), validation.digests(numpy, paths).tolist())
        )
        if form and form in known and digest not in seen
    ]
    found: dict[str, Any] = {
        "kind": "text",
        "looked": validation.rows,
        "near": len(hits),
        "within_looked": train.rows,
        "within_near": within,
        "by_chance": 0.0,
        # Few forms are words or answers of a list, which anybody gives.
        "fine": len(known) * 2 > train.rows,
    }
    if hits:
        found["example"] = [validation.index(hits[0][0]), train.index(hits[0][1])]
    return found


def _normal_texts(numpy: Any, samples: Samples, paths: list[named.Path]) -> list[Any]:
    columns = [samples.texts(path) or [] for path in paths]
    rows = (" ".join(row) for row in zip(*columns))
    return [" ".join(re.findall(r"\w+", unicodedata.normalize("NFKC", row).casefold())) for row in rows]


def _trimmed(numpy: Any, samples: Samples, paths: list[named.Path]) -> list[Any]:
    """Rows of token ids without what pads them at either end."""
    array = samples.tokens(numpy, paths[0])
    if array is None:
        return []
    array = array.astype(numpy.int64)
    pad = numpy.bincount(numpy.maximum(array[:, -1], 0)).argmax()
    forms = []
    for row in array:
        real = row[(row != pad) & (row != -1)]
        forms.append(real.tobytes() if len(real) > 3 else b"")
    return forms
