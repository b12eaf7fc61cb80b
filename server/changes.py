"""What has changed in a project, looked up cheaply: by the times and sizes of a few files."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import anyio
import anyio.to_thread

from ..loop.errors import LoopError
from ..loop.project.attempts import Attempt
from ..loop.project.project import Project
from ..loop.project.state import REPORT_RECEIPT, derive
from ..loop.train.curves import log_folder
from .dashboard.scorings import open_scorings, stamp

POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Seen:
    """`state` changes with every Step, `curves` with every epoch that the running training writes."""

    state: str
    curves: str

    @property
    def text(self) -> str:
        return f"{self.state}.{self.curves}"


def look(project: Project) -> Seen:
    """Reads a few receipts and the status of about ten files; nothing is written, and no lock taken.

    When the journal has grown, it looks for what is scored for a report, which takes a look at every version.
    """
    workspace = project.workspace
    fixed = (workspace.journal, workspace.loop_file, REPORT_RECEIPT)
    state = [stamp(project, name) for name in fixed]
    curves: list[str] = []
    try:
        rules = project.rules()
        state.append(f"{rules.rules_sha256} {rules.instruction_sha256}")
        attempt = derive(project, rules).running
        for one in open_scorings(project):
            state += _stamps(project, one)
    except LoopError as error:
        state.append(str(error))
        attempt = None
    if attempt is not None:
        state += _stamps(project, attempt)
        folder = log_folder(workspace.tree, attempt.version.artifacts)
        curves = [stamp(project, f"{folder}/metrics.csv")] if folder else []
    return Seen(_short(state), _short(curves))


async def changes(project: Project, ended: anyio.Event) -> AsyncIterator[Seen]:
    """What is there now, and then each change, until the reader goes away or the server ends."""
    before: Seen | None = None
    while not ended.is_set():
        now = await anyio.to_thread.run_sync(look, project)
        if now != before:
            before = now
            yield now
        with anyio.move_on_after(POLL_SECONDS):
            await ended.wait()


def _stamps(project: Project, attempt: Attempt) -> list[str]:
    return [stamp(project, f"{attempt.relative}/{name}") for name in ("job.json", "result.json", "cancel.json")]


def _short(parts: list[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
