"""100 honest versions through the loop's own evaluator, each trained: refusals, and remarks that are false alarms.

    python bench/honest_scores.py [--only digits] [--show]

Five scripts: the three examples and two in other manners (bench/honest_changes.py), each with a first version that
decides the protocol, and one honest change a version. Trainings and evaluations are forks of this process. A refused
version is a false alarm, and so is each remark but those that are true of the change: inputs of another preprocessing,
another output that is judged. Each score is held against what the training logged, too.
"""

import argparse
import csv
import json
import os
import re
import runpy
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import honest_changes as changes

from progressive_training.loop.evaluate.evaluator_files import parts
from progressive_training.loop.evaluate.evaluator_parts.project_copy import make_stage
from progressive_training.prompts import render

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
# What is found as it should be is no remark, and neither is what is true of the change.
SILENT = {"same_as_script", "mean_of_batches", "script_formula", "script_says_nothing", "not_confined"}
TRUE = {
    "other_inputs": ("pixels", "scaled", "brighter", "darker"),
    "other_reading": ("the mean of two views", "a moving average", "the head in forward"),
}


@dataclass(frozen=True)
class Base:
    """A script, its data, its task, and its metric with the name under which validation logs it."""

    script: str
    data: str
    task: str
    metric: str
    logged: str | None
    edits: dict[str, changes.Edits]


def bases() -> dict[str, Base]:
    def example(name: str, *shorter: tuple[str, str]) -> str:
        return edited((EXAMPLES / name / "02_train_baseline.py").read_text(encoding="utf-8"), list(shorter))

    digits = example("digits", ("EPOCHS = 5", "EPOCHS = 2"))
    diabetes = example("diabetes", ("EPOCHS = 20", "EPOCHS = 4"))
    ocr = example("ocr", ("EPOCHS = 8", "EPOCHS = 2"))
    return {
        "digits": Base(digits, "digits", "classification", "accuracy", "val_accuracy", changes.DIGITS),
        "diabetes": Base(diabetes, "diabetes", "regression", "mae", "val_mae", changes.DIABETES),
        "ocr": Base(ocr, "ocr", "sequence", "cer", "val_cer", changes.OCR),
        "dicts": Base(changes.DICTS, "digits", "classification", "accuracy", "val_accuracy", changes.OF_DICTS),
        "masks": Base(changes.MASKS, "digits", "segmentation", "iou", None, changes.OF_MASKS),
    }


def edited(text: str, edits: changes.Edits) -> str:
    for old, new in edits:
        if old not in text:
            raise SystemExit(f"not in the script: {old!r}")
        text = text.replace(old, new)
    return text


def apart(work: Callable[[], None], log: Path) -> int:
    """The exit code of some work in a fork."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        work()
        code = 0
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else 0 if left.code is None else 1
    except BaseException:  # noqa: BLE001 - a fork must end here
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


class Loop:
    """A project of one script: its versions are trained and scored in turn."""

    def __init__(self, base: Base, root: Path) -> None:
        self.base, self.root, self.protocol = base, root, Path()
        shutil.copytree(EXAMPLES / base.data / "dataset", root / "dataset")
        for name, content in parts():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
        settings = dict.fromkeys(("output", "target", "delimiter", "formula", "loader", "higher", "lower"))
        constants = {"task_type": base.task, "metrics": [base.metric], "primary_metric": base.metric, "samples": 4}
        told = {"seed": 42, "dataset_id": "v1", "formulas_told": ""}
        (root / "03_eval.py").write_text(render("scripts/03_eval.py.j2", **constants, **told, **settings))

    def version(self, number: int, edits: changes.Edits) -> tuple[str | None, dict[str, object]]:
        """What the evaluator refuses the version with, and what it leaves."""
        name = f"v{number:03d}"
        snapshot, out = self.root / ".progressive-training" / "snapshots" / name, self.root / "out" / name
        snapshot.mkdir(parents=True)
        out.mkdir(parents=True)
        text = edited(self.base.script, edits).replace('VERSION = "baseline"', f'VERSION = "{name}"')
        for folder in (self.root, snapshot):
            (folder / f"02_train_{name}.py").write_text(text, encoding="utf-8")
        log = out / "log.txt"
        if apart(lambda: self._train(name), log):
            raise SystemExit(f"{name} doesn't train: {log.read_text()[-2000:]}")
        make_stage(self.root, snapshot, out / "stage")
        if apart(lambda: self._score(name, out), log):
            return log.read_text(encoding="utf-8").strip().splitlines()[-1], {}
        self.protocol = self.protocol if number > 1 else out
        found = {path.stem: json.loads(path.read_text()) for path in (out / "evaluation.json", out / "eval_score.json")}
        return None, found

    def logged(self, number: int) -> float | None:
        """What the training logged for the epoch of its least loss."""
        file = self.root / "Models" / "Artifacts" / f"v{number:03d}" / "logs" / "version_0" / "metrics.csv"
        rows = [row for row in csv.DictReader(file.open(encoding="utf-8")) if row.get("val_loss")]
        best = min(rows, key=lambda row: float(row["val_loss"]))
        return float(best[self.base.logged]) if self.base.logged else None

    def _train(self, name: str) -> None:
        os.chdir(self.root)
        (self.root / "Models" / "Artifacts" / name).mkdir(parents=True, exist_ok=True)
        sys.argv = [f"02_train_{name}.py"]
        runpy.run_path(sys.argv[0], run_name="__main__")

    def _score(self, name: str, out: Path) -> None:
        os.chdir(out / "stage")
        options = {"version": name, "project": self.root, "source": out / "stage", "out": out, "device": "cpu"}
        if name != "v001":
            options["protocol"] = self.protocol
        script = str(self.root / "03_eval.py")
        sys.argv = [script, *(f"--{key}={value}" for key, value in options.items())]
        runpy.run_path(script, run_name="__main__")


def alarms(found: dict[str, object], change: str, logged: float | None, metric: str) -> list[str]:
    """Remarks that aren't true of this change, and a score that isn't what was logged."""
    evaluation, score = found["evaluation"], found["eval_score"]
    told = [
        note
        for note in evaluation["notes"]  # type: ignore[index]
        if note["key"] not in SILENT and not change.startswith(TRUE.get(note["key"], ("\0",)))
    ]
    values = {one["name"]: one["value"] for one in score["metrics"]}  # type: ignore[index]
    if logged is not None and abs(values[metric] - logged) > 2e-3 * max(1, abs(logged)):
        told.append({"key": "other_than_logged", "score": values[metric], "own": logged})
    return [json.dumps(note) for note in told]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=list(bases()))
    parser.add_argument("--like", default="", help="of the changes those of such a name")
    parser.add_argument("--show", action="store_true", help="each version as it is scored")
    asked = parser.parse_args()
    import lightning.pytorch  # noqa: F401 - once, for all forks
    import torchmetrics  # noqa: F401

    began, counts = time.monotonic(), Counter[str]()
    for title, base in bases().items():
        if asked.only not in (None, title):
            continue
        with tempfile.TemporaryDirectory() as folder:
            loop = Loop(base, Path(folder).resolve())
            chosen = {name: edits for name, edits in base.edits.items() if re.search(asked.like, name)}
            for number, (change, edits) in enumerate({"first": [], **chosen}.items(), 1):
                refused, found = loop.version(number, edits)
                false = [] if refused else alarms(found, change, loop.logged(number), base.metric)
                counts["versions"] += change != "first"
                counts["refused"] += refused is not None
                counts["remarked"] += bool(false)
                if refused or false or asked.show:
                    print(f"{title}, {change}: {refused or false or 'silent'}", flush=True)
    print(f"{dict(counts)} in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
