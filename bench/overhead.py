"""What running a training script costs beyond the script itself: bare Python, our run, and two peers, interleaved.

    python bench/overhead.py [--runs 15] [--rows FILE]

All run the same script, plain Python that takes half a second and says how long itself. Ours is the whole Step, from
the call of run_train to the receipt: sandbox, log, limits, checks and hashes are in it. aideml's interpreter executes
the script's text in a fork of itself, and so pays for no interpreter's start and checks nothing; OpenEvolve's evaluator
runs it as its documentation's evaluators do, by subprocess. Peers: bench/peers.py.
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

from peers import AIDE, OPENEVOLVE, Peer
from rows import Row, add_rows_option, write_rows

from progressive_training.loop.project.project import Project
from progressive_training.tools import run_train, start_loop

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from support.projects import SCHEDULE, TRAINER, edited, make_project

_TOOK = "Models/Artifacts/{version}/took.txt"
_POLL_SECONDS = 0.002
_AIDE = """
import importlib.util, sys, time
spec = importlib.util.find_spec("aide")
place = spec.submodule_search_locations[0] + "/interpreter.py"
spec = importlib.util.spec_from_file_location("interpreter", place)
module = importlib.util.module_from_spec(spec)
sys.modules["interpreter"] = module
spec.loader.exec_module(module)
code, runs = open(sys.argv[1]).read(), int(sys.argv[2])
interpreter = module.Interpreter(".", timeout=60)
for _ in range(runs):
    start = time.perf_counter()
    result = interpreter.run(code, reset_session=True)
    seconds = time.perf_counter() - start
    assert result.exc_type is None, result
    print(seconds - float(open(sys.argv[3]).read()), flush=True)
interpreter.cleanup_session()
"""
_OPENEVOLVE = """
import asyncio, logging, sys, time
from openevolve.config import EvaluatorConfig
from openevolve.evaluator import Evaluator
logging.disable(logging.CRITICAL)
code, runs = open(sys.argv[1]).read(), int(sys.argv[2])
evaluator = Evaluator(EvaluatorConfig(cascade_evaluation=False, timeout=60), "evaluator.py")
async def main():
    for _ in range(runs):
        start = time.perf_counter()
        metrics = await evaluator.evaluate_program(code, "program")
        seconds = time.perf_counter() - start
        assert metrics == {"combined_score": 1.0}, metrics
        print(seconds - float(open(sys.argv[3]).read()), flush=True)
asyncio.run(main())
"""
_EVALUATOR = """
import subprocess, sys
def evaluate(path):
    subprocess.run([sys.executable, path], check=True, capture_output=True)
    return {"combined_score": 1.0}
"""


def script() -> str:
    """Without local modules and without a guard: aideml's interpreter names no module `__main__`."""
    return edited(
        TRAINER,
        ("import json\n", "import time\n\nBEGAN = time.perf_counter()\nimport json\n"),
        ("from schedule import advance\n", SCHEDULE),
        ("    threshold, rows = fit()\n", "    threshold, rows = fit()\n    time.sleep(0.5)\n"),
        ('if __name__ == "__main__":\n    main()\n', "main()\n" + _SAY_TIME),
    )


_SAY_TIME = '(ARTIFACTS / "took.txt").write_text(str(time.perf_counter() - BEGAN))\n'


def ours(folder: Path, text: str) -> float:
    """Seconds of the Step beyond the script's own."""
    made = make_project(folder, trainer=text)
    project = Project(made.root)
    start_loop(project)
    start = time.perf_counter()
    while (result := run_train(project, 1)).state == "running":
        assert result.job is not None, "a training has a job"
        job = project.workspace.tree.path(result.job.folder)
        while project.executor.poll(job).state == "running":
            time.sleep(_POLL_SECONDS)
    seconds = time.perf_counter() - start
    if result.state == "failed":
        sys.exit(result.message)
    return seconds - float((made.root / _TOOK.format(version="v001")).read_text())


def bare(folder: Path, text: str) -> float:
    root = prepared(folder, text)
    start = time.perf_counter()
    subprocess.run([sys.executable, "02_train_baseline.py"], cwd=root, check=True, capture_output=True)
    return time.perf_counter() - start - float((root / _TOOK.format(version="baseline")).read_text())


def by_peer(peer: Peer, driver: str) -> Callable[[Path, str], float]:
    """The second of two runs in one process: its first one imports."""

    def measure(folder: Path, text: str) -> float:
        root = prepared(folder, text)
        (root / "evaluator.py").write_text(_EVALUATOR, encoding="utf-8")
        took = _TOOK.format(version="baseline")
        command = [str(peer.python), "-c", driver, "02_train_baseline.py", "2", took]
        done = subprocess.run(command, cwd=root, check=True, stdout=subprocess.PIPE, encoding="utf-8")
        return float(done.stdout.split()[-1])

    return measure


def prepared(folder: Path, text: str) -> Path:
    root = make_project(folder, trainer=text).root
    shutil.rmtree(root / "Models", ignore_errors=True)
    return root


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15)
    add_rows_option(parser)
    asked = parser.parse_args()
    measures: dict[str, Callable[[Path, str], float] | None] = {
        "bare script": bare,
        "our run_train, cold": ours,
        "aideml's interpreter": by_peer(AIDE, _AIDE) if AIDE.installed else None,
        "OpenEvolve's evaluator": by_peer(OPENEVOLVE, _OPENEVOLVE) if OPENEVOLVE.installed else None,
    }
    seconds: dict[str, list[float]] = {name: [] for name, measure in measures.items() if measure}
    text = script()
    with tempfile.TemporaryDirectory(prefix="overhead-") as folder:
        for number in range(asked.runs + 1):
            for name in seconds:
                measure = measures[name]
                assert measure is not None, "seconds holds the others only"
                found = measure(Path(folder) / f"{number} {name}", text)
                if number:  # the first fills the caches
                    seconds[name].append(found)
    middle = {name: statistics.median(found) for name, found in seconds.items()}
    print(f"{'':<24} {'beyond the script, s':>21} {'beyond bare, s':>15}   (median of {asked.runs}, interleaved)")
    rows: list[Row] = []
    for name in measures:
        if name not in middle:
            print(f"{name:<24} {'absent':>21}   (python bench/peers.py --install)")
            continue
        more = middle[name] - middle["bare script"]
        print(f"{name:<24} {middle[name]:>21.3f} {more:>15.3f}")
        target = "≤ 0.05 s" if name.startswith("our") else ""
        if name != "bare script":
            what = f"(b) a run beyond its bare script: {name}"
            rows.append(Row(what, f"{more:+.3f} s", f"bare {middle['bare script']:.3f} s", "", target))
    write_rows(asked.rows, rows)


if __name__ == "__main__":
    main()
