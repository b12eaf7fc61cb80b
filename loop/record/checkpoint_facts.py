"""What a torch checkpoint says of its training, without running any of it: counters, optimizers, schedulers.

    python -I -B checkpoint_facts.py CHECKPOINTS_PY CHECKPOINT OUT.json

Standard library only, Python 3.9: a child in the user's interpreter runs this. CHECKPOINTS_PY is the module that reads
a checkpoint's pickle with stand-ins for all classes (evaluation/checkpoints.py). What a file lacks is left out.
"""

from __future__ import annotations

import importlib.util
import json
import math
import struct
import sys
import zipfile
from pathlib import Path
from typing import Any

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# A checkpoint's content has no type before it is looked at.

MAX_SCALARS = 10_000
_MAX_OPTIMIZERS, _MAX_GROUPS = 32, 64
_SCALARS = {"FloatStorage": "<f", "DoubleStorage": "<d", "LongStorage": "<q", "IntStorage": "<i"}
_VALUES = ("lr", "initial_lr", "weight_decay", "momentum")


def describe(checkpoints: Any, path: Path) -> dict[str, Any]:
    """The facts of one checkpoint. Raises ValueError if it is none that torch wrote."""
    content = checkpoints.read(path)
    found: dict[str, Any] = {"schema": 1}
    if not isinstance(content, dict):
        return found
    for name in ("epoch", "global_step"):
        if type(content.get(name)) is int:
            found[name] = content[name]
    found.update(_loops(_at(content, "loops", "fit_loop")))
    states = content.get("optimizer_states")
    if states is None and isinstance(content.get("optimizer"), dict):  # as plain loops name it
        states = [content["optimizer"]]
    with zipfile.ZipFile(path) as archive:
        scalars = _Scalars(archive)
        listed = states[:_MAX_OPTIMIZERS] if isinstance(states, (list, tuple)) else []
        found["optimizers"] = [_optimizer(state, scalars) for state in listed if isinstance(state, dict)]
    schedulers = content.get("lr_schedulers")
    if isinstance(schedulers, (list, tuple)):
        found["schedulers"] = [_scheduler(one) for one in schedulers[:_MAX_OPTIMIZERS] if isinstance(one, dict)]
    return found


class _Scalars:
    """Reads tensors of one element from the archive's records."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._names = {name.rpartition("/")[2]: name for name in archive.namelist() if "/data/" in name}
        self._left = MAX_SCALARS

    def value(self, thing: Any) -> float | None:
        """A number, or that of a tensor; None for anything else."""
        if isinstance(thing, (int, float)) and not isinstance(thing, bool):
            return float(thing) if math.isfinite(thing) else None
        storage, offset = (*getattr(thing, "arguments", ()), None, None)[:2]
        form = _SCALARS.get(getattr(storage, "kind", ""))
        name = self._names.get(getattr(storage, "key", ""))
        if form is None or name is None or type(offset) is not int or self._left <= 0:
            return None
        self._left -= 1
        size = struct.calcsize(form)
        if not 0 <= offset * size <= self._archive.getinfo(name).file_size - size:
            return None
        with self._archive.open(name) as record:
            record.seek(offset * size)
            value = float(struct.unpack(form, record.read(size))[0])
        return value if math.isfinite(value) else None


def _loops(loop: Any) -> dict[str, Any]:
    """Lightning's own counters: what its loops did, over all resumed runs."""
    places = {
        "epochs_processed": ("epoch_progress", "total", "processed"),
        "epochs_started": ("epoch_progress", "total", "started"),
        "current_epochs_processed": ("epoch_progress", "current", "processed"),
        "batches": ("epoch_loop.batch_progress", "total", "ready"),
        "steps": ("epoch_loop.automatic_optimization.optim_progress", "optimizer", "step", "total", "completed"),
        "manual_steps": ("epoch_loop.manual_optimization.optim_step_progress", "total", "completed"),
    }
    found = {name: _at(loop, *place) for name, place in places.items()}
    return {name: value for name, value in found.items() if type(value) is int}


def _optimizer(state: dict[str, Any], scalars: _Scalars) -> dict[str, Any]:
    groups = state.get("param_groups")
    inner = state.get("state")
    states: list[Any] = list(inner.values())[:MAX_SCALARS] if isinstance(inner, dict) else []
    steps = {
        int(value) for one in states if isinstance(one, dict) and (value := scalars.value(one.get("step"))) is not None
    }
    return {
        "steps": max(steps, default=None),
        "groups": [
            {name: value for name in _VALUES if (value := scalars.value(group.get(name))) is not None}
            for group in (groups[:_MAX_GROUPS] if isinstance(groups, (list, tuple)) else ())
            if isinstance(group, dict)
        ],
    }


def _scheduler(state: dict[str, Any]) -> dict[str, Any]:
    """Its own counter and the rates that it began with and set last."""
    found = {name: state[name] for name in ("last_epoch", "_step_count") if type(state.get(name)) is int}
    for name in ("base_lrs", "_last_lr"):
        values = state.get(name)
        if isinstance(values, (list, tuple)):
            found[name.lstrip("_")] = [value for value in values[:_MAX_GROUPS] if isinstance(value, float)]
    return found


def _at(thing: Any, *names: str) -> Any:
    if not names:
        return thing
    return _at(thing.get(names[0]), *names[1:]) if isinstance(thing, dict) else None


def main() -> int:
    reader, path, out = map(Path, sys.argv[1:4])
    spec = importlib.util.spec_from_file_location("checkpoints", reader)
    assert spec is not None and spec.loader is not None
    checkpoints = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(checkpoints)
    try:
        found = describe(checkpoints, path)
    except (ValueError, OSError, zipfile.BadZipFile, RecursionError, MemoryError) as error:
        found = {"schema": 1, "unreadable": f"{type(error).__name__}: {error}"[:300]}
    out.write_text(json.dumps(found, allow_nan=False), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
