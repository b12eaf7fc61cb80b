"""Whether a file or folder is still as it was, by times and sizes alone."""

from collections.abc import Iterator

from ...loop.errors import LoopError
from ...loop.project.project import Project


def stamp(project: Project, relative: str) -> str:
    """Another text as soon as it is written, made or removed."""
    status = next(_status(project, relative), "")
    return f"{relative} {status}"


def _status(project: Project, relative: str) -> Iterator[str]:
    try:
        for _, status in project.workspace.tree.walk(relative):
            yield f"{status.st_mtime_ns} {status.st_size} {status.st_ino}"
    except LoopError:
        return
