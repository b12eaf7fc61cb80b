"""A whole loop from the command line: the demo, and `run` with a built-in agent."""

import json
import shutil
import sys
from collections.abc import Mapping
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

import anyio
from mcp import Client
from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table

from ..agents.offline.driver import Event, drive
from ..loop.errors import LoopError, ProjectError
from ..loop.evidence import clean
from ..loop.project import Project
from ..loop.state import report_receipt
from ..loop.status import status
from ..loop.workspace import RULES_FILE
from ..tools import final_report, next_step
from .app import build_server
from .commands import console

_DEMO_NEEDS = ("torch", "lightning", "torchmetrics")
_REFRESH_SECONDS = 0.5


def demo(folder: Path, versions: int | None) -> int:
    """Copies the digits example to `folder` and runs its loop; a demo that was interrupted there goes on.

    Raises `LoopError` if the packages that the example trains with are missing, or the folder holds something else.
    """
    lacking = [name for name in _DEMO_NEEDS if find_spec(name) is None]
    if lacking:
        raise LoopError(
            f"the demo trains a real model, and {', '.join(lacking)} is not installed",
            hint='pip install "progressive-training[lightning]"',
        )
    marker = folder / ".progressive-training"
    if folder.exists() and any(folder.iterdir()) and not marker.is_dir():
        raise ProjectError("is not empty", where=str(folder), hint="name a new folder: progressive-training demo DIR")
    if not marker.is_dir():
        _copy_example(folder, versions)
    out = console()
    out.print(f"Handwritten digits, 1,797 real images; project: {folder}", markup=False)
    code = run(Project(folder), None)
    if code == 0:
        out.print(f"\nLook at it: {folder}/02_train_v002.py, {folder}/Models/Artifacts/v002/", markup=False)
    return code


def _copy_example(folder: Path, versions: int | None) -> None:
    source = resources.files("progressive_training.examples").joinpath("digits")
    with resources.as_file(source) as example:
        # The example's rules file is a link to the one that the README shows; a project gets a file of its own.
        shutil.copytree(
            example, folder, symlinks=False, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
        )
    if versions is not None:
        path = folder / RULES_FILE
        rules = json.loads(path.read_text(encoding="utf-8"))
        rules["loop_config"]["max_versions"] = versions
        path.write_text(json.dumps(rules, indent=2) + "\n", encoding="utf-8")


def run(project: Project, versions: int | None) -> int:
    """Drives the loop to its report, going on where it stands; `versions` ends it earlier than the rules do."""
    most = project.rules().file.loop_config.max_versions
    if versions is not None and versions > most:
        raise LoopError(
            f"the rules allow {most} versions, and {versions} were asked for",
            where=RULES_FILE,
            hint="raise loop_config.max_versions there, or ask for fewer",
        )
    anyio.run(_drive, project, versions)
    receipt = report_receipt(project)
    if receipt is None:
        return 0
    out = console()
    result = final_report(project)
    if result.leaderboard:
        labels = {one.version_id: one.gain.label or "" for one in status(project).versions if one.gain}
        out.print(leaderboard_table(result.leaderboard, labels))
    out.print(f"Best: {receipt.best or 'none'}. Report: {project.workspace.root / receipt.folder}/", markup=False)
    return 0


async def _drive(project: Project, versions: int | None) -> None:
    error = Console(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())
    stopped: LoopError | None = None
    spinner = Spinner("dots", "starting")
    with Live(spinner, console=error, transient=True, refresh_per_second=8) if error.is_terminal else _Quiet():
        async with Client(build_server(project)) as client, anyio.create_task_group() as tasks:
            if error.is_terminal:
                tasks.start_soon(_follow, project, spinner)
            try:
                await drive(client, on_event=lambda event: _tell(error, event), last_version=versions)
            except LoopError as found:
                stopped = found  # raised below: from here, the task groups would wrap it
            tasks.cancel_scope.cancel()
    if stopped is not None:
        raise stopped


class _Quiet:
    """No live display, where stderr is no terminal."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exception: object) -> None:
        return None


async def _follow(project: Project, spinner: Spinner) -> None:
    while True:
        try:
            result = await anyio.to_thread.run_sync(lambda: next_step(project, brief=False))
            version = f"v{result.version:03d} " if result.version else ""
            spinner.update(text=version + (result.job.line if result.job else result.phase))
        except LoopError as error:
            spinner.update(text=error.what)
        await anyio.sleep(_REFRESH_SECONDS)


def _tell(out: Console, event: Event) -> None:
    version = f"v{event.version:03d}" if event.version else "    "
    text = " ".join(clean(event.text, 2000).split())
    room = max(20, out.width - 27) if out.is_terminal else 200
    out.print(f"{version}  {event.step:<20} {text if len(text) <= room else text[: room - 1] + '…'}", markup=False)


def leaderboard_table(text: str, labels: Mapping[str, str]) -> Table:
    """The leaderboard's CSV as a table that fits 80 columns; `labels` say what each gain over its parent is called."""
    import csv

    rows = list(csv.DictReader(text.splitlines()))
    metrics = [name for name in (rows[0] if rows else {}) if name.startswith("metric__")]
    table = Table(title="Leaderboard", title_justify="left")
    for heading in ("#", "version", *(name.removeprefix("metric__") for name in metrics), "latency_ms", "gain is"):
        table.add_column(heading, justify="left" if heading in ("version", "gain is") else "right")
    for place, row in enumerate(rows, 1):
        values = (_short(row[name]) for name in metrics)
        label = labels.get(row["version_id"], "")
        table.add_row(str(place), row["version_id"], *values, _short(row["latency_ms"]), label)
    return table


def _short(text: str) -> str:
    try:
        return f"{float(text):.4g}"
    except ValueError:
        return text
