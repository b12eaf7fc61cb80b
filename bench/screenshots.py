"""Takes the README's two screenshots of the dashboard, from the demo's real result.

    python bench/screenshots.py DEMO docs/dashboard.png docs/dashboard-phone.png

Needs chromium, and the packages of `make check`.
"""

import io
import os
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from support.browser import Served, chromium, dashboard
from support.projects import Folder

_COLOURS = 192


def main(demo: Path, wide: Path, phone: Path) -> None:
    # What is shown as ~ is where the demo lies.
    os.environ["HOME"] = str(demo.resolve().parent)
    with dashboard(Folder(demo.resolve())) as served, chromium() as browser:
        take(browser, served, "/", wide, width=1240, height=1250, dark=False)
        take(browser, served, "/versions/2#change", phone, width=390, height=1100, dark=True)


def take(browser: Browser, served: Served, path: str, out: Path, *, width: int, height: int, dark: bool) -> None:
    """Two pixels for each of the page's, in few colours."""
    context = browser.new_context(
        viewport={"width": width, "height": height},
        device_scale_factor=2,
        color_scheme="dark" if dark else "light",
        reduced_motion="reduce",
    )
    page = context.new_page()
    page.goto(served.address)
    page.goto(f"{served.base}{path}")
    page.wait_for_selector("#live.on")
    picture = Image.open(io.BytesIO(page.screenshot()))
    picture.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE).save(out, optimize=True)
    context.close()


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: python bench/screenshots.py DEMO WIDE.png PHONE.png")
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
