"""Pages: templates whose values are escaped, and Markdown of others as HTML that can do nothing."""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ..prompts import text_environment
from .charts.scale import number, signed
from .charts.shapes import Chart

if TYPE_CHECKING:
    from jinja2 import Environment
    from markdown_it import MarkdownIt
    from markdown_it.token import Token
    from markupsafe import Markup

FOLDER = Path(__file__).resolve().parent
_MOST_MARKDOWN = 200_000


def page_environment(*folders: Path) -> "Environment":
    """An environment of its own, beside that of the briefs and scripts: here every value is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader((*folders, FOLDER / "charts", FOLDER / "templates")),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = cast(dict[str, Callable[..., object]], environment.filters)  # pyright: ignore[reportUnknownMemberType]
    filters |= {"svg": svg, "markdown": markdown, "number": number, "signed": signed}
    return environment


@lru_cache(maxsize=1)
def _environment() -> "Environment":
    return page_environment()


def svg(chart: Chart) -> "Markup":
    """The chart as an SVG element, its texts escaped."""
    from markupsafe import Markup

    # Escaped by the template; marked, so that the page around it doesn't escape it again.
    return Markup(_environment().get_template("chart.svg.j2").render(chart=chart))


def render_page(template: str, **context: object) -> str:
    """A page of this package, escaped. Raises `jinja2.UndefinedError` for a variable that is missing."""
    return _environment().get_template(template).render(**context)


def render_text(template: str, **context: object) -> str:
    """A Markdown document of this package. Raises `jinja2.UndefinedError` for a variable that is missing."""
    return text_environment(FOLDER / "templates").get_template(template).render(**context)


def markdown(text: str, *, below: int = 2) -> "Markup":
    """Markdown as HTML: raw HTML is shown as text, pictures are left out, links send no referrer.

    `below` is the level of the heading above it: its own begin one lower.
    """
    from markupsafe import Markup

    parser = _parser()
    tokens = parser.parse(text[:_MOST_MARKDOWN])
    for token in _all(tokens):
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1]) + below)}"
        if token.type == "link_open":
            token.attrSet("rel", "noreferrer nofollow")
        if token.type == "td_open" or token.type == "th_open":
            token.attrs.pop("style", None)  # alignment; the page's policy lets no inline style through
    return Markup(parser.renderer.render(tokens, parser.options, {}))


@lru_cache(maxsize=1)
def _parser() -> "MarkdownIt":
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")


def _all(tokens: Sequence["Token"]) -> Iterator["Token"]:
    for token in tokens:
        yield token
        yield from _all(token.children or ())
