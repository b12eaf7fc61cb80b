"""Runs the benchmarks, one after another; each is a program of its own and takes its own options.

    python bench/run.py              all of them, to the terminal (about an hour on 2 cores)
    python bench/run.py tokens reads only these
    python bench/run.py --write      puts their rows into bench/results.md, with the machine and the date

A row of bench/results.md whose program isn't run now stays as it is, with its own machine and date.
"""

import argparse
import compileall
import datetime
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from rows import Row, read_rows

FOLDER = Path(__file__).resolve().parent
RESULTS = FOLDER / "results.md"
# Those with rows first, in the table's order. What needs a machine of its own, or an idle one, runs when it is named.
PROGRAMS = (
    *("startup", "overhead", "whole_loop", "outside_jobs", "first_batch", "parts", "tokens", "reads", "locked_eval"),
    *("rescoring", "against_optuna", "clusters", "dashboard", "diffs", "null_loops", "sandbox"),
)
NAMED_ONLY = ("gpu", "recorder", "streamed_eval")
_HEAD = """\
# Results

Made by `python bench/run.py --write`; [README.md](README.md) says what each program measures. Medians; what is compared
was run interleaved. Where a target isn't met, [docs/performance.md](../docs/performance.md) says what holds it.

| measured | ours | beside | ratio | target | program, machine, date |
|---|---:|---|---:|---|---|
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("programs", nargs="*", type=program_name, metavar="PROGRAM")
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    # As pip does when it installs: with PYTHONDONTWRITEBYTECODE every start would compile anew what was edited.
    for name in ("agents", "loop", "pages", "prompts", "server", "tools"):
        compileall.compile_dir(FOLDER.parent / name, quiet=1)
    found: dict[str, list[Row]] = {}
    failed: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for program in asked.programs or PROGRAMS:
            print(f"\n== bench/{program}.py", flush=True)
            file = Path(folder) / f"{program}.json"
            options = ["--rows", str(file)] if takes_rows(program) else []
            if subprocess.run([sys.executable, str(FOLDER / f"{program}.py"), *options], check=False).returncode:
                failed.append(program)
            elif rows := read_rows(file):
                found[program] = rows
    if asked.write:
        write(found)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def program_name(text: str) -> str:
    if text not in (*PROGRAMS, *NAMED_ONLY):
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join((*PROGRAMS, *NAMED_ONLY))}")
    return text


def takes_rows(program: str) -> bool:
    return "add_rows_option" in (FOLDER / f"{program}.py").read_text(encoding="utf-8")


def write(found: Mapping[str, list[Row]]) -> None:
    """Replaces the lines of the programs that ran, and keeps the others'."""
    lines = kept()
    where = f"{machine()}, {datetime.datetime.now(datetime.UTC).date()}"
    for program, rows in found.items():
        lines[program] = [
            f"| {row.what} | {row.ours} | {row.beside} | {row.ratio} | {row.target} | `{program}`, {where} |\n"
            for row in rows
        ]
    order = (*PROGRAMS, *NAMED_ONLY)
    text = "".join(line for program in order for line in lines.get(program, ()))
    RESULTS.write_text(_HEAD + text, encoding="utf-8")


def kept() -> dict[str, list[str]]:
    """The table's present lines by program."""
    lines: dict[str, list[str]] = {}
    if RESULTS.is_file():
        for line in RESULTS.read_text(encoding="utf-8").splitlines(keepends=True):
            name = line.rpartition("| `")[2].partition("`")[0] if line.startswith("| ") else ""
            if name in (*PROGRAMS, *NAMED_ONLY):
                lines.setdefault(name, []).append(line)
    return lines


def machine() -> str:
    """Cores, processor, GPU where there is one, Python: what a figure depends on, and no name of a host."""
    parts = [f"{os.cpu_count()} cores", processor(), gpu(), f"Python {platform.python_version()}"]
    return ", ".join(part for part in parts if part)


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0].replace("|", " ") if names else platform.machine()


def gpu() -> str:
    try:
        asked = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return ""


if __name__ == "__main__":
    main()
