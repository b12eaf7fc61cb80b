"""What the recorder costs a training: the same script with and without it, interleaved; medians and their ratio.

    python bench/recorder.py [--runs 7] [--device cpu|cuda] [--rows FILE]

Each script trains about 20 seconds in many steps of a small network, so that what is measured is a step's cost at its
worst: Lightning with a validation each epoch, and a plain loop. It says itself how long its training took: seconds of
the processor on a CPU, where it has one thread, and by the clock on a device. The whole process, with its imports, is
measured from outside in the same way. A script on a device is the same with larger steps.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rows import Row, add_rows_option, write_rows

from progressive_training.loop.record import injection

_DATA = """
import json, sys, time
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
torch.manual_seed(0)
torch.set_num_threads(1)
clock = time.perf_counter if sys.argv[1] == "cuda" else time.process_time
device, epochs, width = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
inputs = torch.randn(6400, 64)
train = DataLoader(TensorDataset(inputs, (inputs.sum(1) > 0).long()), batch_size=32, shuffle=True)
val = DataLoader(TensorDataset(inputs[:640], (inputs[:640].sum(1) > 0).long()), batch_size=64)
layers = [nn.Linear(64, width), nn.ReLU(), *[nn.Sequential(nn.Linear(width, width), nn.ReLU()) for _ in range(4)]]
network = nn.Sequential(*layers, nn.Linear(width, 2))
"""
_LIGHTNING = (
    "try:\n    import lightning as L\nexcept ImportError:\n    import pytorch_lightning as L\n"
    + _DATA
    + """
class Model(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.network = network
    def training_step(self, batch, _):
        loss = F.cross_entropy(self.network(batch[0]), batch[1])
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss
    def validation_step(self, batch, _):
        self.log("val_loss", F.cross_entropy(self.network(batch[0]), batch[1]))
    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=0.001)
trainer = L.Trainer(max_epochs=epochs, accelerator="gpu" if device == "cuda" else "cpu", devices=1, logger=False,
                    enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False)
began = clock()
trainer.fit(Model(), train, val)
took = clock() - began
print("TOOK " + json.dumps([took, float(trainer.callback_metrics["val_loss"])]))
"""
)
_PLAIN = (
    _DATA
    + """
network.to(device)
optimizer = torch.optim.AdamW(network.parameters(), lr=0.001)
began = clock()
for epoch in range(epochs):
    for batch in train:
        inputs, labels = (part.to(device) for part in batch)
        optimizer.zero_grad()
        loss = F.cross_entropy(network(inputs), labels)
        loss.backward()
        optimizer.step()
last = float(loss)
took = clock() - began
print("TOOK " + json.dumps([took, last]))
"""
)
SCRIPTS = {"Lightning": _LIGHTNING, "plain loop": _PLAIN}
_EPOCHS = {"Lightning": 15, "plain loop": 25}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--epochs", type=int, help="instead of as many as last about 20 s on a CPU")
    parser.add_argument("--width", type=int, help="of the network's layers; 256 on a CPU, 1024 on a device")
    add_rows_option(parser)
    asked = parser.parse_args()
    width = asked.width or (1024 if asked.device == "cuda" else 256)
    rows = [measured(name, asked.device, asked.epochs or _EPOCHS[name], width, asked.runs) for name in SCRIPTS]
    write_rows(asked.rows, rows)


def measured(name: str, device: str, epochs: int, width: int, runs: int) -> Row:
    """Raises AssertionError if the recorder changed the result."""
    times: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    results: set[float] = set()
    for number in range(runs):
        for recorded in (number % 2 == 0, number % 2 != 0):
            took, whole, result = once(SCRIPTS[name], device, epochs, width, recorded)
            times[recorded].append((took, whole))
            results.add(result)
    assert len(results) == 1 or device == "cuda", f"the results differ: {results}"
    found = {key: [statistics.median(column) for column in zip(*rows, strict=True)] for key, rows in times.items()}
    for place, part in enumerate(("training", "whole process")):
        ours, bare = found[True][place], found[False][place]
        share = 100 * (ours / bare - 1)
        print(f"{name} on {device}, {part}: {ours:.3f} s, bare {bare:.3f} s, {share:+.2f} %", flush=True)
    ours, bare = found[True][0], found[False][0]
    what = f"recorder: a training of many small steps, {name}, {device}"
    return Row(what, f"{ours:.2f} s", f"{bare:.2f} s bare", f"{ours / bare:.4f}", "< 1.01")


def once(script: str, device: str, epochs: int, width: int, recorded: bool) -> tuple[float, float, float]:
    """Seconds of the training, of the process, and the result."""
    with tempfile.TemporaryDirectory(prefix="recorder-") as folder:
        facts = Path(folder) / "facts"
        facts.mkdir()
        env = dict(os.environ)
        if recorded:
            env.update(injection.variables(env, facts))
        (Path(folder) / "train.py").write_text(script, encoding="utf-8")
        began = _seconds(device)
        command = [sys.executable, "train.py", device, str(epochs), str(width)]
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=True)
        whole = _seconds(device) - began
        assert any(facts.iterdir()) == recorded
    line = next(line for line in done.stdout.splitlines() if line.startswith("TOOK "))
    took, result = json.loads(line.removeprefix("TOOK "))
    return took, whole, result


def _seconds(device: str) -> float:
    """By the clock, or of the processor in all children so far: other work on this machine is then no part of it."""
    if device == "cuda":
        return time.perf_counter()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
