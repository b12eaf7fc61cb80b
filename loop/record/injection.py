"""How the recorder gets into a job: by variables that every child inherits, whoever starts it."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

# Resolved: where the package is reached through links, the sandbox binds what they lead to.
RECORDER = Path(__file__).resolve().with_name("recorder")
CHECKPOINT_FACTS = Path(__file__).with_name("checkpoint_facts.py")
"""The program that says what a checkpoint says of itself: a child of an evaluation runs it, never this process."""
FACTS = "PROGRESSIVE_TRAINING_FACTS"
REHEARSAL = "PROGRESSIVE_TRAINING_REHEARSAL"
"""Its limits as JSON, for a run that is only to be tried."""
LIVE = "PROGRESSIVE_TRAINING_LIVE"
"""Asks for what a runner watches while it goes on: for trainings, which it may end."""
MODULE = "progressive_training_recorder"


def variables(env: Mapping[str, str], facts: Path, *, recorder: Path = RECORDER) -> dict[str, str]:
    """What to add to a job's environment `env` so that each of its Python processes leaves its facts in `facts`.

    `facts` must exist and be writable for the job, and `recorder` readable. An interpreter that runs with -E or -I
    ignores this.
    """
    before = env.get("PYTHONPATH")
    site = str(recorder / "site")
    return {FACTS: str(facts), "PYTHONPATH": f"{site}{os.pathsep}{before}" if before else site}


def place(folder: Path) -> Path:
    """Copies the recorder into `folder`, for a job that can't see this package; the new place, for `variables`."""
    target = folder / "recorder"
    shutil.copytree(RECORDER, target, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    return target


def late_install(facts: Path, *, recorder: Path = RECORDER) -> str:
    """Python source that starts the recorder in an interpreter that runs already, also after torch was imported."""
    return (
        "import importlib.util, sys\n"
        f"spec = importlib.util.spec_from_file_location({MODULE!r}, {str(recorder / '__init__.py')!r}, "
        f"submodule_search_locations=[{str(recorder)!r}])\n"
        f"module = sys.modules.setdefault({MODULE!r}, importlib.util.module_from_spec(spec))\n"
        "if not hasattr(module, 'install'):\n"
        "    spec.loader.exec_module(module)\n"
        f"module.install({str(facts)!r})\n"
    )
