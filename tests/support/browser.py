"""A dashboard that is served, and a real Chromium that looks at it and lets nothing out of this machine."""

import contextlib
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Error, Page, Route, ViewportSize, sync_playwright

from .e2e import ended, started
from .programs import need
from .projects import Folder

WIDE, NARROW = ViewportSize(width=1280, height=900), ViewportSize(width=360, height=740)
PATIENCE_MS = 30_000


@dataclass(frozen=True)
class Served:
    """`address` has the token, `base` not."""

    address: str

    @property
    def base(self) -> str:
        parts = urlsplit(self.address)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def port(self) -> int:
        port = urlsplit(self.address).port
        assert port is not None
        return port

    @property
    def token(self) -> str:
        return self.address.partition("token=")[2]


@contextlib.contextmanager
def dashboard(folder: Folder) -> Iterator[Served]:
    """`progressive-training dashboard` of a project, on a free port."""
    with started(folder.root, "dashboard", "--port", "0") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if found := re.search(r"http://\S+", line):
                yield Served(found[0])
                return
        raise AssertionError(ended(process).err)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, or what there is of its kind."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        need("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class Visit:
    """One window on a dashboard, and everything in it that must not be."""

    page: Page
    served: Served
    wrong: list[str] = field(default_factory=list)

    def go(self, path: str = "/") -> Page:
        """Opens a page and waits until it is live."""
        self.page.goto(f"{self.served.base}{path}")
        self.page.wait_for_selector("#live.on")
        return self.page


@contextlib.contextmanager
def visit(browser: Browser, served: Served, *, dark: bool = False, narrow: bool = False) -> Iterator[Visit]:
    """A window that is logged in. At its end no error was said, and no request left this machine."""
    context = browser.new_context(viewport=NARROW if narrow else WIDE, color_scheme="dark" if dark else "light")
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    made = Visit(page, served)

    def watch(route: Route) -> None:
        if not route.request.url.startswith((served.base + "/", "data:")):
            made.wrong.append(f"a request left this machine: {route.request.url}")
            route.abort()
        else:
            route.continue_()

    def said(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            made.wrong.append(f"console: {message.text}")

    def failed(error: Error) -> None:
        made.wrong.append(f"script: {error.message}")

    context.route("**/*", watch)
    page.on("console", said)
    page.on("pageerror", failed)
    try:
        page.goto(served.address)
        yield made
    finally:
        context.close()
    assert made.wrong == []
