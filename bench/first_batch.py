"""How long the first batch of a digits training takes to come, from the call: bare, cold and warm, interleaved.

    python bench/first_batch.py [--rounds 7] [--pause 10] [--rows FILE]

The script notes when its first training step begins. Each run is the first one of a new project; between `start_loop`
and `run_train` there is the pause of an agent that reads a brief, in which a server makes its interpreter ready.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from rows import Row, add_rows_option, write_rows
from whole_loop import make_project, receipts

from progressive_training.loop.jobs.backends import Backends
from progressive_training.loop.project.project import Project
from progressive_training.tools import run_train, start_loop

SCRIPT = "02_train_baseline.py"
# The clock counts from the machine's start, in every process and in the sandbox.
_NOTE = """\
        note = ARTIFACTS_DIR / "first_batch.txt"
        if not note.exists():
            note.write_text(str(__import__("time").monotonic()))
        inputs, labels = batch
        loss ="""
_STEP = "        inputs, labels = batch\n        loss ="
_POLL_SECONDS = 0.02


def prepared(folder: Path, *, warm: bool) -> Path:
    make_project(folder, 10, warm=warm)
    text = (folder / SCRIPT).read_text(encoding="utf-8")
    if text.count(_STEP) != 1:
        sys.exit(f"{SCRIPT} has changed: its training step no longer begins as this program expects")
    (folder / SCRIPT).write_text(text.replace(_STEP, _NOTE), encoding="utf-8")
    return folder


def bare(folder: Path, pause: float) -> float:
    root = prepared(folder, warm=False)
    time.sleep(pause)
    called = time.monotonic()
    subprocess.run([sys.executable, SCRIPT], cwd=root, check=True, capture_output=True)
    return first_batch(root, "baseline") - called


def ours(folder: Path, pause: float, *, warm: bool) -> float:
    project = Project(prepared(folder, warm=warm)).kept_warm()
    assert isinstance(project.executor, Backends), "the usual one"
    start_loop(project)
    time.sleep(pause)
    called = time.monotonic()
    while (result := run_train(project, 1)).state == "running":
        time.sleep(_POLL_SECONDS)
    project.executor.close()  # else what waits for the evaluation shares the next run's cores
    if result.state != "done":
        sys.exit(f"the training failed: {result.message}")
    start = str(next(receipts(project.root, "train"))["start"])
    if start.startswith("warm") != warm:
        sys.exit(f"it was to start {'warm' if warm else 'cold'}, and started {start}; a longer --pause may help")
    return first_batch(project.root, "v001") - called


def first_batch(root: Path, version: str) -> float:
    return float((root / "Models" / "Artifacts" / version / "first_batch.txt").read_text(encoding="utf-8"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--pause", type=float, default=10.0)
    add_rows_option(parser)
    asked = parser.parse_args()
    measures: dict[str, Callable[[Path, float], float]] = {
        "bare script": bare,
        "run_train, cold": partial(ours, warm=False),
        "run_train, warm": partial(ours, warm=True),
    }
    seconds: dict[str, list[float]] = {name: [] for name in measures}
    with tempfile.TemporaryDirectory(prefix="first-batch-") as folder:
        for number in range(asked.rounds + 1):
            for name, measure in measures.items():
                root = Path(folder) / f"{number} {name}"
                found = measure(root, asked.pause)
                if number:  # the first fills the caches
                    seconds[name].append(found)
    print(
        f"{'call to first batch':<20} {'median s':>9} {'least':>7} {'most':>7}   ({asked.rounds} rounds, interleaved)"
    )
    for name, found in seconds.items():
        print(f"{name:<20} {statistics.median(found):>9.2f} {min(found):>7.2f} {max(found):>7.2f}")
    warm, alone = (statistics.median(seconds[name]) for name in ("run_train, warm", "bare script"))
    cold = statistics.median(seconds["run_train, cold"])
    beside = f"bare script {alone:.2f} s, cold {cold:.2f} s"
    row = Row("call to first batch on digits, warm", f"{warm:.2f} s", beside, f"{warm / alone:.2f}", "≤ 0.5 s")
    write_rows(asked.rows, [row])


if __name__ == "__main__":
    main()
