"""What the locked evaluation costs beside the bare `03_eval.py`, interleaved, on the digits example.

python bench/locked_eval.py [--runs N] [--rows FILE]
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rows import Row, add_rows_option, write_rows

from progressive_training.loop.evaluate import evaluation
from progressive_training.loop.project.integrity import require_intact
from progressive_training.loop.project.project import Project
from progressive_training.loop.project.version import Version
from progressive_training.tools import run_eval, run_train, start_loop

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "digits"
_POLL_SECONDS = 0.02


def locked(project: Project) -> float:
    """Seconds of one evaluation by the loop, from the call to the published score."""
    start = time.perf_counter()
    rules, loop = project.rules(), project.loop()
    assert loop is not None, "it was started"
    with project.mutation():
        require_intact(project, rules, loop)
        attempt, _ = evaluation.start(Version(project, 1), rules, loop)
    # Between the calls only the job is looked at, as the server does while a client waits.
    while attempt.status().state == "running":
        time.sleep(_POLL_SECONDS)
    with project.mutation():
        require_intact(project, rules, loop)
        status = evaluation.settle(attempt, rules, loop, attempt.status())
    if status.state != "done":
        raise SystemExit(status.verdict)
    return time.perf_counter() - start


def bare(project: Project) -> float:
    command = [sys.executable, "03_eval.py", "--version", "v001"]
    start = time.perf_counter()
    subprocess.run(command, cwd=project.root, check=True, capture_output=True)
    return time.perf_counter() - start


def finish(project: Project, step: object) -> None:
    while True:
        result = step(project, 1)  # type: ignore[operator]
        if result.state == "failed":
            raise SystemExit(result.message)
        if result.state == "done":
            return
        time.sleep(_POLL_SECONDS)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=7)
    add_rows_option(parser)
    asked = parser.parse_args()
    times_each = asked.runs
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(EXAMPLE, Path(folder) / "digits", symlinks=False)
        project = Project(Path(folder) / "digits")
        finish(project, lambda of, _number: start_loop(of))
        finish(project, run_train)
        finish(project, run_eval)
        times = {"bare 03_eval.py": [bare(project)][:0], "locked evaluation": list[float]()}
        for _ in range(times_each):
            times["bare 03_eval.py"].append(bare(project))
            times["locked evaluation"].append(locked(project))
    reference = statistics.median(times["bare 03_eval.py"])
    print(f"{'evaluation of digits v001':<28} {'median s':>9} {'ratio':>7}   ({times_each} runs each, interleaved)")
    for name, found in times.items():
        median = statistics.median(found)
        print(f"{name:<28} {median:>9.3f} {median / reference:>7.3f}")
    locked_median = statistics.median(times["locked evaluation"])
    what, ratio = "(f) locked evaluation of digits", f"{locked_median / reference:.2f}"
    write_rows(asked.rows, [Row(what, f"{locked_median:.2f} s", f"bare 03_eval.py {reference:.2f} s", ratio, "≤ 1.05")])


if __name__ == "__main__":
    main()
