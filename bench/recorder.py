"""What the recorder costs a training: a step with its hooks beside one without, in turns in one process.

    python bench/recorder.py [--seconds 20] [--device cpu|cuda] [--rows FILE]

A run's pace differs by more than a recorder costs, so that one process takes its hooks out and puts them in again for
every other epoch of some steps; told is the median of the differences of neighbours. That is repeated for small steps,
where the cost is at its worst, and for larger ones, in Lightning and in a plain loop. Epochs are measured in seconds of
the processor on a CPU, where the training has one thread, and by the clock on a device, which is waited for at both
ends. An audit hook stays for the life of a process: its events are counted, and what one costs is added.
What a run pays once (its imports, its files) is the processor's time of a whole short process, with and without.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from rows import Row, add_rows_option, write_rows

from progressive_training.loop.record import injection
from progressive_training.loop.record.ranks import run_facts

_HEAD = """
import json, statistics, sys, time, timeit
import torch
import torch.optim.optimizer as optimizers
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
device, width, size, STEPS, seconds = sys.argv[1], *map(int, sys.argv[2:5]), float(sys.argv[5])
torch.manual_seed(0)
torch.set_num_threads(1)
inputs = torch.randn(size * STEPS, 64)
train = DataLoader(TensorDataset(inputs, (inputs.sum(1) > 0).long()), batch_size=size, shuffle=True)
layers = [nn.Linear(64, width), nn.ReLU(), *[nn.Sequential(nn.Linear(width, width), nn.ReLU()) for _ in range(4)]]
network = nn.Sequential(*layers, nn.Linear(width, 2))
iterator = torch.utils.data.dataloader._BaseDataLoaderIter
places = [(torch.autograd, "backward")]
places += [(iterator, name) for name in ("__init__", "_reset", "__next__", "_next_index")]
hooks = [(one, dict(one)) for one in (optimizers._global_optimizer_pre_hooks, optimizers._global_optimizer_post_hooks)]

def ready():
    global hooked, bare
    hooked = [getattr(*place) for place in places]
    bare = [getattr(one, "__wrapped__", one) for one in hooked]

def hook(wanted):
    for (owner, name), one in zip(places, hooked if wanted else bare):
        setattr(owner, name, one)
    for known, kept in hooks:
        known.clear()
        known.update(kept if wanted else {})

def clock():
    if device == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()

events = []
marks = [0, 0]  # how many there were when an epoch began, negative, and at its end
times = {True: [], False: []}
began = time.monotonic()

def went_on():
    return time.monotonic() - began < seconds

def say():
    # What an audit hook's event costs, and how many there are in a step.
    event = min(timeit.repeat(lambda: sys.audit("builtins.id", 0), number=10000, repeat=9)) / 10000
    def count(name, args):
        events.append(name)
    sys.addaudithook(count)
    one_epoch()
    pairs = list(zip(times[True], times[False]))[2:]
    print("TOOK " + json.dumps({
        "step": statistics.median(b for _, b in pairs) / STEPS,
        "cost": statistics.median(a - b for a, b in pairs) / STEPS,
        "audited": event * sum(marks) / STEPS, "epochs": len(pairs),
    }))
"""
_PLAIN = (
    _HEAD
    + """
network.to(device)
optimizer = torch.optim.AdamW(network.parameters(), lr=0.001)
ready()

def one_epoch():
    marks[0] = -len(events)
    for batch in train:
        inputs, labels = (part.to(device) for part in batch)
        optimizer.zero_grad()
        F.cross_entropy(network(inputs), labels).backward()
        optimizer.step()
    marks[1] = len(events)

while went_on():
    for wanted in (True, False):
        hook(wanted)
        start = clock()
        one_epoch()
        times[wanted].append(clock() - start)
hook(True)
say()
"""
)
_LIGHTNING = (
    "try:\n    import lightning as L\nexcept ImportError:\n    import pytorch_lightning as L\n"
    + _HEAD
    + """
places.append((sys.modules[L.Trainer.__module__.rpartition(".")[0] + ".call"], "_call_callback_hooks"))
ready()

class Model(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.network = network
    def training_step(self, batch, _):
        loss = F.cross_entropy(self.network(batch[0]), batch[1])
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss
    def on_train_epoch_start(self):
        self.wanted = self.current_epoch % 2 == 0
        hook(self.wanted)
        marks[0] = -len(events)
        self.start = clock()
    def on_train_epoch_end(self):
        marks[1] = len(events)
        times[self.wanted].append(clock() - self.start)
        hook(True)
        self.trainer.should_stop = not went_on() and not self.wanted
    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=0.001)

def trainer(epochs):
    return L.Trainer(max_epochs=epochs, accelerator="gpu" if device == "cuda" else "cpu", devices=1, logger=False,
                     enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False)

def one_epoch():
    trainer(1).fit(Model(), train)

trainer(100000).fit(Model(), train)
say()
"""
)
SCRIPTS = {"plain loop": _PLAIN, "Lightning": _LIGHTNING}
# The network's width, the samples of a batch, and the steps of an epoch.
SIZES = {
    "cpu": {"small": (64, 32, 100), "larger": (512, 64, 20)},
    "cuda": {"small": (256, 32, 50), "larger": (8192, 128, 20)},
}


class Step(NamedTuple):
    """Microseconds: of a step without hooks, and what the recorder adds; `audited` is a part of that."""

    bare: float
    added: float
    audited: float
    epochs: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20, help="of each training")
    parser.add_argument("--runs", type=int, default=5, help="of the short process")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    add_rows_option(parser)
    asked = parser.parse_args()
    rows: list[Row] = []
    for name, script in SCRIPTS.items():
        for steps, shape in SIZES[asked.device].items():
            found = step(script, asked.device, shape, asked.seconds)
            share = f"{100 * found.added / found.bare:.2f} %"
            what = f"recorder: a step of {name}, {steps} ones, {asked.device}"
            beside = f"its audit hook {found.audited:.1f} µs; {found.epochs} pairs"
            print(f"{what}: {found.added:+.1f} µs of {found.bare:.0f} µs, {share} ({beside})", flush=True)
            target = "< 1 %" if steps == "larger" else ""
            rows.append(Row(what, f"+{found.added:.1f} µs", f"bare {found.bare / 1000:.2f} ms", share, target))
    ours, bare = once(asked.device, asked.runs)
    print(f"recorder: once a run, {asked.device}: {ours - bare:+.3f} s of the processor, bare {bare:.2f} s")
    what = f"recorder: once a run (imports, files), {asked.device}"
    write_rows(asked.rows, [*rows, Row(what, f"{ours - bare:+.2f} s", f"bare {bare:.2f} s", "", "")])


def step(script: str, device: str, shape: tuple[int, int, int], seconds: float) -> Step:
    """Raises AssertionError where the recorder wasn't there, or had a problem."""
    with tempfile.TemporaryDirectory(prefix="recorder-") as folder:
        said = json.loads(_run(script, Path(folder), [device, *map(str, shape), str(seconds)], recorded=True))
    return Step(1e6 * said["step"], 1e6 * (said["cost"] + said["audited"]), 1e6 * said["audited"], said["epochs"])


def once(device: str, runs: int) -> tuple[float, float]:
    """Seconds of the processor of a whole process that trains two epochs: with the recorder, and without."""
    script = _LIGHTNING.replace("trainer(100000)", "trainer(2)").replace("\nsay()", "\nprint('TOOK 0')")
    used: dict[bool, list[float]] = {True: [], False: []}
    for number in range(2 * runs):
        with tempfile.TemporaryDirectory(prefix="recorder-") as folder:
            before = _used()
            _run(script, Path(folder), [device, "64", "32", "20", "0"], recorded=number % 2 == 0)
            used[number % 2 == 0].append(_used() - before)
    return statistics.median(used[True]), statistics.median(used[False])


def _run(script: str, folder: Path, arguments: list[str], *, recorded: bool) -> str:
    facts = folder / "facts"
    facts.mkdir()
    env = {**os.environ, **(injection.variables(os.environ, facts) if recorded else {})}
    (folder / "train.py").write_text(script, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "train.py", *arguments], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    if recorded:
        found = run_facts(facts)
        assert not found.problems and (found.fits or found.loops), found.problems
    return next(line for line in done.stdout.splitlines() if line.startswith("TOOK ")).removeprefix("TOOK ")


def _used() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
