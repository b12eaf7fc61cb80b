"""Which address of the dashboard is what. All of it is read, nothing can be changed: there is no other method."""

import re
from collections.abc import AsyncIterator, Callable

import anyio
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from ...loop.errors import LoopError
from ...loop.evaluate.infer_samples import picture
from ...loop.project.project import Project
from ...loop.project.state import report_receipt
from ...loop.project.version import Version
from ...loop.report.report_folder import PAGE
from ...loop.store.paths import MAX_VERSION
from ..changes import changes, look
from .html import STATIC, journal_html, overview_html, problem_html, version_html
from .journal_page import journal_page
from .overview_page import overview
from .version_page import version_page

_LAST_SECONDS = 2.0  # for a stream of events to end by itself when the server does
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
# A picture comes from the trained model's side: shown alone, it may not even load a style.
_PICTURE_POLICY = "default-src 'none'; sandbox; frame-ancestors 'none'"
_REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox; frame-ancestors 'none'"
_KEPT = "private, max-age=31536000, immutable"


def routes(project: Project) -> list[BaseRoute]:
    """The dashboard's addresses; whoever serves them checks host and token.

    The endpoints are plain functions, which Starlette runs in threads: reading a project never holds up other requests.
    """
    return [
        Route("/", _page(project, _overview)),
        Route("/versions/{number}", _page(project, _version)),
        Route("/versions/{number}/samples/{sample}/{file}", _page(project, _picture)),
        Route("/journal", _page(project, _journal)),
        Route("/report", _page(project, _report)),
        Route("/events", _events(project)),
        Route("/static/{name}", _static),
        Route("/favicon.ico", _no_icon),
        Route("/{rest:path}", _page(project, _nothing)),
    ]


Show = Callable[[Project, Request], Response]


def _page(project: Project, show: Show) -> Callable[[Request], Response]:
    def endpoint(request: Request) -> Response:
        try:
            return show(project, request)
        except LoopError as error:
            problem = error
        except OSError as error:
            problem = LoopError(f"can't be read ({error.strerror})", where=str(error.filename or project.root))
        return _html(problem_html("The project can't be shown", problem, ""), 503)

    return endpoint


def _overview(project: Project, request: Request) -> Response:
    # Looked at first: of what changes while the page is made, the page learns afterwards.
    seen = look(project).text
    return _html(overview_html(overview(project, _number(request.query_params.get("page", ""))), seen))


def _version(project: Project, request: Request) -> Response:
    seen, number = look(project).text, _number(request.path_params["number"])
    view = version_page(Version(project, number)) if number else None
    return _nothing(project, request) if view is None else _html(version_html(view, seen))


def _journal(project: Project, request: Request) -> Response:
    seen = look(project).text
    return _html(journal_html(journal_page(project, _number(request.query_params.get("page", ""))), seen))


def _picture(project: Project, request: Request) -> Response:
    number, sample, file = (_number(request.path_params[name]) for name in ("number", "sample", "file"))
    found = picture(Version(project, number), sample, file) if number and sample and file else None
    if found is None:
        return _nothing(project, request)
    return Response(found.data, media_type=found.kind, headers={**_HEADERS, "Content-Security-Policy": _PICTURE_POLICY})


def _report(project: Project, request: Request) -> Response:
    """The finished report's own page, which holds its style; nothing in it may run or load."""
    receipt = report_receipt(project)
    if receipt is None:
        return _nothing(project, request)
    try:
        page = project.workspace.tree.read(f"{receipt.folder}/{PAGE}")
    except FileNotFoundError:
        return _nothing(project, request)
    return HTMLResponse(page, headers={**_HEADERS, "Content-Security-Policy": _REPORT_POLICY})


def _nothing(_project: Project, _request: Request) -> Response:
    return _html(problem_html("There is no such page", None, ""), 404)


def _events(project: Project) -> Callable[[Request], Response]:
    async def stream(ended: anyio.Event) -> AsyncIterator[ServerSentEvent]:
        async for seen in changes(project, ended):
            yield ServerSentEvent(data=seen.text)

    async def endpoint(_request: Request) -> Response:
        ended = anyio.Event()
        return EventSourceResponse(
            stream(ended), headers=_HEADERS, shutdown_event=ended, shutdown_grace_period=_LAST_SECONDS
        )

    return endpoint  # pyright: ignore[reportReturnType] - Starlette takes both kinds


def _static(request: Request) -> Response:
    name: str = request.path_params["name"]
    if name not in STATIC:
        return Response(status_code=404, headers=_HEADERS)
    path, kind = STATIC[name]
    return FileResponse(path, media_type=kind, headers={**_HEADERS, "Cache-Control": _KEPT})


def _no_icon(_request: Request) -> Response:
    return Response(status_code=204, headers=_HEADERS)


def _html(text: str, status: int = 200) -> Response:
    return HTMLResponse(text, status, headers=_HEADERS)


def _number(text: str) -> int | None:
    """From 1; None for what is no such number."""
    return int(text) if re.fullmatch(r"[1-9][0-9]{0,5}", text, re.ASCII) and int(text) <= MAX_VERSION else None
