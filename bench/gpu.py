"""What the loop costs on a GPU: our run of a script of about a minute beside the bare script, cold and warm.

    python bench/gpu.py [--runs 3] [--rows FILE]

Runs unattended, on a machine without a GPU as well (a far smaller network, to try the program). Each round trains the
script of bench/gpu_text once bare, once as the first job of a loop (cold), once as a later version of a loop whose
server stays (warm), interleaved. Our time is from the call of run_train to the receipt: sandbox, log, hashes of the
checkpoints and all checks are in it. Rounds differ in a comment only, so that each trains the same.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from rows import Row, add_rows_option, write_rows

from progressive_training.loop.project.project import Project
from progressive_training.loop.project.receipts import TrainReceipt
from progressive_training.loop.project.version import Version
from progressive_training.tools import (
    StepResult,
    author_next_version,
    run_eval,
    run_train,
    start_loop,
    write_action,
    write_analysis,
)

SOURCE = Path(__file__).resolve().parent / "gpu_text"
_POLL_SECONDS = 0.02
_RATE = "LEARNING_RATE = 0.0003"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--sentences", type=int, default=60_000)
    add_rows_option(parser)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gpu-") as folder:
        made = Path(folder) / "made"
        shutil.copytree(SOURCE, made)
        subprocess.run([sys.executable, "make_dataset.py", "--sentences", str(asked.sentences)], cwd=made, check=True)
        device = said_by(
            made, "import lightning, torch; print(torch.cuda.get_device_name() if torch.cuda.is_available() else '')"
        )
        print(f"device: {device or 'no GPU: the small network, on the CPU'}", flush=True)
        runs = measured(made, asked.runs)
    write_rows(asked.rows, report(device, runs))


class Run(NamedTuple):
    """`seconds` from the call to the receipt; the bare script has none."""

    seconds: float
    receipt: TrainReceipt | None = None

    @property
    def outside(self) -> float:
        """Seconds that weren't the script's: starting it, hashing what it left, all checks."""
        return self.seconds - self.receipt.wall_seconds if self.receipt else 0.0


def measured(made: Path, rounds: int) -> dict[str, list[Run]]:
    """A run of each kind a round."""
    runs: dict[str, list[Run]] = {"bare script": [], "cold": [], "warm": []}
    kept = Project(copied(made, "warm")).kept_warm()
    start_loop(kept)
    # The first job of any loop is a cold one; from the second on an interpreter waits.
    runs["cold"].append(trained(kept, 1))
    for number in range(1, rounds + 1):
        runs["bare script"].append(bare(copied(made, f"bare-{number}")))
        if number > 1:
            first = Project(copied(made, f"cold-{number}"))
            start_loop(first)
            runs["cold"].append(trained(first, 1))
        author(kept, number)
        runs["warm"].append(trained(kept, number + 1))
        told = ", ".join(f"{name} {found[-1].seconds:.2f} s" for name, found in runs.items())
        print(f"round {number}: {told}", flush=True)
    return runs


def trained(project: Project, version: int) -> Run:
    start = time.perf_counter()
    finished(run_train, project, version)
    seconds = time.perf_counter() - start
    receipt = Version(project, version).receipt(TrainReceipt)
    assert receipt is not None, "a finished training has one"
    print(f"  started {receipt.start or 'cold'}, the script took {receipt.wall_seconds:.2f} s", flush=True)
    return Run(seconds, receipt)


def bare(root: Path) -> Run:
    """The script alone, run as a person would."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "02_train_baseline.py"], cwd=root, check=True, stdout=subprocess.DEVNULL)
    return Run(time.perf_counter() - start)


def author(project: Project, version: int) -> None:
    """The next version: another digit far behind the point of the learning rate, and nothing else."""
    finished(run_eval, project, version)
    write_analysis(project, version, "A run of the benchmark.", "None.", ["None."], ["None."])
    before = f"{_RATE}{'0' * (version - 1)}{'1' if version > 1 else ''}"
    after = f"{_RATE}{'0' * version}1"
    words = ("measure", f"{before} becomes {after}", ["LEARNING_RATE"], "none", "low", "the time of the run")
    write_action(project, version, *words)
    author_next_version(project, version, f"<<<<<<< SEARCH\n{before}\n=======\n{after}\n>>>>>>> REPLACE\n")


def finished(step: Callable[..., StepResult], project: Project, version: int) -> None:
    """Between the calls only the job is looked at, as the server does while a client waits."""
    while (result := step(project, version)).state == "running":
        assert result.job is not None, "the data set is small"
        folder = project.workspace.tree.path(result.job.folder)
        while project.executor.poll(folder).state == "running":
            time.sleep(_POLL_SECONDS)
    if result.state == "failed":
        sys.exit(f"{result.message}\n{result.failure.trace if result.failure else ''}")


def copied(made: Path, name: str) -> Path:
    """A project of its own, with the same data set."""
    root = made.parent / name
    shutil.copytree(made, root)
    return root


def said_by(root: Path, code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=root, check=True, capture_output=True, text=True
    ).stdout.strip()


def report(device: str, runs: dict[str, list[Run]]) -> list[Row]:
    """The differences are taken within a round: the machine's own pace wanders from one to the next."""
    reference = [run.seconds for run in runs["bare script"]]
    usual = statistics.median(reference)
    print(f"\n{'':14}{'median s':>9}{'beside bare, by round':>24}{'outside the script s':>22}   single runs")
    rows: list[Row] = []
    for name, found in runs.items():
        more = statistics.median(run.seconds - bare for run, bare in zip(found, reference, strict=True))
        outside = statistics.median(run.outside for run in found)
        each = " ".join(f"{run.seconds:.2f}" for run in found)
        median = statistics.median(run.seconds for run in found)
        print(f"{name:14}{median:>9.2f}{f'{more:+.2f} s, {more / usual:+.1%}':>24}{outside:>22.2f}   {each}")
        if (receipt := found[-1].receipt) is None:
            continue
        beside = f"bare {usual:.1f} s"
        what = f"GPU run, {name} ({device or 'no GPU, small network'})"
        rows.append(Row(f"{what}: beside bare", f"{more:+.2f} s", beside, f"{more / usual:+.1%}", "≤ 1 %"))
        rows.append(Row(f"{what}: outside the script", f"{outside:.2f} s", beside, f"{outside / usual:.1%}", "≤ 1 %"))
        peak, busy = receipt.gpu_peak_memory_bytes, receipt.gpu_utilisation
        told = "no GPU was taken" if peak is None or busy is None else f"{peak / 1e9:.1f} GB at most, {busy:.0%} busy"
        print(f"{'':14}its receipt says of the GPU: {told}")
        rows.append(Row(f"{what}: GPU in the receipt", told, "", "", "recorded"))
    return rows


if __name__ == "__main__":
    main()
