"""One sample as files that one can look at: what went in, what came out, what was right.

What a file holds is told by its name: input, output, gt, and viz for a picture of them together.
"""

from __future__ import annotations

import difflib
import json
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy

from .canvas import (
    GREY,
    PREDICTED,
    TRUE,
    as_picture,
    beside,
    box,
    coloured,
    curves,
    enlarged,
    in_colour,
    overlaid,
    write_png,
)

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

MOST = 2000  # numbers of a list that are written


def draw(folder: Path, family: Any, input: Any, output: Any, target: Any, frames: Any = None) -> None:
    """Writes a sample of a family, or of one of that name, into `folder`, which is there.

    `output` is one of what the family's `predicted` gave, `target` one of what `shaped` gave, `input` the sample as the
    model got it, without a batch around it: arrays, texts, numbers, or lists and dicts of them. `frames` are CTC's
    scores (frames, classes), where there are any. Tensors may take the place of arrays.
    """
    write = _FAMILIES.get(getattr(family, "name", family), _plain)
    write(folder, as_arrays(input), as_arrays(output), as_arrays(target), as_arrays(frames))


def as_arrays(value: Any) -> Any:
    """Tensors within lists, dicts and named tuples as arrays."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        return (value.float() if value.is_floating_point() else value).numpy()
    if isinstance(value, dict):
        return {str(key): as_arrays(item) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(as_arrays, value))
    return [as_arrays(item) for item in value] if isinstance(value, (list, tuple)) else value


def plain(value: Any) -> Any:
    """Arrays and containers of them as JSON values; a single number as itself, none that is no number."""
    if isinstance(value, (numpy.ndarray, numpy.generic)):
        return plain(value.item() if value.size == 1 else value.tolist())
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not numpy.isfinite(value):
        return None
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def write_text(path: Path, text: str) -> None:
    path.write_text(text + "\n", encoding="utf-8")


def write_input(folder: Path, value: Any, picture_too: bool = True) -> None:
    """input.npy (and viz.png where it looks like an image), input.txt or input.json."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, str):
        (folder / "input.txt").write_text(value, encoding="utf-8")
    elif isinstance(value, numpy.ndarray):
        numpy.save(folder / "input.npy", value)
        picture = as_picture(value)
        if picture is not None and picture_too:
            write_png(folder / "viz.png", enlarged(picture, 128 // max(picture.shape[:2])))
    else:
        write_json(folder / "input.json", value)


def picture_in(value: Any) -> Any | None:
    """The first image among a sample's inputs."""
    values = value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]
    found = (as_picture(one) for one in values if isinstance(one, numpy.ndarray))
    return next((one for one in found if one is not None), None)


def _answers(folder: Path, prediction: Any, target: Any, **detail: Any) -> None:
    write_json(folder / "output.json", {"prediction": prediction, **detail})
    write_json(folder / "gt.json", {"target": target})


def _plain(folder: Path, input: Any, output: Any, target: Any, frames: Any) -> None:
    write_input(folder, input)
    detail = {"values": output} if isinstance(output, numpy.ndarray) and output.ndim and len(output) > 1 else {}
    _answers(folder, output, target, **detail)


def _regression(folder: Path, input: Any, output: Any, target: Any, frames: Any) -> None:
    write_input(folder, input)
    _answers(folder, output, target, values=[output] if numpy.ndim(output) == 0 else numpy.ravel(output).tolist())


def _classification(folder: Path, input: Any, output: Any, target: Any, frames: Any) -> None:
    write_input(folder, input)
    if isinstance(output, numpy.ndarray) and output.ndim:
        _answers(folder, int(output.argmax()), target, probabilities=output.tolist())
    else:
        _answers(folder, output, target)


def _multilabel(folder: Path, input: Any, output: Any, target: Any, frames: Any) -> None:
    write_input(folder, input)
    labels = [numpy.flatnonzero(numpy.asarray(one) > 0.5).tolist() for one in (output, target)]
    _answers(folder, *labels, probabilities=numpy.asarray(output).tolist())


def _tokens(folder: Path, input: Any, output: Any, target: Any, frames: Any) -> None:
    write_input(folder, input)
    said = output.argmax(1) if isinstance(output, numpy.ndarray) and output.ndim == 2 else output
    _answers(folder, numpy.asarray(said)[:MOST].tolist(), numpy.asarray(target)[:MOST].tolist())


def _language_model(folder: Path, input: Any, output: Any, target: Any, frames: Any) -> None:
    write_input(folder, input)
    losses = numpy.asarray(output).reshape(len(target), -1)[:, 0].astype(float)
    known = losses[numpy.isfinite(losses)]
    mean = float(known.mean()) if len(known) else None
    _answers(folder, {"loss": mean, "losses": losses[:MOST].tolist()}, numpy.asarray(target)[:MOST].tolist())


def _retrieval(folder: Path, input: Any, output: Any, target: Any, frames: Any) -> None:
    write_input(folder, input)
    order = numpy.argsort(-numpy.asarray(output), kind="stable")[:MOST]
    places = order.tolist()
    scores, relevances = numpy.asarray(output)[order].tolist(), numpy.asarray(target)[order].tolist()
    right = numpy.flatnonzero(numpy.asarray(target) > 0).tolist()
    _answers(folder, places, right, scores=scores, relevances=relevances)


def _forecasting(folder: Path, input: Any, output: Any, target: Any, frames: Any) -> None:
    """viz.png: the target in blue and the prediction in orange, behind the past in grey where the input is a series."""
    write_input(folder, input, picture_too=False)
    _answers(folder, _series(output).T.squeeze().tolist(), _series(target).T.squeeze().tolist())
    past = _past(input)
    steps = numpy.arange(len(_series(target))) + len(past)
    lines: list[Any] = [(numpy.arange(len(past)), past, GREY)] if len(past) else []
    for values, colour in ((target, TRUE), (output, PREDICTED)):
        lines += [(steps, column, colour) for column in _series(values).T[:4]]
    write_png(folder / "viz.png", curves(lines))


def _series(values: Any) -> Any:
    """(H, k)."""
    values = numpy.asarray(values, dtype=float)
    return values.reshape(len(values), -1) if values.ndim else values.reshape(1, 1)


def _past(input: Any) -> Any:
    """The series that went in, if the input is one: (T,), or (T, 1) or (1, T)."""
    value = input[0] if isinstance(input, list) and input else input
    return value.reshape(-1) if isinstance(value, numpy.ndarray) and value.size == max(value.shape, default=0) else []


def _segmentation(folder: Path, input: Any, output: Any, target: Any, frames: Any) -> None:
    """viz.png: the image, the target over it, the prediction over it; output.png and gt.png: the masks alone."""
    write_input(folder, input, picture_too=False)
    masks = [numpy.asarray(one).astype(int) for one in (output, target)]
    _answers(folder, *map(_pixels, masks))
    for name, mask in zip(("output", "gt"), masks):
        write_png(folder / f"{name}.png", coloured(mask))
    picture = picture_in(input)
    shown = picture is not None and picture.shape[:2] == masks[0].shape
    parts = [picture, *(overlaid(picture, mask) for mask in masks[::-1])] if shown else [*map(coloured, masks[::-1])]
    scale = 256 // max(masks[0].shape)
    write_png(folder / "viz.png", beside([enlarged(part, scale) for part in parts]))


def _pixels(mask: Any) -> dict[str, Any]:
    """How many pixels each class has; -1 are those that count for nothing."""
    classes, counts = numpy.unique(mask.clip(-1), return_counts=True)
    return {"size": list(mask.shape), "pixels": dict(zip(classes.tolist(), counts.tolist()))}


def _detection(folder: Path, input: Any, output: Any, target: Any, frames: Any) -> None:
    """viz.png: the target's boxes in blue, over them the predicted ones from a score of 0.5 (or the best) in orange."""
    picture = picture_in(input)
    write_input(folder, input, picture_too=False)
    order = numpy.argsort(-output.scores, kind="stable")[:100]
    said = [
        {"box": output.corners[one], "label": output.labels[one], "score": output.scores[one]} for one in order.tolist()
    ]
    there = [{"box": corners, "label": label} for corners, label in zip(target.corners, target.labels)]
    _answers(folder, said, there)
    extent = numpy.concatenate([output.corners.reshape(-1, 4), target.corners.reshape(-1, 4)])
    if picture is None and not len(extent):
        return
    if picture is None:
        size = numpy.clip(extent.max(0)[2:], 8, 4096).astype(int) + 4
        picture = numpy.full((size[1], size[0]), 255, dtype="uint8")
    scale = max(1, 384 // max(picture.shape[:2]))
    view = in_colour(enlarged(picture, scale))
    if len(extent) and extent.max() <= 1:  # shares of the picture's sides
        scale = numpy.array(view.shape[1::-1] * 2)
    for corners in target.corners:
        box(view, corners * scale, TRUE)
    for place, one in enumerate(order.tolist()):
        if place == 0 or output.scores[one] >= 0.5:
            box(view, output.corners[one] * scale, PREDICTED)
    write_png(folder / "viz.png", view)


def _texts(folder: Path, input: Any, output: Any, target: Any, frames: Any) -> None:
    """output.txt, gt.txt and both below each other in viz.txt; of an image input.png, and viz.png with CTC's frames."""
    rights = target if isinstance(target, list) else [target]
    write_text(folder / "output.txt", output)
    write_text(folder / "gt.txt", "\n".join(rights))
    write_text(folder / "viz.txt", compared(output, rights[0]))
    picture = picture_in(input)
    if picture is None:
        write_input(folder, input)
        return
    write_png(folder / "input.png", picture)
    scale = max(1, 384 // max(picture.shape[:2]))
    view = enlarged(picture if picture.ndim == 2 else picture.mean(2).astype("uint8"), scale)
    if frames is not None:
        # Below the image, from class to class, what each frame was taken for.
        powers = numpy.exp(frames - frames.max(1, keepdims=True))
        heat = (powers / powers.sum(1, keepdims=True) * 255).T.astype("uint8")
        columns = numpy.arange(view.shape[1]) * heat.shape[1] // view.shape[1]
        rows = heat[:, columns].repeat(max(1, scale), axis=0)
        view = numpy.concatenate([view, numpy.full((scale, view.shape[1]), 255, dtype="uint8"), rows])
    write_png(folder / "viz.png", view)


def compared(output: str, target: str) -> str:
    """What is written there, what was read, and a mark below each character that differs."""
    above, below, marks = [], [], []
    for kind, first, last, start, end in difflib.SequenceMatcher(None, target, output, autojunk=False).get_opcodes():
        there, said = (text.replace("\n", "⏎") for text in (target[first:last], output[start:end]))
        width = max(_width(there), _width(said))
        above.append(there + " " * (width - _width(there)))
        below.append(said + " " * (width - _width(said)))
        marks.append((" " if kind == "equal" else "^") * width)
    return "\n".join("".join(part).rstrip() for part in (above, below, marks))


def _width(text: str) -> int:
    """Columns of a terminal: a Hangul syllable has two."""
    return sum(2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in text)


_FAMILIES: dict[str, Callable[[Path, Any, Any, Any, Any], None]] = {
    "classification": _classification,
    "multilabel": _multilabel,
    "tokens": _tokens,
    "regression": _regression,
    "forecasting": _forecasting,
    "segmentation": _segmentation,
    "detection": _detection,
    "sequence": _texts,
    "generation": _texts,
    "language_model": _language_model,
    "retrieval": _retrieval,
}
