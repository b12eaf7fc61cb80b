"""A whole loop from the command line: the demo, and `run` with a built-in agent."""

import argparse
import csv
import sys
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import anyio
from mcp import Client
from mcp.shared.dispatcher import ProgressFnT
from mcp_types import CallToolResult
from rich.console import Console
from rich.table import Table

from ...agents import openai
from ...agents.base import Event
from ...agents.offline.driver import drive
from ...agents.supervised import break_loudly, is_child, supervised
from ...loop.errors import LoopError
from ...loop.project.project import Project
from ...loop.project.receipts import ReportReceipt
from ...loop.project.state import report_receipt
from ...loop.report.status import status
from ...loop.report.trackers.notifications.start import notify_later
from ...loop.store.paths import RULES_FILE, version_id
from ...loop.text import clean
from ...tools import final_report, next_step
from ...tools.final_report import ReportResult
from ..app import build_server
from .options import project_of
from .progress_display import console, lines, live

_MODEL_OPTIONS = ("base_url", "model", "effort", "max_tokens_total", "max_usd", "price")
Tell = Callable[[Event], None]
Hear = Callable[[int | None, str], None]
"""Gets the version, where it is of one, and how far its job is; "" once nothing is waited for."""
Agent = Callable[[Client, Tell, int | None], Awaitable[object]]
"""Who thinks: drives a connected loop, tells of each Step, and stops after a version if one is named."""


async def offline(client: Client, tell: Tell, versions: int | None) -> object:
    """The agent that needs no key."""
    return await drive(client, on_event=tell, last_version=versions)


def on_run(arguments: argparse.Namespace) -> int:
    """`run` with the agent that the options name. Raises `LoopError` for a model's options without a model."""
    options = {name: value for name in _MODEL_OPTIONS if (value := getattr(arguments, name)) is not None}
    project = project_of(arguments)
    agent = _agent(arguments.agent, project, options)
    if not is_child():
        command = [sys.executable, "-P", "-m", "progressive_training.server", *arguments.words]
        error = Console(stderr=True, highlight=False, soft_wrap=True)
        tree, journal = project.workspace.tree, project.workspace.journal
        return supervised(command, lambda: tree.known.stamp(journal), lambda text: error.print(text, markup=False))
    break_loudly()
    project = project.kept_warm()
    return run(project, arguments.versions, agent, quiet=arguments.quiet, as_json=arguments.json)


def _agent(name: str, project: Project, options: dict[str, Any]) -> Agent:
    """Who is asked for. Raises `LoopError` for options that are another's, or lack a model."""
    base_url = options.pop("base_url", None)
    if name == "openai":
        if "model" not in options:
            raise LoopError("--agent openai needs a model", hint="add --model, with the name that the server has it by")
        return openai.agent(project, openai.Options(**options), base_url)
    if base_url is not None:
        raise LoopError("--base-url is for --agent openai", hint="add that, or set ANTHROPIC_BASE_URL instead")
    if name == "anthropic":
        from ...agents import anthropic  # it brings the vendor's SDK, which need not be installed

        return anthropic.agent(project, anthropic.Options(**options))
    if options:
        named = ", ".join(f"--{option.replace('_', '-')}" for option in options)
        raise LoopError(f"{named}: the offline agent has no model", hint="add --agent anthropic, or leave it out")
    return offline


def run(
    project: Project, versions: int | None, agent: Agent = offline, *, quiet: bool = False, as_json: bool = False
) -> int:
    """Drives the loop to its report, going on where it stands; `versions` ends it earlier than the rules do.

    `quiet` tells nothing until the end, and `as_json` ends with the report's result as one JSON object. The exit code:
    3 if no version is scored, as for a Step that failed.
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
    return 0 if any(one.metrics for one in status(project).versions) else 3


def _show_report(project: Project, receipt: ReportReceipt, result: ReportResult) -> None:
    out = console()
    if result.leaderboard:
        labels = {one.version_id: one.gain.called for one in status(project).versions if one.gain}
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
        latest = said
        if latest:
            tell(f"{_label(version)}  {latest}")

    with live(project, error, quiet=quiet, told=lambda: latest):
        async with _Hearing(project, hear) as client:
            try:
                await agent(client, lambda event: None if quiet else _tell(error, event), versions)
            except LoopError as found:
                stopped = found  # raised below: from here, the client's task group would wrap it
    if not quiet:
        error.set_window_title(f"{project.workspace.root.name}: {'done' if stopped is None else 'stopped'}")
        error.bell()
    if stopped is not None:
        notify_later(project, stopped.what)
        raise stopped


def _label(version: int | None) -> str:
    return version_id(version) if version else "    "


def _tell(out: Console, event: Event) -> None:
    """A line for the Step; on a terminal the window's title says where the loop is."""
    out.set_window_title(f"{_label(event.version).strip()} {event.step}".strip())
    text = " ".join(clean(event.text, 2000).split())
    room = max(20, out.width - 27) if out.is_terminal else 200
    shown = text if len(text) <= room else f"{text[: room - 1]}…"
    out.print(f"{_label(event.version)}  {event.step:<20} {shown}", markup=False)


def leaderboard_table(text: str, labels: Mapping[str, str]) -> Table:
    """The leaderboard's CSV as a table that fits 80 columns; `labels` say what each gain over its parent is called."""
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
