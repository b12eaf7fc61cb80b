"""Runs every benchmark, one after another; each is a program of its own and takes its own options."""

import subprocess
import sys
from pathlib import Path

PROGRAMS = ("tokens.py", "startup.py", "diffs.py", "null_loops.py", "locked_eval.py", "sandbox.py")


def main() -> None:
    folder = Path(__file__).resolve().parent
    for program in PROGRAMS:
        print(f"\n== bench/{program}", flush=True)
        subprocess.run([sys.executable, str(folder / program)], check=True)


if __name__ == "__main__":
    main()
