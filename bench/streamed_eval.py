"""What memory the evaluation takes whose validation data no process could keep: a stream of made images.

    python bench/streamed_eval.py [--gigabytes 10] [--rows FILE]

A classifier is trained on a few of them, and its 03_eval.py then scores so many GB as float32, drawn as they are asked
for. Told is the most that its three processes had at one moment, by their share of memory (PSS) where that can be
read, else by their resident memory, which counts what they share three times; and how long it took beside the data
alone, read in one process.
"""

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rows import Row, add_rows_option, write_rows

from progressive_training.loop.evaluate.evaluator_files import parts
from progressive_training.prompts import render

_SIDE = 512
_SAMPLE_BYTES = 3 * _SIDE * _SIDE * 4
_DATA = f"""
import torch
from torch.utils.data import DataLoader, IterableDataset

class Stream(IterableDataset):
    def __init__(self, count):
        self.count = count

    def __iter__(self):
        for index in range(self.count):
            yield torch.full((3, {_SIDE}, {_SIDE}), float(index % 7)), index % 7
"""
_ALONE = """
import sys, time
began = time.perf_counter()
for batch in DataLoader(Stream(int(sys.argv[1])), 16):
    pass
print(time.perf_counter() - began)
"""
_SCRIPT = """
import json
from pathlib import Path

import lightning as L
from torch import nn


class Net(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 7)

    def forward(self, images):
        return self.head(images.mean((2, 3)))

    def training_step(self, batch, _):
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch, _):
        scores = self(batch[0])
        self.log("val_loss", nn.functional.cross_entropy(scores, batch[1]))
        self.log("val_accuracy", (scores.argmax(1) == batch[1]).float().mean())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.05)


L.seed_everything(42)
saver = L.pytorch.callbacks.ModelCheckpoint(dirpath="Models/Artifacts/v001", filename="best")
trainer = L.Trainer(max_epochs=1, accelerator="cpu", logger=False, callbacks=[saver], enable_progress_bar=False)
count = json.loads(Path("count.json").read_text())
trainer.fit(Net(), DataLoader(Stream(32), 16), DataLoader(Stream(count), 16))
"""


def lay_out(root: Path) -> None:
    """A project whose v001 is trained on little."""
    (root / "02_train_v001.py").write_text(_DATA + _SCRIPT, encoding="utf-8")
    (root / "count.json").write_text("32")
    settings = dict.fromkeys(("output", "target", "delimiter", "formula"))
    told = {"seed": 42, "samples": 10, "dataset_id": "v1", "primary_metric": "accuracy", "metrics": ["accuracy"]}
    evaluator = render("scripts/03_eval.py.j2", task_type="classification", formulas_told="", **told, **settings)
    (root / "03_eval.py").write_text(evaluator, encoding="utf-8")
    for name, data in parts():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    subprocess.run([sys.executable, "02_train_v001.py"], cwd=root, check=True, capture_output=True)


def watched(root: Path) -> tuple[float, int]:
    """Seconds of the evaluation, and the most bytes of all its processes at one moment."""
    began, most = time.perf_counter(), 0
    command = [sys.executable, "03_eval.py", "--version", "v001"]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            most = max(most, sum(map(memory, [process.pid, *descendants(process.pid)])))
            time.sleep(0.05)
    if process.returncode:
        sys.exit("the evaluation failed")
    return time.perf_counter() - began, most


def descendants(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                found += [child, *descendants(child)]
    return found


def memory(pid: int) -> int:
    for file, name in (("smaps_rollup", "Pss:"), ("status", "VmRSS:")):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
                if line.startswith(name):
                    return int(line.split()[1]) << 10
    return 0  # it has ended


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=10)
    add_rows_option(parser)
    asked = parser.parse_args()
    count = round(asked.gigabytes * 1e9 / _SAMPLE_BYTES)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        lay_out(root)
        little = watched(root)
        (root / "count.json").write_text(json.dumps(count))
        seconds, most = watched(root)
        (root / "alone.py").write_text(_DATA + _ALONE, encoding="utf-8")
        done = subprocess.run([sys.executable, "alone.py", str(count)], cwd=root, check=True, capture_output=True)
    what = f"(f) memory of an evaluation of {asked.gigabytes:g} GB of inputs, its three processes"
    beside = f"32 samples {little[1] / 1e9:.2f} GB; {seconds:.0f} s, the data alone {float(done.stdout):.0f} s"
    row = Row(what, f"{most / 1e9:.2f} GB", beside, "", "≤ 1 GB")
    print(f"{row.what}: {row.ours}   {row.beside}")
    write_rows(asked.rows, [row])


if __name__ == "__main__":
    main()
