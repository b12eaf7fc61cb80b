"""What an evaluation leaves: eval_score.json, samples.jsonl, and a few samples to look at."""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import struct
import zlib
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy
import torch

from ..formulas import Family
from ..trees import Box, Opaque, at, is_texts, leaves, texts
from .measure import MetricRow, Request
from .walk import Scored


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def write_samples(out: Path, scored: Scored, rows: list[MetricRow], answers: list[Any]) -> list[dict]:
    """One line a validation sample; returns each sample's scores."""
    by_sample = {name: values for row in rows for name, values in row.by_sample.items()}
    scores = [{name: values[index] for name, values in by_sample.items()} for index in range(len(scored.ids))]
    with (out / "samples.jsonl").open("w", encoding="utf-8", newline="\n") as file:
        for index, sample_id in enumerate(scored.ids):
            line = {
                "id": sample_id,
                "scores": scores[index],
                "prediction": answers[index],
                "target": plain(scored.targets[index]),
            }
            file.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
    return scores


def write_score(out: Path, dataset_id: str, rows: list[MetricRow], samples: int, latency: float) -> None:
    """eval_score.json, last of all and in one step."""
    result = {
        "dataset_id": dataset_id,
        "created_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "num_samples": samples,
        "metrics": [{"name": r.name, "value": r.value, "higher_is_better": r.higher_is_better} for r in rows],
        "latency_ms": latency,
    }
    write_json(out / "eval_score.json.part", result)
    os.replace(out / "eval_score.json.part", out / "eval_score.json")


def plain(value: Any) -> Any:
    """Tensors, arrays and containers of them as JSON values; a single number as itself."""
    if isinstance(value, (torch.Tensor, numpy.ndarray)):
        size = value.numel() if isinstance(value, torch.Tensor) else value.size
        return value.item() if size == 1 else value.tolist()
    if isinstance(value, Box):
        if value.kind in ("list", "tuple"):
            return [plain(item) for _, item in value.items]
        return {str(key): plain(item) for key, item in value.items}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)) and not isinstance(value, Opaque):
        return [plain(item) for item in value]
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)


def drawn(options: Any, samples: int) -> list[int]:
    """Which samples are written out to look at: drawn by the seed."""
    return random.Random(options.seed).sample(range(samples), min(options.samples, samples))


def inputs_of(batch: Any, how: Any) -> list[Any]:
    """What the model is given of a sample: the leaves that a module takes, else all that isn't the target."""
    if how.inputs:
        return [at(batch, path) for path in how.inputs]
    found = [leaf for path, leaf in leaves(batch) if path not in how.hidden and path != how.target]
    return [leaf for leaf in found if isinstance(leaf, (torch.Tensor, numpy.ndarray)) or is_texts(leaf)][:1] or found[:1]


def write_infer_samples(
    options: Any,
    name: str,
    family: Family,
    scored: Scored,
    found: dict[int, Request],
    scores: list[dict],
    outputs: list[Any],
    answers: list[Any],
    details: Any,
) -> None:
    """A few samples to look at: what went in, what came out, what was right."""
    root = options.out / "infer_samples"
    if root.exists():
        shutil.rmtree(root)
    chosen = drawn(options, len(scored.ids))
    for index in sorted(chosen):
        folder = root / f"{chosen.index(index) + 1:04d}"
        folder.mkdir(parents=True)
        inputs = inputs_of(found[index].batch, scored.how)
        write_sample(folder, family, inputs, found[index].output, answers[index], scored.targets[index], details)
        meta = {
            "sample_id": scored.ids[index],
            "index": index,
            "version": name,
            "seed": options.seed,
            "dataset_id": options.dataset_id,
            "checkpoint": options.checkpoint.name if options.external is None else None,
            "task_type": options.task_type,
            "scores": scores[index],
        }
        write_json(folder / "meta.json", meta)


def write_sample(folder: Path, family: Family, inputs: list[Any], output: Any, answer: Any, target: Any, details: Any) -> None:
    """What was predicted and what is right, beside the input."""
    if isinstance(target, str):
        (folder / "output.txt").write_text(str(answer) + "\n", encoding="utf-8")
        (folder / "gt.txt").write_text(target + "\n", encoding="utf-8")
        array = as_array(inputs)
        picture = None if array is None else as_picture(array)
        if picture is not None:
            write_png(folder / "input.png", picture)
            write_view(folder, picture, output if isinstance(output, torch.Tensor) else None)
            return
    else:
        values = details(output)
        detail = {"values" if family.name in ("regression", "forecasting") else "probabilities": values} if values else {}
        write_json(folder / "output.json", {"prediction": answer, **detail})
        write_json(folder / "gt.json", {"target": plain(target)})
    write_input(folder, inputs)


def write_input(folder: Path, inputs: list[Any]) -> None:
    """The sample as the model got it: input.npy (and viz.png where it looks like an image), input.txt or input.json."""
    value = inputs[0] if len(inputs) == 1 else inputs
    if is_texts(value) and len(value.items) == 1:
        (folder / "input.txt").write_text(texts(value)[0], encoding="utf-8")
    elif isinstance(value, (torch.Tensor, numpy.ndarray)):
        array = as_array(inputs)
        numpy.save(folder / "input.npy", array)
        picture = as_picture(array)
        if picture is not None:
            write_png(folder / "viz.png", enlarged(picture, 128 // max(picture.shape[:2])))
    else:
        write_json(folder / "input.json", plain(value))


def as_array(inputs: list[Any]) -> numpy.ndarray | None:
    """The one tensor that the model got for its one sample; None for anything else."""
    value = inputs[0] if len(inputs) == 1 else None
    if isinstance(value, numpy.ndarray):
        return value[0] if value.ndim else value
    if not isinstance(value, torch.Tensor):
        return None
    value = value[0] if value.dim() else value
    return (value.float() if value.is_floating_point() else value).detach().cpu().numpy()


def enlarged(picture: numpy.ndarray, scale: int) -> numpy.ndarray:
    return picture.repeat(max(1, scale), axis=0).repeat(max(1, scale), axis=1)


def write_png(path: Path, picture: numpy.ndarray) -> None:
    """8-bit grey (H, W) or colour (H, W, 3) as a PNG file; by hand, since no example needs an image library else."""
    height, width = picture.shape[:2]
    lines = b"".join(b"\0" + line.tobytes() for line in picture)
    kind = 0 if picture.ndim == 2 else 2
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0))]
    chunks += [(b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    data = b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)


def as_picture(array: numpy.ndarray) -> numpy.ndarray | None:
    """An image-like sample as 8-bit grey (H, W) or colour (H, W, 3); None for anything else."""
    side = math.isqrt(array.size)
    if array.ndim == 1 and side * side == array.size and array.dtype.kind == "f":
        array = array.reshape(side, side)
    if array.ndim == 3 and array.shape[0] in (1, 3):
        array = array.transpose(1, 2, 0)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3) or min(array.shape[:2]) < 8:
        return None
    low, high = float(array.min()), float(array.max())
    return ((array - low) * (255 / (high - low or 1))).astype("uint8")


def write_view(folder: Path, picture: numpy.ndarray, frames: torch.Tensor | None) -> None:
    """viz.png: the image enlarged; below it, from class to class, what each frame was taken for."""
    scale = max(1, 384 // max(picture.shape[:2]))
    view = enlarged(picture if picture.ndim == 2 else picture.mean(2).astype("uint8"), scale)
    if frames is not None:
        heat = (frames.softmax(1).T.float().cpu().numpy() * 255).astype("uint8")
        columns = numpy.arange(view.shape[1]) * heat.shape[1] // view.shape[1]
        rows_ = heat[:, columns].repeat(max(1, scale), axis=0)
        view = numpy.concatenate([view, numpy.full((scale, view.shape[1]), 255, dtype="uint8"), rows_])
    write_png(folder / "viz.png", view)
