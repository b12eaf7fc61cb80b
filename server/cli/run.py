"""A whole loop from the command line: the demo, and `run` with a built-in agent."""

import json
import shutil
import sys
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import anyio
from mcp import Client
from mcp.shared.dispatcher import ProgressFnT
from mcp_types import CallToolResult
from rich.console import Console
from rich.table import Table

from ...agents.offline.driver import Event, drive
from ...loop.errors import LoopError, ProjectError
from ...loop.project.project import Project
from ...loop.project.receipts import ReportReceipt
from ...loop.project.state import report_receipt
from ...loop.report.additions import PAGE
from ...loop.report.status import status
from ...loop.store.paths import RULES_FILE, version_id
from ...prompts.evidence import clean
from ...tools import final_report, next_step
from ...tools.final_report import ReportResult
from ..app import build_server
from .program import command
from .steps import console
from .terminal import lines, live

Tell = Callable[[Event], None]
Hear = Callable[[int | None, str], None]
"""Gets the version, where it is of one, and how far its job is; "" once nothing is waited for."""
Agent = Callable[[Client, Tell, int | None], Awaitable[object]]
"""Who thinks: drives a connected loop, tells of each Step, and stops after a version if one is named."""

_TOLD_APART_BY = "dataset/prepdata/v1/stats.json"  # a loop's data set can't change
_DEMO_NEEDS = ("torch", "lightning", "torchmetrics")
EXAMPLES: Mapping[str, str] = {
    "digits": "Handwritten digits, 1,797 real images",
    "ocr": "Rows of handwritten digits, read by CTC, and a nearest-neighbours model to compare with",
    "diabetes": "A year of diabetes from ten measurements of 442 patients",
}


def demo(
    folder: Path, versions: int | None, example: str | None = None, *, quiet: bool = False, as_json: bool = False
) -> int:
    """Copies an example to `folder` and runs its loop; a demo that was interrupted there goes on as it was begun.

    Raises `LoopError` if the packages that the example trains with are missing, or the folder holds something else,
    another example included.
    """
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
    if as_json:
        return run(project, None, as_json=True)
    out.print(f"{EXAMPLES[example]}; project: {folder}", markup=False)
    code = run(project, None, quiet=quiet)
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


async def offline(client: Client, tell: Tell, versions: int | None) -> object:
    """The agent that needs no key."""
    return await drive(client, on_event=tell, last_version=versions)


def run(
    project: Project, versions: int | None, agent: Agent = offline, *, quiet: bool = False, as_json: bool = False
) -> int:
    """Drives the loop to its report, going on where it stands; `versions` ends it earlier than the rules do.

    `quiet` tells nothing until the end, and `as_json` ends with the report's result as one JSON object.
    """
    most = project.rules().file.loop_config.max_versions
    if versions is not None and versions > most:
        raise LoopError(
            f"the rules allow {most} versions, and {versions} were asked for",
            where=RULES_FILE,
            hint="raise loop_config.max_versions there, or ask for fewer",
        )
    anyio.run(partial(_drive, project, versions, agent, quiet=quiet or as_json))
    receipt = report_receipt(project)
    result = final_report(project) if receipt else next_step(project, brief=False)
    if as_json:
        sys.stdout.write(result.model_dump_json(indent=1, exclude_none=True) + "\n")
    elif receipt is not None and isinstance(result, ReportResult):
        _show_report(project, receipt, result)
    return 0


def _show_report(project: Project, receipt: ReportReceipt, result: ReportResult) -> None:
    out = console()
    if result.leaderboard:
        labels = {one.version_id: one.gain.label or "" for one in status(project).versions if one.gain}
        out.print(leaderboard_table(result.leaderboard, labels))
    out.print(f"Best: {receipt.best or 'none'}. Report: {project.workspace.root / receipt.folder}/", markup=False)


class _Hearing(Client):
    """Hears how far the job of the present call is, whoever makes it."""

    def __init__(self, project: Project, hear: Hear) -> None:
        super().__init__(build_server(project))
        self._hear = hear

    async def call_tool(
        self,
        name: str,
        arguments: dict[str, Any] | None = None,
        read_timeout_seconds: float | None = None,
        progress_callback: ProgressFnT | None = None,
        **more: Any,
    ) -> CallToolResult:
        version = (arguments or {}).get("version")
        number = version if isinstance(version, int) else None

        async def hear(progress: float, total: float | None, message: str | None) -> None:
            self._hear(number, message or "")

        try:
            return await super().call_tool(name, arguments, read_timeout_seconds, progress_callback or hear, **more)
        finally:
            self._hear(number, "")


async def _drive(project: Project, versions: int | None, agent: Agent, *, quiet: bool) -> None:
    error = Console(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())
    tell, latest = lines(error, quiet=quiet), ""
    stopped: LoopError | None = None

    def hear(version: int | None, said: str) -> None:
        nonlocal latest
        latest = said.removesuffix(". Call again.")  # a person need not
        if latest:
            tell(f"{_label(version)}  {latest}")

    with live(project, error, quiet=quiet, told=lambda: latest):
        async with _Hearing(project, hear) as client:
            try:
                await agent(client, lambda event: None if quiet else _tell(error, event), versions)
            except LoopError as found:
                stopped = found  # raised below: from here, the client's task group would wrap it
    if stopped is not None:
        raise stopped


def _label(version: int | None) -> str:
    return version_id(version) if version else "    "


def _tell(out: Console, event: Event) -> None:
    text = " ".join(clean(event.text, 2000).split())
    room = max(20, out.width - 27) if out.is_terminal else 200
    shown = text if len(text) <= room else f"{text[: room - 1]}…"
    out.print(f"{_label(event.version)}  {event.step:<20} {shown}", markup=False)


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
