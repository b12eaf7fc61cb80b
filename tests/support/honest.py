"""Honest loops, generated: scripts in the styles that people write them in, and one honest action for each.

Every script runs, in plain Python. What a seed draws: the style, the names, what the rules fix, comments and
formatting, and the action, of those that these rules leave free.
"""

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .honest_actions import CLIPPED, RETURN, Edits, changes
from .honest_styles import NAMES, STYLES, VALUES, Style
from .projects import Folder, add_dataset, edited

SCRIPT = '''\
"""문턱값을 배운다."""

import json
import random
from pathlib import Path
{imports}
VERSION = "baseline"
DATASET_ID = "v1"
{settings}
DATA = Path("dataset/prepdata") / DATASET_ID
ARTIFACTS = Path("Models/Artifacts") / VERSION
LOGS = ARTIFACTS / "logs" / "version_0"


def load(split):
    return json.loads((DATA / f"{{split}}.json").read_text(encoding="utf-8"))


def batches(samples, batch_size, rng):
    order = list(range(len(samples)))
    rng.shuffle(order)
    for first in range(0, len(order), batch_size):
        yield [samples[index] for index in order[first : first + batch_size]]


def gradient(threshold, batch, margin):
    return threshold - 0.5 - margin + sum(sample["x"] - 0.5 for sample in batch) / len(batch) / 100


class Tracker:
    def __init__(self):
        self.rows = []

    def add(self, epoch, train_loss, val_loss):
        self.rows.append((epoch, train_loss, val_loss))


def loss_of(threshold, samples):
    wrong = sum((sample["x"] > threshold) != bool(sample["label"]) for sample in samples)
    return wrong / len(samples) + abs(threshold - 0.5) / 100


def fit({parameter}):
    train, val = load("train"), load("val")
    rng = random.Random({seed})
    threshold, tracker = {start}, Tracker()
    for epoch in range({epochs}):
        for batch in batches(train, {batch_size}, rng):
            threshold -= {lr} * gradient(threshold, batch, {margin})
        tracker.add(epoch, loss_of(threshold, train), loss_of(threshold, val))
    return threshold, tracker.rows


def save_logs(rows, settings):
    LOGS.mkdir(parents=True, exist_ok=True)
    lines = ["epoch,step,train_loss,val_loss", *(",".join(map(str, (row[0], *row))) for row in rows)]
    (LOGS / "metrics.csv").write_text("\\n".join(lines) + "\\n")
    (LOGS / "hparams.yaml").write_text("".join(f"{{name}}: {{value}}\\n" for name, value in settings.items()))


def save(threshold):
    for name in ("best.ckpt", "last.ckpt"):
        (ARTIFACTS / name).write_text(json.dumps({{"threshold": threshold}}))
    spec = {{"version": VERSION, "dataset_id": DATASET_ID, "additional_assets": "not_required"}}
    (ARTIFACTS / "spec.json").write_text(json.dumps(spec))


def main():
{make}    threshold, rows = fit({parameter})
    save_logs(rows, {{"max_epochs": {epochs}, "batch_size": {batch_size}, "learning_rate": {lr}, "seed": {seed}}})
    save(threshold)


if __name__ == "__main__":
    main()
'''


@dataclass(frozen=True)
class Honest:
    """One loop: its script and rules, and the action with the edits that carry it out."""

    number: int
    style: Style
    script: str
    rules: Mapping[str, Any]
    action: Mapping[str, Any]
    edits: tuple[tuple[str, str], ...]

    @property
    def title(self) -> str:
        return f"{self.number:03d} {self.style.name}: {self.action['goal']}"

    def make(self, root: Path) -> Folder:
        folder = Folder(root)
        folder.write("02_train_baseline.py", self.script)
        for name, text in self.style.modules.items():
            folder.write(name, text)
        add_dataset(folder, "v1")
        folder.write("user_defined_rules.json", json.dumps(self.rules))
        return folder


COMMENTS = ("# 학습 설정\n", "# settings\n", "", "# fmt: off\n")
FIXABLE: Mapping[str, str] = {"epochs": "epochs", "batch_size": "batch_size", "lr": "learning_rate"}


def honest(number: int) -> Honest:
    """The loop of this number; the same each time."""
    rng = random.Random(number)
    style = STYLES[number % len(STYLES)]({key: rng.choice(names) for key, names in NAMES.items()})
    fixed = {key for key in FIXABLE if rng.random() < 0.7}
    possible = [change for change in changes(style) if not change[3] & fixed]
    goal, where, edits, _ = possible[(number // len(STYLES)) % len(possible)]
    script = SCRIPT.format(
        imports=style.imports,
        settings=rng.choice(COMMENTS) + style.text,
        parameter=style.parameter,
        make=style.make,
        **{key: style.read(key) for key in VALUES},
    )
    if "clipped" in style.imports:
        script = edited(script, (RETURN, CLIPPED))
        edits = tuple((CLIPPED if old == RETURN else old, new) for old, new in edits)
    rules = {
        "seed": 42,
        "rehearse": False,
        "loop_config": {"max_versions": 2},
        "training_config": {FIXABLE[key]: VALUES[key] for key in fixed},
        "eval_config": {"primary_metric": "accuracy", "metrics": ["accuracy"], "infer_samples": 2},
    }
    if rng.random() < 0.3:
        del rules["seed"]
    if rng.random() < 0.4:  # what a formatter or a person does in passing
        edits = (
            *edits,
            ("def save(threshold):\n", "# 저장\ndef save(threshold):\n"),
            ("import json\n", "import json  # std\n"),
        )
        edits = _merged(edits)
    action = {
        "goal": goal,
        "change": f"{goal}: see the diff",
        "where": where,
        "expected_impact": "accuracy rises",
        "risk": "low",
        "verification": "val_loss falls",
    }
    return Honest(number, style, script, rules, action, edits)


def _merged(edits: Edits) -> Edits:
    """Edits of the same text in one: the second is made in what the first put there."""
    found: dict[str, str] = {}
    for old, new in edits:
        found[old] = found[old].replace(old, new, 1) if old in found else new
    return tuple(found.items())
