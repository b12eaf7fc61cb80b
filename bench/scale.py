"""What a long loop costs: latency of each Step, memory and descriptors of the process that makes the calls.

    python bench/scale.py [--versions 1000] [--window 50]

The loop of tests/support: a stub trainer and evaluator, run as real jobs in the sandbox; before each Step its brief is
asked for, as an agent does. What is timed is each call, and not the job between the call that starts it and the one
that collects it. Compares the first `--window` versions with the last. Memory counts from the first window's end: until
then modules are imported, and caches of a fixed size fill. Works in /dev/shm where there is one.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1] / "tests"
MEMORY = Path("/dev/shm")
STEPS = (
    "next_step",
    "run_train",
    "run_train, collected",
    "run_eval",
    "run_eval, collected",
    "write_analysis",
    "write_action",
    "author_next_version",
)
ANY = "any of them"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--versions", type=int, default=1000)
    parser.add_argument("--window", type=int, default=50)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="scale-", dir=MEMORY if MEMORY.is_dir() else None) as folder:
        calls = made(Path(folder) / "project", asked.versions)
        stored = sum(path.lstat().st_size for path in Path(folder).rglob("*"))
    first = [call for call in calls if call["version"] and call["version"] <= asked.window]
    last = [call for call in calls if call["version"] and call["version"] > asked.versions - asked.window]
    print(f"{asked.versions} versions, {len(calls)} calls")
    print(f"{'':22}{'p50 ms':>10}{'':>10}{'p99 ms':>10}{'':>10}{'files opened':>14}")
    print(f"{'':22}" + f"{'first':>10}{'last':>10}" * 2 + f"{'first':>10}{'last':>10}")
    for step in (*STEPS, ANY):
        cells = ""
        for share in (0.5, 0.99):
            cells += "".join(f"{quantile(some, step, share) * 1000:>10.0f}" for some in (first, last))
        for some in (first, last):
            cells += f"{statistics.median(call['opened'] for call in of(some, step)):>10.0f}"
        print(f"{step:22}{cells}")
    print_memory(calls, asked.window)
    print(f"stored           {stored / 1e6:.0f} MB")


def print_memory(calls: list[dict[str, Any]], window: int) -> None:
    """At the end of some versions; the report at the loop's end imports what no Step does."""
    ends = {call["version"]: call for call in calls if call["version"] and call["tool"] == "write_action"}
    newest = max(ends)
    for number in sorted({1, 2, 10, *range(window, newest, max(window, newest // 10)), newest} & ends.keys()):
        end = ends[number]
        print(f"version {number:5}: {end['resident'] / 1e6:.1f} MB resident, {end['descriptors']} descriptors")
    grown = ends[newest]["resident"] - ends[min(window, newest)]["resident"]
    print(f"grown by         {grown / 1e6:.1f} MB from version {min(window, newest)} to {newest}")


def made(root: Path, versions: int) -> list[dict[str, Any]]:
    command = [sys.executable, "-B", "-m", "support.faults.long_loop", str(root), str(versions), "local"]
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    done = subprocess.run(command, cwd=TESTS, env=environment, stdout=subprocess.PIPE, encoding="utf-8", check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def of(calls: list[dict[str, Any]], step: str) -> list[dict[str, Any]]:
    return [call for call in calls if call["tool"] == step or (step == ANY and call["tool"] in STEPS)]


def quantile(calls: list[dict[str, Any]], step: str, share: float) -> float:
    """Seconds; the nearest rank."""
    seconds = sorted(call["seconds"] for call in of(calls, step))
    return seconds[min(len(seconds) - 1, int(share * len(seconds)))]


if __name__ == "__main__":
    main()
