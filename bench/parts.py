"""What single parts cost, for docs/performance.md: imports, a bare run, the runner's start, syncs, a first Step.

    python bench/parts.py [--rounds 5] [--rows FILE]

Imports: those of the digits script, in fresh interpreters, as a script and as a spare does it (no garbage is looked
for, OpenBLAS's threads don't spin). A bare run: the same script, and how much of it is imports, its own code, and the
interpreter's start and end. The runner: its interpreter up to its first line of work, beside one that does nothing.
Syncs: those of one cold run_train of bench/overhead.py, from the call to the receipt, its runner included (needs
strace). The first Step: next_step in a new server, over stdio.
"""

import argparse
import ast
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import anyio
import overhead
import whole_loop
from mcp import Client, StdioServerParameters, stdio_client
from rows import Row, add_rows_option, write_rows

from progressive_training.loop.jobs.starting import runner_command
from progressive_training.loop.jobs.warm.runner_spare import _WHILE_IMPORTING
from progressive_training.loop.project.project import Project
from progressive_training.tools import start_loop

_SCRIPT = "02_train_baseline.py"
_IMPORT = """
import gc, json, sys, time
gc.disable() if sys.argv[1] == "spare" else gc.enable()
{imports}
print(json.dumps([time.process_time(), len(sys.modules)]))
"""
_RUN = """
import json, runpy, sys, time
began = time.perf_counter()
{imports}
imported = time.perf_counter()
runpy.run_path(sys.argv[1], run_name="__main__")
print(json.dumps([imported - began, time.perf_counter() - imported]), flush=True)
"""
_STEP = """
import sys, time
from pathlib import Path
from progressive_training.loop.project.project import Project
from progressive_training.tools import run_train
project = Project(Path(sys.argv[1]))
while (result := run_train(project, 1)).state == "running":
    time.sleep(0.01)
sys.exit(result.message if result.state == "failed" else 0)
"""


def imports(root: Path, rounds: int) -> list[Row]:
    """CPU seconds until all that the script begins with is imported."""
    seconds: dict[str, list[float]] = {"script": [], "spare": []}
    modules = 0
    for number in range(rounds + 1):
        for name, found in seconds.items():
            taken, modules = json.loads(said(root, _IMPORT, name, _WHILE_IMPORTING if name == "spare" else None))
            if number:  # the first fills the caches
                found.append(taken)
    script, spare = (statistics.median(found) for found in seconds.values())
    what = f"imports of the digits script, {modules:,} modules: CPU in a spare"
    return [Row(what, f"{spare:.2f} s", f"in a script {script:.2f} s", f"{spare / script:.2f}", "")]


def bare_run(root: Path, rounds: int) -> list[Row]:
    parts: list[tuple[float, float, float]] = []
    for _ in range(rounds):
        start = time.perf_counter()
        imported, own = json.loads(said(root, _RUN, _SCRIPT))
        parts.append((imported, own, time.perf_counter() - start - imported - own))
    imported, own, rest = (statistics.median(part) for part in zip(*parts, strict=True))
    told = f"imports {imported:.1f} s, its own code {own:.1f} s, start and end {rest:.1f} s"
    return [Row("parts of a bare digits training", "", told, "", "")]


def said(root: Path, code: str, argument: str, variables: Mapping[str, str] | None = None) -> str:
    """The last line that a fresh interpreter prints; `code` gets the script's imports."""
    tree = ast.parse((root / _SCRIPT).read_text(encoding="utf-8"))
    found = [ast.unparse(node) for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    command = [sys.executable, "-c", code.format(imports="\n".join(found)), argument]
    env = {**os.environ, **(variables or {})}
    done = subprocess.run(command, cwd=root, env=env, check=True, capture_output=True, encoding="utf-8")
    return done.stdout.splitlines()[-1]


def starts(rounds: int) -> list[Row]:
    *options, runner = runner_command(sys.executable)
    load = f"import sys; sys.path.append({str(Path(runner).parents[2])!r}); import jobs.runner.main"
    commands = {"runner": [*options, "-c", load], "plain": [sys.executable, "-I", "-S", "-c", ""]}
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(10 * rounds):
        for name, command in commands.items():
            start = time.perf_counter()
            subprocess.run(command, check=True)
            seconds[name].append(time.perf_counter() - start)
    ours, plain = (statistics.median(found) * 1000 for found in seconds.values())
    return [Row("start of the runner's interpreter", f"{ours:.0f} ms", f"python -I -S {plain:.0f} ms", "", "")]


def syncs(folder: Path) -> list[Row]:
    if shutil.which("strace") is None:
        print("strace is absent: no syncs are counted")
        return []
    root = overhead.prepared(folder, overhead.script())
    start_loop(Project(root))
    log = folder.parent / "syncs"
    traced = ["strace", "-f", "-y", "-qq", "--seccomp-bpf", "-e", "trace=fsync,fdatasync", "-o", str(log)]
    subprocess.run([*traced, sys.executable, "-c", _STEP, str(root)], check=True)
    calls = [line for line in log.read_text(encoding="utf-8").splitlines() if "sync(" in line]
    artifacts = sum("/Models/" in line for line in calls)
    return [Row("fsync and fdatasync of a cold run_train", f"{len(calls)}", f"below Models {artifacts}", "", "")]


def first_step(root: Path, rounds: int) -> list[Row]:
    start_loop(Project(root))
    first, second = zip(*(anyio.run(two_steps, root) for _ in range(rounds)), strict=True)
    ours, later = statistics.median(first), statistics.median(second)
    return [Row("next_step, the first in a new server", f"{ours:.2f} s", f"the second {later:.3f} s", "", "")]


async def two_steps(root: Path) -> tuple[float, float]:
    """Seconds of the first and the second next_step of a server that has answered tools/list."""
    arguments = ["-m", "progressive_training.server", "serve", "--project", str(root)]
    async with Client(stdio_client(StdioServerParameters(command=sys.executable, args=arguments))) as client:
        await client.list_tools()
        times = [time.perf_counter()]
        for _ in range(2):
            await client.call_tool("next_step", {})
            times.append(time.perf_counter())
    return times[1] - times[0], times[2] - times[1]


def report(rows: Sequence[Row]) -> None:
    for row in rows:
        print(f"{row.what:<82} {row.ours:>8}   {row.beside}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    add_rows_option(parser)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="parts-") as temporary:
        folder = Path(temporary).resolve()
        digits = folder / "digits"
        whole_loop.make_project(digits, 1, warm=False)  # a spare that is being made would take the cores
        rows = imports(digits, asked.rounds) + bare_run(digits, asked.rounds) + starts(asked.rounds)
        rows += syncs(folder / "project") + first_step(digits, asked.rounds)
    report(rows)
    write_rows(asked.rows, rows)


if __name__ == "__main__":
    main()
