"""`python -m progressive_training.loop.report.trackers PROJECT`: what a Step and `progressive-training track` start."""

import argparse
import os
from pathlib import Path

from ...project.project import Project
from ..tracker_state import TRACKERS
from .mirror_process import mirror, mirror_all


def main() -> int:
    """Mirrors the project to every tracker that its rules name, or, as such a mirror's child, to one."""
    parser = argparse.ArgumentParser(prog="python -m progressive_training.loop.report.trackers")
    parser.add_argument("project", type=Path)
    parser.add_argument("--skill-folder", type=Path, action="append", default=[])
    parser.add_argument("--wait", action="store_true", help="take a turn even when another mirror waits already")
    parser.add_argument("--tracker", choices=TRACKERS, help="this one only; the caller holds the lock")
    given = parser.parse_args()
    project = Project(given.project, tuple(given.skill_folder))
    if given.tracker:
        return mirror(project, given.tracker)
    os.nice(10)  # the training has the processors first
    mirror_all(project, wait=given.wait)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
