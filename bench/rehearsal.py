"""Seconds that a rehearsal takes: the examples, from start_loop to its page.

    .venv/bin/python -m bench.rehearsal [EXAMPLE | FOLDER …] [--page]

A FOLDER is any project; it is copied first. `--page` prints each page as well.
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path

from progressive_training.loop.project.project import Project
from progressive_training.tools import start_loop
from progressive_training.tools.start_loop import StartResult

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
LEFT_OUT = shutil.ignore_patterns("__pycache__", ".progressive-training", "v0*")


def rehearsed(source: Path, folder: Path) -> tuple[float, StartResult]:
    """Seconds from the first call to the page, and the last answer."""
    shutil.copytree(source, folder, symlinks=False, ignore=LEFT_OUT)
    project, began = Project(folder), time.monotonic()
    while (result := start_loop(project)).state == "running":
        time.sleep(0.1)
    return time.monotonic() - began, result


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("projects", nargs="*", default=["digits", "ocr", "diabetes"])
    parser.add_argument("--page", action="store_true")
    arguments = parser.parse_args()
    for name in arguments.projects:
        source = EXAMPLES / name if (EXAMPLES / name).is_dir() else Path(name)
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / source.name
            seconds, result = rehearsed(source, folder)
            worst = [one.code for one in result.rehearsal if one.level in ("problem", "warning")]
            print(f"{source.name}: {seconds:.1f} s; {', '.join(worst) or 'nothing to mend'}", flush=True)
            if arguments.page:
                print(result.message)
                for page in folder.glob("Models/Artifacts/v*/_tests/rehearsal.md"):
                    print(page.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
