"""`python -m progressive_training.loop.report.trackers.notifications PROJECT`: what `notify_later` starts."""

import argparse
import os
from pathlib import Path

from ....errors import LoopError
from ....project.project import Project
from .telling import tell


def main() -> int:
    """Tells the user of the project what is new."""
    parser = argparse.ArgumentParser(prog="python -m progressive_training.loop.report.trackers.notifications")
    parser.add_argument("project", type=Path)
    parser.add_argument("--skill-folder", type=Path, action="append", default=[])
    parser.add_argument("--stopped", metavar="WHY", help="a run ended, and why")
    given = parser.parse_args()
    os.nice(10)  # the training has the processors first
    try:
        tell(Project(given.project, tuple(given.skill_folder)), given.stopped)
    except LoopError as error:
        parser.exit(1, f"{error}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
