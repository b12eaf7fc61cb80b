"""What a job costs on each backend, and what a thousand of them at once would cost the server.

    python bench/clusters.py [--runs 9] [--jobs 1000] [--only local slurm ray simulation] [--rows FILE]

Backends: from the call of submit until poll tells the end of a Python script that does nothing, interleaved, on a real
one-node Slurm and a real local Ray that this program starts (tests/support/clusters; absent ones are shown as absent).

Simulation: the Slurm backend as it is, over a stub of Slurm's commands that runs 500 jobs at a time, 20 s each, and
writes what their runners would have written. No job is really run, so that 1,000 fit here. Told are the calls of
Slurm's commands, the time of a look at all jobs, and what is written.
"""

import argparse
import os
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rows import Row, add_rows_option, write_rows

from progressive_training.loop.jobs.cluster.executor import BatchExecutor
from progressive_training.loop.jobs.cluster.slurm import Slurm
from progressive_training.loop.jobs.executor import Executor
from progressive_training.loop.jobs.job import Job, Placement
from progressive_training.loop.jobs.local import LocalExecutor

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

BACKENDS = ("local", "slurm", "ray")
_AT_ONCE, _SECONDS = 500, 20.0
_POLL_SECONDS = 0.01
_STUB = r"""#!{python} -ISB
import json, os, pathlib, sys, time
home = pathlib.Path({home!r})
program, arguments = pathlib.Path(sys.argv[0]).name, sys.argv[1:]
with open(home / "calls", "a") as file:
    file.write(program + "\n")
queue = home / "queue"
if program == "sbatch":
    script = pathlib.Path(arguments[-1])
    name = next(line for line in script.read_text().splitlines() if "--job-name=" in line).partition("=")[2]
    with open(queue, "a") as file:
        file.write(json.dumps([name, str(script.parent), time.time()]) + "\n")
    print(len(queue.read_text().splitlines()))
elif program == "squeue" and "--me" in arguments:
    now, free, lines = time.time(), [], []
    for number, line in enumerate(queue.read_text().splitlines(), 1):
        name, folder, came = json.loads(line)
        start = came if len(free) < {at_once} else max(came, free.pop(0))
        free.append(start + {seconds})
        state = "PENDING" if now < start else "RUNNING" if now < start + {seconds} else "COMPLETED"
        folder = pathlib.Path(folder)
        if state == "COMPLETED" and not (folder / "result.json").exists():
            (folder / "result.json").write_text({result!r})
        lines.append(f"{{number}}|{{name}}|{{state}}|0:0|N/A|N/A|main|None|")
    print("\n".join(lines))
"""
_RESULT = (
    '{"rc": 0, "signal": null, "signal_name": null, "reason": "exited", "wall_seconds": 3.0, "cpu_seconds": 3.0,'
    ' "peak_memory_bytes": 1, "killed": [], "started_at": null, "finished_at": null, "log_truncated": false}'
)


def job(root: Path, placement: Placement | None) -> Job:
    argv = (sys.executable, "-I", "-S", "-c", "")
    return Job("train", "v001", 1, argv, str(root), {"PATH": os.defpath}, 60.0, placement=placement)


def executor_of(name: str) -> Executor | None:
    """None where the program that it needs is missing."""
    if name == "local":
        return LocalExecutor()
    if name == "slurm":
        if any(shutil.which(program) is None for program in ("sbatch", "slurmctld", "slurmd", "munged")):
            return None
        from support.clusters.slurm import on_slurm

        return on_slurm()
    from support.clusters.ray import on_ray, ray_program

    try:
        ray_program()
    except AssertionError:  # it says what a test lacks
        return None
    return on_ray()


def one(executor: Executor, attempt: Path, root: Path) -> float:
    """Seconds from submit to the end, as poll tells it."""
    start = time.perf_counter()
    executor.submit(attempt, job(root, None))
    while executor.poll(attempt).state == "running":
        time.sleep(_POLL_SECONDS)
    seconds = time.perf_counter() - start
    outcome = executor.poll(attempt).outcome
    assert outcome is not None and outcome.rc == 0, outcome
    return seconds


def overheads(names: list[str], runs: int) -> list[Row]:
    executors = {name: executor_of(name) for name in names}
    seconds: dict[str, list[float]] = {name: [] for name, found in executors.items() if found}
    with tempfile.TemporaryDirectory(prefix="clusters-") as folder:
        root = Path(folder).resolve()
        for number in range(runs + 1):
            for name in seconds:
                executor = executors[name]
                assert executor is not None, "seconds holds the others only"
                found = one(executor, root / f"{name}-{number}", root)
                if number:  # the first fills the caches
                    seconds[name].append(found)
    print(f"{'an empty job, submit to end':<30} {'median s':>9} {'most s':>8}   ({runs} runs each, interleaved)")
    rows: list[Row] = []
    for name in names:
        if name not in seconds:
            print(f"{name:<30} {'absent':>9}")
            continue
        middle = statistics.median(seconds[name])
        print(f"{name:<30} {middle:>9.3f} {max(seconds[name]):>8.3f}")
        here = seconds.get("local") if name != "local" else None
        beside = f"local {statistics.median(here):.3f} s" if here else ""
        rows.append(Row(f"an empty job on {name}, submit to end", f"{middle:.3f} s", beside, "", ""))
    return rows


def simulation(jobs: int) -> list[Row]:
    """A thousand attempts are handed in, and looked at until all have ended."""
    with tempfile.TemporaryDirectory(prefix="simulated-") as folder:
        root = Path(folder).resolve()
        count = stub(root / "bin")
        executor = BatchExecutor(Slurm())
        attempts = [root / f"attempts/{number:04d}" for number in range(jobs)]
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.perf_counter()
        for attempt in attempts:
            executor.submit(attempt, job(root, Placement("slurm")))
        submitted = time.perf_counter() - start
        written = [sum(file.stat().st_size for file in attempt.iterdir()) for attempt in attempts]
        looks, left = watch(executor, attempts)
        whole = time.perf_counter() - start
        assert not left, f"{len(left)} jobs have not ended"
        calls = count()
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 1024
    middle, most = statistics.median(looks) * 1000, max(looks) * 1000
    print(f"\n{jobs} jobs over a stub of Slurm's commands, {_AT_ONCE} at a time, {_SECONDS:.0f} s each: {whole:.1f} s")
    each = f"{statistics.median(written):.0f} bytes in 5 files"
    print(f"handing in                     {submitted / jobs * 1000:>8.1f} ms a job, {each}")
    print(f"a look at all that run         {middle:>8.1f} ms (most {most:.1f}), {len(looks)} looks")
    print(f"calls of squeue                {calls['squeue']:>8} for {len(looks)} looks at {jobs} jobs")
    print(f"memory                         {grown:>8.1f} MB more")
    return [
        Row(f"{jobs:,} jobs at once (stub): handing one in", f"{submitted / jobs * 1000:.1f} ms", "", "", ""),
        Row(f"{jobs:,} jobs at once (stub): a look at all", f"{middle:.1f} ms, most {most:.0f} ms", "", "", ""),
        Row(f"{jobs:,} jobs at once (stub): calls of squeue", f"{calls['squeue']} in {whole:.0f} s", "", "", ""),
    ]


def stub(folder: Path) -> Callable[[], dict[str, int]]:
    """Puts the stub's commands first on PATH, and returns who counts their calls."""
    folder.mkdir()
    (folder / "queue").touch()
    text = _STUB.format(python=sys.executable, home=str(folder), at_once=_AT_ONCE, seconds=_SECONDS, result=_RESULT)
    for name in ("sbatch", "squeue"):
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(0o755)
    os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"

    def count() -> dict[str, int]:
        called = (folder / "calls").read_text().split()
        return {name: called.count(name) for name in set(called)}

    return count


def watch(executor: Executor, attempts: list[Path]) -> tuple[list[float], list[Path]]:
    """Looks at all that have not ended, ten times a second, as ten waiting servers would; gives up after 10 minutes."""
    looks: list[float] = []
    left, deadline = list(attempts), time.monotonic() + 600
    while left and time.monotonic() < deadline:
        start = time.perf_counter()
        states = {attempt: executor.poll(attempt).state for attempt in left}
        looks.append(time.perf_counter() - start)
        assert "lost" not in states.values(), "no job is lost"
        left = [attempt for attempt in left if states[attempt] == "running"]
        time.sleep(0.1)
    return looks, left


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--only", nargs="+", choices=(*BACKENDS, "simulation"), default=[*BACKENDS, "simulation"])
    add_rows_option(parser)
    asked = parser.parse_args()
    rows: list[Row] = []
    if names := [name for name in BACKENDS if name in asked.only]:
        rows += overheads(names, asked.runs)
    if "simulation" in asked.only:
        rows += simulation(asked.jobs)
    write_rows(asked.rows, rows)


if __name__ == "__main__":
    main()
