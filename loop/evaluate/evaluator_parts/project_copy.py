"""Makes the stage: a folder that looks like the project to a script, with the code of one version and no artifacts.

The server runs this, and so does 03_eval.py by hand. Standard library only, Python 3.9 syntax.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

#: Never part of a stage: the loop's own state, version control, virtual environments, caches.
LEFT_OUT = frozenset({".progressive-training", ".git", ".hg", ".svn", ".venv", "venv", "__pycache__"})


def make_stage(project: Path, snapshot: Path, stage: Path) -> None:
    """Lay out `stage` so that the version in `snapshot` runs in it as it would in `project`.

    Files of the snapshot are copies, so that `Path(__file__).resolve().parent` is the stage. `Models/` is fresh, with
    an empty `Models/Artifacts/<version>/`, so that what a script writes before it trains reaches no artifact. The rest
    (data, configuration, vocabularies) is symlinks into the project: a script that writes there does write there.

    Raises:
        FileNotFoundError: the snapshot holds no file.
        FileExistsError: the stage holds something already.
    """
    project, stage = project.resolve(), stage.resolve()
    files = [path for path in sorted(snapshot.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    if not files:
        raise FileNotFoundError(f"{snapshot} holds no file to stage")
    stage.mkdir(parents=True, exist_ok=True)
    if any(stage.iterdir()):
        raise FileExistsError(f"{stage} isn't empty; give make_stage a new folder")
    (stage / "Models" / "Artifacts").mkdir(parents=True)
    for path in files:
        copy = stage / path.relative_to(snapshot)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
        if copy.parent == stage and copy.match("02_train_*.py"):
            version = copy.stem[len("02_train_") :]
            (stage / "Models" / "Artifacts" / version).mkdir(exist_ok=True)
    for entry in sorted(project.iterdir()):
        if entry.name != "Models" and not entry.match("02_train_*.py") and entry not in (stage, *stage.parents):
            _link(entry, stage / entry.name)


def _link(entry: Path, place: Path) -> None:
    """Put a symlink to `entry` at `place`; where the snapshot has made a folder there, link what that folder lacks."""
    if entry.name in LEFT_OUT or (entry / "pyvenv.cfg").exists():
        return
    if place.is_dir() and entry.is_dir():
        for child in sorted(entry.iterdir()):
            _link(child, place / child.name)
    elif not os.path.lexists(place):
        place.symlink_to(entry)
