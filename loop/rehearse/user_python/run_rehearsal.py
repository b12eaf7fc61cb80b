"""Runs a rehearsal in the user's interpreter: the script for a few batches, twice, and the evaluator on what it left.

    python -I -B run_rehearsal.py PLAN.json

Standard library only, Python 3.9. The second run of the script only draws its data again, to see whether they are the
same. The evaluator's process imports meanwhile and waits for a word. What comes of each is written to `said`; whatever
still runs when its time is up is ended, so that all of it together keeps to `seconds`.
"""

from __future__ import annotations

import glob
import importlib
import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

_GO = b"go\n"
_KILL_AFTER = 2.0
_AGAIN_SECONDS = 10.0  # that the second run may take after the first one


def main() -> int:
    plan = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    if sys.argv[2:] == ["evaluate"]:
        return _evaluate(plan)
    began = time.monotonic()
    end, train_end = began + plan["seconds"], began + plan["train_seconds"]
    said: dict[str, Any] = {"train": None, "again": None, "evaluate": None}
    # Two of them would need twice the memory of a GPU.
    side_by_side = not glob.glob("/dev/nvidia[0-9]*")
    train = _Child(plan["train"])
    again = _Child(plan["again"]) if side_by_side else None
    evaluator = _Child(_evaluator(plan), stdin=subprocess.PIPE) if plan["evaluator"] else None
    said["train"] = train.waited(train_end)
    _write(plan["said"], said)
    checkpoint = _checkpoint(plan)
    if evaluator is not None and checkpoint is not None:
        shutil.copyfile(checkpoint, plan["arguments"]["checkpoint"])
        evaluator.go()
        said["evaluate"] = {**evaluator.waited(end), "checkpoint": os.path.basename(checkpoint)}
    elif evaluator is not None:
        evaluator.end()
    again = again or _Child(plan["again"])
    said["again"] = again.waited(min(end, max(train_end, time.monotonic() + _AGAIN_SECONDS)))
    _write(plan["said"], said)
    return 0


class _Child:
    """One process of the rehearsal, in a process group of its own."""

    def __init__(self, plan: dict[str, Any], stdin: int = subprocess.DEVNULL) -> None:
        self._began = self._from = time.monotonic()
        output = open(plan["log"], "wb") if plan.get("log") else None  # noqa: SIM115 - its child holds it
        self._process = subprocess.Popen(
            plan["argv"],
            cwd=plan["cwd"],
            env={**os.environ, **plan["variables"]},
            stdin=stdin,
            stdout=output,
            stderr=subprocess.STDOUT if output is not None else None,
            start_new_session=True,
        )
        if output is not None:
            output.close()

    def go(self) -> None:
        self._from = time.monotonic()
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(_GO)
            self._process.stdin.close()
        except BrokenPipeError:  # it has ended: how, its exit code says
            return

    def waited(self, until: float) -> dict[str, Any]:
        timed_out = False
        try:
            self._process.wait(max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            timed_out = True
        seconds = time.monotonic() - self._from
        self.end()
        return {"rc": self._process.returncode, "timed_out": timed_out, "seconds": round(seconds, 3)}

    def end(self) -> None:
        """Ends it with all its children."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._process.pid, number)
            except (ProcessLookupError, PermissionError):
                break
            try:
                self._process.wait(_KILL_AFTER)
            except subprocess.TimeoutExpired:
                continue


def _evaluator(plan: dict[str, Any]) -> dict[str, Any]:
    argv = [sys.executable, "-I", "-B", __file__, sys.argv[1], "evaluate"]
    return {"argv": argv, "cwd": plan["arguments"]["source"], "variables": {}, "log": plan["evaluator_log"]}


def _evaluate(plan: dict[str, Any]) -> int:
    for item in plan["imports"]:
        name, _, value = item.partition("=")
        if value or item.endswith("="):
            os.environ[name] = value
            continue
        try:
            importlib.import_module(item.lstrip("?").partition(":")[0])
        except Exception:  # noqa: BLE001 - the script will say so itself, or handles it
            break
    if sys.stdin.buffer.readline() != _GO:
        return 0
    sys.argv = [plan["evaluator"], *(f"--{name}={value}" for name, value in plan["arguments"].items())]
    runpy.run_path(plan["evaluator"], run_name="__main__")
    return 0


def _checkpoint(plan: dict[str, Any]) -> str | None:
    """best.ckpt; else what the script's ModelCheckpoint called its best; else the newest that there is."""
    folder = plan["artifacts"]
    best = os.path.join(folder, "best.ckpt")
    if os.path.isfile(best):
        return best
    for place in sorted(glob.glob(os.path.join(glob.escape(plan["facts"]), "*.json"))):
        for path in _best_paths(place):
            whole = os.path.join(plan["train"]["cwd"], path)
            if os.path.isfile(whole):
                return whole
    others = glob.glob(os.path.join(glob.escape(folder), "**", "*.ckpt"), recursive=True)
    return max((path for path in others if os.path.isfile(path)), key=os.path.getmtime, default=None)


def _best_paths(facts: str) -> list[str]:
    try:
        sections = json.loads(Path(facts).read_bytes()).get("sections", [])
        savers = [saver for section in reversed(sections) for saver in section.get("checkpoints", [])]
        return [path for saver in savers if isinstance(path := saver.get("best_model_path"), str) and path]
    except (OSError, ValueError, AttributeError, TypeError):
        return []


def _write(path: str, content: Any) -> None:
    Path(path).write_text(json.dumps(content), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
