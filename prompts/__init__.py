"""Renders what a model reads: the briefs of the Steps, and the scripts that the loop writes."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ..loop.text import clean, fence

if TYPE_CHECKING:
    from jinja2 import Environment

FOLDER = Path(__file__).resolve().parent
# Those that have a brief.
PHASES: tuple[str, ...] = ("start", "train", "repair", "evaluate", "analysis", "action", "author", "report", "done")


@lru_cache(maxsize=1)
def _environment() -> "Environment":
    return text_environment(FOLDER, FOLDER / "scripts")


def text_environment(*folders: Path) -> "Environment":
    """Templates of plain text and Markdown in these folders, with the filters that bound and mark foreign text."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    # No HTML is made here: escaping would garble code and Markdown.
    environment = Environment(
        loader=FileSystemLoader(folders),
        undefined=StrictUndefined,
        autoescape=False,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = cast(dict[str, Callable[..., str]], environment.filters)  # pyright: ignore[reportUnknownMemberType]
    filters |= {"repr": repr, "clean": clean, "fence": fence}
    return environment


def render(template: str, **context: object) -> str:
    """The template's text. Raises `jinja2.UndefinedError` for a variable that is missing."""
    return _environment().get_template(template).render(**context)
