"""Draws a finished loop: the primary metric by version, with the one action that led to each and its noise label.

python bench/picture.py PROJECT OUT.png
"""

import sys
from pathlib import Path

from progressive_training.loop.project.project import Project
from progressive_training.loop.report.pictures import shown
from progressive_training.pages.charts.painting import INSTALL
from progressive_training.pages.report import pictures


def draw(project: Path, out: Path) -> None:
    """Writes the picture that a report has as pictures/metric.png."""
    painted = pictures(shown(Project(project)))
    if "pictures/metric.png" not in painted:
        sys.exit(f"picture: no version in {project} has a score yet, or matplotlib is missing ({INSTALL})")
    out.write_bytes(painted["pictures/metric.png"])


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python bench/picture.py PROJECT OUT.png")
    draw(Path(sys.argv[1]), Path(sys.argv[2]))
