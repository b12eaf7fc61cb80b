"""What the sandbox costs a job: submit -> result of an empty Python script, plain and in bubblewrap, interleaved.

python bench/sandbox.py [--runs N]
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from progressive_training.loop.jobs import sandbox, view
from progressive_training.loop.jobs.job import Job
from progressive_training.loop.jobs.local import LocalExecutor
from progressive_training.loop.jobs.runner.attempt_files import SCRATCH
from progressive_training.loop.store.paths import Workspace


def wrapper(root: Path, attempt: Path) -> tuple[str, ...]:
    readable = view.interpreter_folders(sys.executable)
    confines = view.Confines(attempt / SCRATCH, (root / "Models/Artifacts/v001",), readable, network=False)
    return sandbox.wrapper(confines.with_project(view.ProjectView(Workspace(root), "v1")))


def job(root: Path, attempt: Path, *, confined: bool) -> float:
    """Seconds from submit to the result."""
    argv = (sys.executable, "-I", "-S", "-c", "")
    made = Job("train", "v001", 1, argv, str(root), {"PATH": os.defpath}, 60.0)
    if confined:
        made = Job(**{**vars(made), "wrapper": wrapper(root, attempt)})
    executor = LocalExecutor()
    start = time.perf_counter()
    executor.submit(attempt, made)
    while executor.poll(attempt).state == "running":
        time.sleep(0.0005)
    return time.perf_counter() - start


def bare(root: Path, attempt: Path, *, confined: bool) -> float:
    """Seconds of the same script without a runner: what bubblewrap alone adds."""
    (attempt / SCRATCH).mkdir(parents=True)
    command = [*(*wrapper(root, attempt), "--") * confined, sys.executable, "-I", "-S", "-c", ""]
    start = time.perf_counter()
    subprocess.run(command, check=True)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=31)
    runs = parser.parse_args().runs
    if (problem := sandbox.problem()) is not None:
        sys.exit(f"{problem}; {sandbox.INSTALL}")
    print(f"{'median of ' + str(runs) + ', interleaved':<28} {'plain ms':>9} {'sandbox ms':>11} {'added ms':>9}")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        for name in ("Models/Artifacts/v001", ".progressive-training", "dataset/prepdata/v1", "dataset/prepdata/v2"):
            (root / name).mkdir(parents=True)
        for name, measure in (("script alone", bare), ("job: submit to result", job)):
            times: dict[bool, list[float]] = {False: [], True: []}
            for number in range(runs + 1):
                for confined in (False, True):
                    seconds = measure(root, root / f"{measure.__name__}-{number}-{confined}", confined=confined)
                    if number:  # the first warms the caches
                        times[confined].append(seconds * 1000)
            plain, inside = (statistics.median(times[confined]) for confined in (False, True))
            print(f"{name:<28} {plain:>9.1f} {inside:>11.1f} {inside - plain:>9.1f}")


if __name__ == "__main__":
    main()
