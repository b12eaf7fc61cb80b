"""What it costs to look at a long loop, and at large files: next_step, status, the report; log, curves, data set.

    python bench/reads.py [--versions 10 100 1000] [--gigabytes 10] [--rows FILE]

A finished loop of two versions is grown to many (tests/support/many_versions.py): receipts, curves and documents of
their own, nothing is trained. Each call is timed in a process that has made it before, as a server has, and once in a
new one, as the command line is. Large files are sparse: what is measured is reading and hashing, not the disk.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rows import Row, add_rows_option, write_rows

from progressive_training.loop.errors import StillReading
from progressive_training.loop.jobs.logs import tail
from progressive_training.loop.project.integrity import restore_scores
from progressive_training.loop.project.project import Project
from progressive_training.loop.report.status import status
from progressive_training.loop.store.manifest import hashes
from progressive_training.loop.store.tree import Tree
from progressive_training.loop.train import metrics_csv
from progressive_training.loop.train.curves import newest, read_curves
from progressive_training.tools import final_report, next_step

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from support.faults.driver import advance, wait_for_jobs
from support.many_versions import grow
from support.projects import EVALUATOR, make_project

_CALLS = 15
# What is timed in a new process.
_FRESH = """
import json, sys, time
from pathlib import Path
from progressive_training.loop.project.project import Project
from progressive_training.tools import next_step
project = Project(Path(sys.argv[1]))
start = time.perf_counter()
next_step(project)
print(time.perf_counter() - start)
"""


def finished(root: Path) -> Path:
    """A loop of two versions, to its report."""
    folder = make_project(root)
    folder.set_rules(loop_config={"max_versions": 2})
    folder.write("03_eval.py", EVALUATOR)
    project = Project(root)
    while (following := next_step(project, brief=False).next) is not None:
        version = following.arguments.get("version")
        if advance(project, following.tool, version).state == "running":
            wait_for_jobs(project, version)
    return root


def middle(call: Callable[[], Any]) -> float:
    """Median seconds of a call that was made before."""
    call()
    return statistics.median(timed(call) for _ in range(_CALLS))


def timed(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def of_loop(model: Path, root: Path, versions: int) -> dict[str, float]:
    """Seconds of each look at a loop of so many versions, whose last one waits for its analysis; then of its report."""
    grow(model, root, versions)
    project = Project(root)
    receipts = {step: root / project.workspace.receipt(versions, step) for step in ("analysis", "action")}
    kept = {step: path.read_bytes() for step, path in receipts.items()}
    for path in receipts.values():
        path.unlink()
    assert next_step(project).phase == "analysis"
    loop = project.loop()
    assert loop is not None, "it was started"
    with project.mutation():
        restore_scores(project, loop)  # grown receipts differ from the copied scores; a loop's own don't
    time.sleep(2.5)  # a record that is younger is read each time: it could change unseen
    done = subprocess.run([sys.executable, "-c", _FRESH, str(root)], check=True, capture_output=True, encoding="utf-8")
    found = {
        "next_step": middle(lambda: next_step(project)),
        "next_step without brief": middle(lambda: next_step(project, brief=False)),
        "next_step, new process": float(done.stdout),
        "status": middle(lambda: status(project)),
    }
    for step, data in kept.items():
        receipts[step].write_bytes(data)
    found["final_report"] = timed(lambda: reported(project))
    return found


def reported(project: Project) -> None:
    result = final_report(project)
    if result.state != "done":
        sys.exit(f"the report did more than rank: {result.message}")


def of_files(root: Path, gigabytes: float) -> dict[str, float]:
    """Seconds of each look at a file that should never be loaded whole."""
    tree, size = Tree(root), int(gigabytes * 1e9)
    log = root / "log.txt"
    sparse(log, size, b"\nthe end\n")
    metrics = root / "artifacts" / "logs" / "version_0" / "metrics.csv"
    metrics.parent.mkdir(parents=True)
    with metrics.open("w", encoding="utf-8") as file:
        file.write("epoch,step,train_loss_step,val_loss\n")
        file.writelines(f"{step // 10_000},{step},{1 / (step + 1):.6f},\n" for step in range(1_000_000))
    found = {
        f"end of a log of {gigabytes:g} GB": middle(lambda: tail(log)),
        "place of a run, 1 M rows": middle(lambda: newest(tree, "artifacts")),
        "curves of 1 M rows, first time": timed(lambda: read_curves(tree, "artifacts")),
        "curves of 1 M rows, later": middle(lambda: read_curves(tree, "artifacts")),
    }
    assert metrics_csv.by_epoch(tree, "artifacts/logs/version_0/metrics.csv")
    data = root / "data.bin"
    sparse(data, size, b"")
    turns: list[float] = []
    done = False
    while not done:
        start = time.perf_counter()
        done = read_on(tree, data)
        turns.append(time.perf_counter() - start)
    found[f"data set of {gigabytes:g} GB: its longest call"] = max(turns)
    found[f"data set of {gigabytes:g} GB: all calls, once"] = sum(turns)
    found[f"data set of {gigabytes:g} GB: a call from then on"] = middle(lambda: hashed(tree, data))
    return found


def hashed(tree: Tree, data: Path) -> dict[str, str]:
    return hashes(tree, "cache.json", [("data.bin", data)], what="the data set")


def read_on(tree: Tree, data: Path) -> bool:
    """One call; whether it came to the data's end."""
    try:
        hashed(tree, data)
    except StillReading:
        return False
    return True


def sparse(path: Path, size: int, end: bytes) -> None:
    with path.open("wb") as file:
        file.truncate(size)
        file.seek(0, os.SEEK_END)
        file.write(end)


_TARGETS = {"next_step": {10: 0.010, 1000: 0.050}, "final_report": {1000: 5.0}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--versions", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--gigabytes", type=float, default=10.0)
    add_rows_option(parser)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="reads-") as folder:
        model = finished(Path(folder) / "model")
        loops = {number: of_loop(model, Path(folder) / str(number), number) for number in asked.versions}
        files = of_files(Path(folder), asked.gigabytes)
    print(f"{'milliseconds':<34}" + "".join(f"{f'{number} versions':>16}" for number in loops))
    rows: list[Row] = []
    for name in loops[asked.versions[0]]:
        print(f"{name:<34}" + "".join(f"{found[name] * 1000:>16.1f}" for found in loops.values()))
        for number, found in loops.items():
            target = _TARGETS.get(name, {}).get(number)
            told = "" if target is None else f"≤ {target * 1000:g} ms" if target < 1 else f"≤ {target:g} s"
            rows.append(Row(f"(e) {name}, {number} versions", f"{found[name] * 1000:.1f} ms", "", "", told))
    print()
    for name, seconds in files.items():
        print(f"{name:<50}{seconds * 1000:>12.1f} ms")
        rows.append(Row(f"(e) {name}", f"{seconds * 1000:.1f} ms", "", "", ""))
    write_rows(asked.rows, rows)


if __name__ == "__main__":
    main()
