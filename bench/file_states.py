"""Walks 300 states that file operations bring a project into, each to the loop's end: `python bench/file_states.py`.

`--seed N`, `--count N` choose others. Prints each state that has no way on, with the last calls; 1 if there is one.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from support.file_states import Walker, bring_about, states
from support.projects import Shelf


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=300)
    parser.add_argument("--count", type=int, default=300)
    arguments = parser.parse_args()
    began, stuck = time.monotonic(), 0
    with tempfile.TemporaryDirectory() as folder:
        shelf = Shelf(Path(folder))
        chosen = states(shelf.path, arguments.seed, arguments.count)
        for state in chosen:
            with tempfile.TemporaryDirectory(dir=folder) as place:
                walker = Walker(bring_about(state, Path(place, "나의 project"), shelf.path), shelf.path(state.stage))
                wrong = walker.walk()
            if wrong is not None:
                stuck += 1
                print(f"{state}\n  {wrong}", *walker.said[-6:], sep="\n    ", flush=True)
    print(f"{len(chosen)} states, {stuck} without a way on, {time.monotonic() - began:.0f} s")
    return 1 if stuck else 0


if __name__ == "__main__":
    sys.exit(main())
