"""The demo: an example is copied, improved over some versions, and its leaderboard shown."""

import argparse
import json
import shutil
import sys
from collections.abc import Mapping
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

from ...loop.errors import LoopError, ProjectError
from ...loop.project.project import Project
from ...loop.project.state import report_receipt
from ...loop.report.report_folder import PAGE
from ...loop.store.paths import RULES_FILE
from .invocation import command
from .progress_display import console
from .run import run

_TOLD_APART_BY = "dataset/prepdata/v1/stats.json"  # a loop's data set can't change
_DEMO_NEEDS = ("torch", "lightning", "torchmetrics")
EXAMPLES: Mapping[str, str] = {
    "digits": "Handwritten digits, 1,797 real images",
    "ocr": "Rows of handwritten digits, read by CTC, and a nearest-neighbours model to compare with",
    "diabetes": "A year of diabetes from ten measurements of 442 patients",
}


def on_demo(arguments: argparse.Namespace) -> int:
    """Copies an example to a folder and runs its loop; a demo that was interrupted there goes on as it was begun.

    Raises `LoopError` if the packages that the example trains with are missing, or the folder holds something else,
    another example included.
    """
    versions, example = arguments.versions, arguments.example
    folder = Path(arguments.folder or ("demo" if example in (None, "digits") else f"demo-{example}"))
    arguments.project = str(folder)  # where `cancel` finds its job, should this be interrupted
    lacking = [name for name in _DEMO_NEEDS if find_spec(name) is None]
    if lacking:
        raise LoopError(
            f"the demo trains a real model, and {', '.join(lacking)} is not installed",
            hint='pip install "progressive-training[lightning]"',
        )
    begun = (folder / ".progressive-training").is_dir()
    if not begun and folder.exists() and any(folder.iterdir()):
        raise ProjectError("is not empty", where=str(folder), hint=_elsewhere(example))
    if begun:
        example = _begun(folder, example)
        _tell_versions(folder, versions)
    else:
        example = example or "digits"
        _copy_example(folder, versions, example)
    project, out = Project(folder).kept_warm(), console()
    if arguments.json:
        return run(project, None, as_json=True)
    out.print(f"{EXAMPLES[example]}; project: {folder}", markup=False)
    code = run(project, None, quiet=arguments.quiet)
    if code == 0:
        report = report_receipt(Project(folder))
        page = f"{folder}/{report.folder}/{PAGE}" if report else f"{folder}/Models/Artifacts/v001/"
        out.print(f"\nLook at it: {page}", markup=False, soft_wrap=True)
        out.print(f"            {command('dashboard', project=folder)}", markup=False, soft_wrap=True)
    return code


def _elsewhere(example: str | None) -> str:
    chosen = ("--example", example) if example else ()
    return f"name a new folder: {command('demo', 'DIR', *chosen)}"


def _begun(folder: Path, example: str | None) -> str:
    """The example whose demo lies in the folder. Raises `ProjectError` if there is none, or not the one asked for."""
    found = (folder / _TOLD_APART_BY).read_bytes() if (folder / _TOLD_APART_BY).is_file() else None
    examples = resources.files("progressive_training.examples")
    there = [name for name in EXAMPLES if examples.joinpath(name).joinpath(_TOLD_APART_BY).read_bytes() == found]
    if not there:
        raise ProjectError(
            "holds a project that is no demo",
            where=str(folder),
            hint=f"{_elsewhere(example)}; its own loop goes on with: {command('run', project=folder)}",
        )
    if example not in (None, *there):
        raise ProjectError(f"holds the example {there[0]}, not {example}", where=str(folder), hint=_elsewhere(example))
    return there[0]


def _tell_versions(folder: Path, versions: int | None) -> None:
    """Says what holds where another number of versions was asked for."""
    most = Project(folder).rules().file.loop_config.max_versions
    if versions in (None, most):
        return
    accepting = command("rules", "accept", project=folder)
    sys.stderr.write(
        f"{folder} was begun with {most} versions, which holds: --versions {versions} changes nothing there.\n"
        f"Next: set loop_config.max_versions in {folder / RULES_FILE}, then: {accepting}\n"
    )


def _copy_example(folder: Path, versions: int | None, example: str) -> None:
    source = resources.files("progressive_training.examples").joinpath(example)
    left_out = shutil.ignore_patterns("__pycache__", ".*")
    with resources.as_file(source) as files:
        # The example's rules file is a link to the one that the README shows; a project gets a file of its own.
        shutil.copytree(files, folder, symlinks=False, dirs_exist_ok=True, ignore=left_out)
    if versions is not None:
        path = folder / RULES_FILE
        rules = json.loads(path.read_text(encoding="utf-8"))
        rules["loop_config"]["max_versions"] = versions
        path.write_text(json.dumps(rules, indent=2) + "\n", encoding="utf-8")
