"""Watching a project for change, cheaply: by the status of a few files, twice a second while somebody wants to know."""

import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import anyio
import anyio.to_thread

from ..loop.errors import LoopError
from ..loop.project.attempts import Attempt
from ..loop.project.project import Project
from ..loop.project.state import REPORT_RECEIPT, derive
from ..loop.report.rescoring import open_attempts
from ..loop.store.cache import Stamp
from ..loop.train.curves import log_folder

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

    When the journal has grown, it looks for what is scored for a report, which takes a look at every version. A project
    that can't be read is a state like any other: it changes once it can.
    """
    workspace = project.workspace
    known = workspace.tree.known
    state: list[object] = [known.stamp(name) for name in (workspace.journal, workspace.loop_file, REPORT_RECEIPT)]
    curves: list[Stamp | None] = []
    try:
        rules = project.rules()
        state += (rules.rules_sha256, rules.instruction_sha256)
        attempt = derive(project, rules).running
        for one in (*open_scorings(project), *((attempt,) if attempt else ())):
            state += [known.stamp(f"{one.relative}/{name}") for name in ("job.json", "result.json", "cancel.json")]
        folder = log_folder(workspace.tree, attempt.version.artifacts) if attempt else None
        if folder:
            curves = [known.stamp(f"{folder}/metrics.csv")]
    except (LoopError, OSError) as error:
        state.append(str(error))
    return Seen(_digest(state), _digest(curves))


async def changes(project: Project, ended: anyio.Event) -> AsyncIterator[Seen]:
    """What is there now, and then each change, until the reader goes away or `ended` is set."""
    before: Seen | None = None
    while not ended.is_set():
        now = await anyio.to_thread.run_sync(look, project)
        if now != before:
            before = now
            yield now
        with anyio.move_on_after(POLL_SECONDS):
            await ended.wait()


def open_scorings(project: Project) -> Sequence[Attempt]:
    """What is scored for the report; every version is looked at only when the journal has grown, as it does with each.

    Raises `LoopError`.
    """
    found = _open_scorings(project, project.workspace.tree.known.stamp(project.workspace.journal))
    return [attempt for attempt in found if attempt.verdict is None]


@lru_cache(maxsize=4)
def _open_scorings(project: Project, _journal: Stamp | None) -> tuple[Attempt, ...]:
    return tuple(open_attempts(project))


def _digest(parts: Sequence[object]) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
