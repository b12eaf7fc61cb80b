"""The whole loop on digits against its bare scripts, run one after another: seconds, ratios, and what the loop adds.

python bench/whole_loop.py [--versions N] [--rounds N] [--keep DIR] [--rows FILE]

A first loop makes the versions' scripts, which the offline agent chooses alike every time. Then, interleaved: the bare
training and evaluation scripts of these versions; the loop with warm starts, from its first command to its report; the
loop without. Scores must agree. "loop adds" is the time of the loop beyond its jobs, for each version.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from rows import Row, add_rows_option, write_rows

STATE = ".progressive-training"


def make_project(folder: Path, versions: int, *, warm: bool) -> None:
    with resources.as_file(resources.files("progressive_training.examples").joinpath("digits")) as example:
        shutil.copytree(example, folder, symlinks=False, ignore=shutil.ignore_patterns("__pycache__"))
    path = folder / "user_defined_rules.json"
    rules = json.loads(path.read_text(encoding="utf-8"))
    rules.setdefault("loop_config", {})["max_versions"] = versions
    rules.setdefault("execution_config", {})["warm_start"] = warm
    rules["rehearse"] = False  # what it takes, bench/rehearsal.py says
    path.write_text(json.dumps(rules), encoding="utf-8")


def loop(folder: Path, versions: int, *, warm: bool) -> float:
    """Seconds of the whole loop in a new folder, started as a user does."""
    make_project(folder, versions, warm=warm)
    command = [sys.executable, "-m", "progressive_training.server", "run", "--project", str(folder)]
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    if done.returncode:
        sys.exit(f"the loop failed: {done.stderr[-2000:]}")
    return seconds


def bare(folder: Path, finished: Path) -> tuple[float, float]:
    """Seconds of the scripts of a finished loop without it: trainings, evaluations."""
    shutil.copytree(finished, folder, ignore=shutil.ignore_patterns(STATE, "Models"))
    trainings = scores = 0.0
    for script in sorted(folder.glob("02_train_v[0-9]*.py")):
        version = script.stem.removeprefix("02_train_")
        trainings += run(folder, script.name)
        scores += run(folder, "03_eval.py", "--version", version)
    return trainings, scores


def run(folder: Path, *arguments: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, check=True)
    return time.perf_counter() - began


def receipts(folder: Path, step: str) -> Iterator[dict[str, object]]:
    for path in sorted((folder / STATE / "receipts").glob(f"v*/{step}.json")):
        yield json.loads(path.read_text(encoding="utf-8"))["record"]


def in_jobs(folder: Path) -> float:
    """Seconds that all jobs took, as their runners measured them."""
    results = (folder / STATE / "attempts").glob("*/*/result.json")
    return sum(json.loads(path.read_text(encoding="utf-8"))["wall_seconds"] for path in results)


def scores_of(folder: Path) -> dict[str, bytes]:
    """Every sample's scores of every version."""
    files = sorted((folder / STATE / "scores").glob("v*/samples.jsonl"))
    return {path.parent.name: path.read_bytes() for path in files}


def scores_by_hand(folder: Path) -> dict[str, bytes]:
    files = sorted((folder / "Models" / "Artifacts").glob("v*/_tests/eval_by_hand/samples.jsonl"))
    return {path.parents[2].name: path.read_bytes() for path in files}


def starts(folder: Path) -> str:
    told = [str(receipt["start"]) for step in ("train", "eval") for receipt in receipts(folder, step)]
    return ", ".join(f"{told.count(one)} {one}" for one in dict.fromkeys(sorted(told, reverse=True)))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--versions", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="where the projects are left, instead of a folder that goes")
    add_rows_option(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        place = options.keep or Path(temporary)
        write_rows(options.rows, measure(place.resolve(), options.versions, options.rounds))


def measure(place: Path, versions: int, rounds: int) -> list[Row]:
    first = place / "first"
    loop(first, versions, warm=True)
    expected = scores_of(first)
    seconds: dict[str, list[float]] = {"bare": [], "warm": [], "cold": []}
    added: dict[str, list[float]] = {"warm": [], "cold": []}
    for number in range(rounds):
        folder = place / f"bare-{number}"
        trainings, scores = bare(folder, first)
        seconds["bare"].append(trainings + scores)
        print(f"round {number + 1}: bare {trainings + scores:.1f} s (trainings {trainings:.1f})", flush=True)
        if scores_by_hand(folder) != expected:
            sys.exit("the bare scripts give other scores")
        for name in ("warm", "cold"):
            folder = place / f"{name}-{number}"
            seconds[name].append(loop(folder, versions, warm=name == "warm"))
            added[name].append((seconds[name][-1] - in_jobs(folder)) / versions)
            print(f"round {number + 1}: {name} {seconds[name][-1]:.1f} s; {starts(folder)}", flush=True)
            if scores_of(folder) != expected:
                sys.exit(f"the {name} loop gives other scores")
    base = statistics.median(seconds["bare"])
    print(f"\n{versions} versions of digits, median of {rounds}, {os.cpu_count()} cores, the same scores bit for bit")
    print(f"{'':<22} {'seconds':>8} {'x bare':>7} {'loop adds, s a version':>23}")
    for name, told in (("bare", "bare scripts"), ("warm", "loop, warm"), ("cold", "loop, cold")):
        middle = statistics.median(seconds[name])
        beyond = f"{statistics.median(added[name]):>23.3f}" if name in added else ""
        print(f"{told:<22} {middle:>8.1f} {middle / base:>7.2f} {beyond}")
    rows: list[Row] = []
    for name, limit in (("warm", "≤ 0.30"), ("cold", "")):
        middle, more = statistics.median(seconds[name]), statistics.median(added[name])
        beside, ratio = f"bare scripts {base:.1f} s", f"{middle / base:.2f}"
        rows.append(
            Row(f"(c) whole loop of {versions} digits versions, {name}", f"{middle:.1f} s", beside, ratio, limit)
        )
        rows.append(Row(f"(b) loop adds a version, {name}", f"{more:.3f} s", "", "", "≤ 0.05 s"))
    return rows


if __name__ == "__main__":
    main()
