"""How soon the dashboard shows something: its first page, at 10 and at 1,000 versions, in Chromium.

    python bench/dashboard.py [--versions 10 1000] [--times 9] [--rows FILE]

The server is started anew for each size, and its first page counts apart: later ones find everything imported. Time to
first content is the browser's own "first contentful paint", from the click on; the loop is the one of tests/support,
grown by copies. Works in /dev/shm where there is one.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser
from rows import Row, add_rows_option, write_rows

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from support.browser import Served, chromium, dashboard
from support.many_versions import grow
from support.projects import Folder, Shelf

_MEMORY = Path("/dev/shm")
_PAINTED = """() => new Promise((done) => {
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (entry.name === "first-contentful-paint") done(entry.startTime);
  }).observe({type: "paint", buffered: true});
})"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--versions", type=int, nargs="+", default=[10, 1000])
    parser.add_argument("--times", type=int, default=9)
    add_rows_option(parser)
    asked = parser.parse_args()
    rows: list[Row] = []
    print(f"{'versions':>8}{'first, ms':>12}{'then p50':>12}{'most':>8}{'page, KB':>10}{'all, KB':>9}")
    with tempfile.TemporaryDirectory(prefix="dashboard-", dir=_MEMORY if _MEMORY.is_dir() else None) as room:
        finished = Shelf(Path(room) / "shelf").copy("finished", Path(room) / "finished")
        for versions in asked.versions:
            folder = Path(room) / f"of {versions}"
            grow(finished.root, folder, versions)
            with dashboard(Folder(folder)) as served, chromium() as browser:
                taken = [opened(browser, served) for _ in range(asked.times + 1)]
            (first, page, everything), *later = taken
            times = [time for time, _, _ in later]
            print(
                f"{versions:>8}{first:>12.0f}{statistics.median(times):>12.0f}{max(times):>8.0f}"
                f"{page / 1000:>10.0f}{everything / 1000:>9.0f}"
            )
            sizes = f"page {page / 1000:.0f} KB, all {everything / 1000:.0f} KB; first of a server {first:.0f} ms"
            what = f"dashboard of {versions} versions, click to first content"
            rows.append(Row(what, f"{statistics.median(times):.0f} ms", sizes, "", "≤ 1 s"))
    write_rows(asked.rows, rows)


def opened(browser: Browser, served: Served) -> tuple[float, int, int]:
    """Milliseconds to first content, the page's bytes, and those of all that it asked for; nothing is kept before."""
    context = browser.new_context()
    page = context.new_page()
    sizes: dict[str, int] = {}
    page.on("response", lambda one: sizes.update({one.url: int(one.headers.get("content-length", 0))}))
    page.goto(served.address)
    painted = page.evaluate(_PAINTED)
    page.wait_for_selector("#live.on")
    context.close()
    return painted, sizes[f"{served.base}/"], sum(sizes.values())


if __name__ == "__main__":
    main()
