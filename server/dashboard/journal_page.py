"""What the journal's page shows: every event there ever was, some hundred at a time."""

from dataclasses import dataclass

from ...loop.project.project import Project
from ...loop.project.state import derive
from ...loop.store import journal
from .overview_page import Head, head_of

EVENTS_A_PAGE = 500
_SHORTEST = 100  # bytes; no event's line is shorter


@dataclass(frozen=True)
class JournalPage:
    """`events` of one page, newest first, of `total`; pages count from the oldest, so that one that is full stays."""

    head: Head
    events: tuple[journal.Event, ...]
    total: int
    page: int
    pages: int


def journal_page(project: Project, page: int | None) -> JournalPage:
    """The last page by default. Raises `LoopError`."""
    rules = project.rules()
    size = sum(status.st_size for _, status in project.workspace.tree.walk(project.workspace.journal))
    found = journal.events(project.workspace, most=size // _SHORTEST + 1)
    pages = max(1, -(-len(found) // EVENTS_A_PAGE))
    page = min(page or pages, pages)
    shown = found[(page - 1) * EVENTS_A_PAGE : page * EVENTS_A_PAGE]
    return JournalPage(head_of(project, rules, derive(project, rules)), tuple(reversed(shown)), len(found), page, pages)
