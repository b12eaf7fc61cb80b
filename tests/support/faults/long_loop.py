"""A loop of many versions in one process, and what each of its calls costs.

    python -m support.faults.long_loop FOLDER VERSIONS [forking | local]

One JSON line a call: the Step, the version, seconds, files opened and folders listed (the interpreter's audit events),
descriptors open and resident bytes after it. Jobs are forks, or real ones in the sandbox if there is one: those are
waited for between the call that starts and the one that collects. What a job does is not counted.
"""

import json
import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pandas
import scipy.stats

from progressive_training.loop.jobs.local import LocalExecutor
from progressive_training.loop.project.project import Project
from progressive_training.tools.looking.next_step import next_step

from ..projects import EVALUATOR, make_project
from .driver import advance, wait_for_jobs
from .executor import ForkingExecutor

PRELOADED = (pandas, scipy.stats)
_COUNTED = ("open", "os.listdir", "os.scandir")


def main() -> None:
    root, versions = Path(sys.argv[1]), int(sys.argv[2])
    forking = sys.argv[3:] != ["local"]
    folder = make_project(root)
    sandbox = "off" if forking else "auto"
    folder.set_rules(loop_config={"max_versions": versions}, execution_config={"sandbox": sandbox})
    folder.write("03_eval.py", EVALUATOR)
    project = Project(root, executor=ForkingExecutor() if forking else LocalExecutor())
    work: Counter[str] = Counter()

    def count(event: str, _arguments: tuple[Any, ...]) -> None:
        if event in _COUNTED:
            work["events"] += 1

    def told(tool: str, version: int | None, began: float) -> None:
        seconds = time.perf_counter() - began
        cost = {"tool": tool, "version": version, "seconds": seconds, "opened": work["events"]}
        descriptors = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - counted, not walked
        print(json.dumps({**cost, "descriptors": descriptors, "resident": _resident()}), flush=True)
        work.clear()

    sys.addaudithook(count)
    while True:
        began = time.perf_counter()
        now = next_step(project)
        following = now.next
        told("next_step", now.version, began)
        if following is None:
            break
        version = following.arguments.get("version")
        collecting = now.phase in ("training", "evaluating")
        began = time.perf_counter()
        result = advance(project, following.tool, version)
        told(following.tool + (", collected" if collecting else ""), version, began)
        if result.state == "running":
            wait_for_jobs(project, version)
            work.clear()


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
