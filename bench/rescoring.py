"""What side by side buys where the report scores old versions again: one by one, then so many at once, interleaved.

    python bench/rescoring.py [--versions N] [--parallel N] [--seconds S] [--runs N] [--rows FILE]

The evaluator is a single thread that computes for about `--seconds`, so that two of them have two cores to themselves.
Timed is all from the report's first call to its last score: starts, checks and publishing included.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from rows import Row, add_rows_option, write_rows

from progressive_training.loop.project.integrity import accept_rules
from progressive_training.loop.project.project import Project
from progressive_training.loop.report import contents
from progressive_training.loop.report.rescoring import Rescoring
from progressive_training.tools import next_step

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from support.faults.driver import advance, wait_for_jobs
from support.many_versions import grow
from support.projects import EVALUATOR, edited, make_project

_POLL_SECONDS = 0.02
_BURN = """
_end = 0
for _step in range({steps}):
    _end = (_end * 31 + _step) % 1000003


main()
"""


def project_of(root: Path, versions: int, steps: int) -> Project:
    """A finished loop of so many versions, whose evaluator computes."""
    folder = make_project(root / "model")
    folder.write("03_eval.py", edited(EVALUATOR, ("\n\nmain()\n", _BURN.format(steps=steps))))
    project = folder.project()
    while (following := next_step(project, brief=False).next) is not None and following.tool != "final_report":
        version = following.arguments.get("version")
        if advance(project, following.tool, version).state == "running":
            wait_for_jobs(project, version)
    grow(folder.root, root / "grown", versions)
    return Project(root / "grown")


def rescored(project: Project, parallel: int, protocol: int) -> float:
    """Seconds until every version has a score under the protocol of this number."""
    where = project.root / "user_defined_rules.json"
    rules = json.loads(where.read_text(encoding="utf-8"))
    rules["execution_config"]["max_parallel"] = parallel
    # Another number of shown samples is another protocol, and no other work.
    rules["eval_config"]["infer_samples"] = protocol
    where.write_text(json.dumps(rules), encoding="utf-8")
    accept_rules(project)
    start = time.perf_counter()
    while isinstance(reached := contents.advance(project, None), Rescoring):
        # Between the calls only the jobs are looked at, as the server does while a client waits.
        while all(one.attempt.status().state == "running" for one in reached.running):
            time.sleep(_POLL_SECONDS)
    return time.perf_counter() - start


def steps_of(seconds: float) -> int:
    """So many rounds of the evaluator's loop take about so long."""
    tried = 2_000_000
    text = _BURN.format(steps=tried).removesuffix("main()\n")
    start = time.perf_counter()
    exec(compile(text, "<burn>", "exec"), {})
    return round(tried * seconds / (time.perf_counter() - start))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--versions", type=int, default=8)
    parser.add_argument("--parallel", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--runs", type=int, default=5)
    add_rows_option(parser)
    asked = parser.parse_args()
    times: dict[int, list[float]] = {1: [], asked.parallel: []}
    with tempfile.TemporaryDirectory(prefix="rescoring-") as folder:
        project = project_of(Path(folder), asked.versions, steps_of(asked.seconds))
        for run in range(asked.runs):
            for number, parallel in enumerate(times):
                times[parallel].append(rescored(project, parallel, 4 + 2 * run + number))
    median = {parallel: statistics.median(found) for parallel, found in times.items()}
    ratio = median[1] / median[asked.parallel]
    print(f"{asked.versions} versions of about {asked.seconds:g} s each, {asked.runs} runs each, interleaved")
    for parallel, seconds in median.items():
        print(f"max_parallel {parallel:<4} median {seconds:>7.2f} s   {median[1] / seconds:>5.2f} x")
    what = f"scoring {asked.versions} versions again, {asked.parallel} at once"
    beside = f"one by one {median[1]:.1f} s"
    write_rows(asked.rows, [Row(what, f"{median[asked.parallel]:.1f} s", beside, f"{ratio:.2f} × faster", "≥ 1.6")])


if __name__ == "__main__":
    main()
