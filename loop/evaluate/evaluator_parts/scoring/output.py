"""What an evaluation leaves: eval_score.json, samples.jsonl, and a few samples to look at."""

from __future__ import annotations

import json
import os
import random
import shutil
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy
import torch

from ..formulas import Boxes, Family
from ..pictures import draw
from ..trees import Box, Opaque, at, is_records, is_texts, leaves, rows, texts
from .measure import MetricRow, Request
from .walk import Scored

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeArgument=false, reportUnknownLambdaType=false
# pyright: reportPrivateUsage=false
# What the script and torch hand over has no type here.


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def write_samples(out: Path, scored: Scored, rows: list[MetricRow], answers: list[Any]) -> list[dict[str, Any]]:
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
    if isinstance(value, Boxes):
        return {"boxes": plain(value.corners), "labels": plain(value.labels.tolist())}
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
    return [leaf for leaf in found if isinstance(leaf, (torch.Tensor, numpy.ndarray)) or is_texts(leaf)][:1] or found[
        :1
    ]


def write_infer_samples(
    options: Any,
    name: str,
    family: Family,
    scored: Scored,
    found: dict[int, Request],
    scores: list[dict[str, Any]],
) -> None:
    """A few samples to look at: what went in, what came out, what was right."""
    root = options.out / "infer_samples"
    if root.exists():
        shutil.rmtree(root)
    chosen, outputs = drawn(options, len(scored.ids)), scored.predicted
    for index in sorted(chosen):
        folder = root / f"{chosen.index(index) + 1:04d}"
        folder.mkdir(parents=True)
        batch = found[index].batch
        seen = list(map(whole, inputs_of(batch, scored.how))) if scored.members else raw_input(batch, scored.how)
        reads = isinstance(outputs[index], str) and isinstance(found[index].output, torch.Tensor)
        frames = found[index].output if reads else None
        draw(folder, family.name, seen, outputs[index], scored.targets[index], frames)
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


def raw_input(batch: Any, how: Any) -> Any:
    """The one sample of a batch without its target: an array, a text, or a list where the model gets several."""
    values = [one_of(value) for value in inputs_of(batch, how)]
    return values[0] if len(values) == 1 else values


def whole(value: Any) -> Any:
    return texts(value) if is_texts(value) else value.numpy() if isinstance(value, torch.Tensor) else value


def one_of(value: Any) -> Any:
    if is_texts(value):
        return texts(value)[0]
    if isinstance(value, Box) and rows(value) == len(value.items):  # an entry a sample
        return one_of(value._replace(kind="data")) if is_records(value) else value.items[0][1].numpy()
    if isinstance(value, Box):
        named = value.kind not in ("list", "tuple")
        return {key: one_of(item) for key, item in value.items} if named else [one_of(item) for _, item in value.items]
    if isinstance(value, torch.Tensor):
        return value[0].detach().cpu().numpy() if value.dim() else value.item()
    return value[0] if isinstance(value, numpy.ndarray) and value.ndim else value
