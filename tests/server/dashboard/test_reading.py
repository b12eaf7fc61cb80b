"""The dashboard for everybody: on a phone, in the dark, by keyboard, for a screen reader; and what it must not run."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from progressive_training.tools import (
    author_next_version,
    final_report,
    run_eval,
    run_train,
    start_loop,
    write_action,
    write_analysis,
)
from support.browser import Served, Visit, dashboard, visit
from support.e2e import until
from support.pictures import png
from support.projects import ACTION, ANALYSIS, EVALUATOR, FOLDER_NAME, Folder, Shelf, edited, make_project

PAGES = ("/", "/versions/2", "/versions/1", "/journal")
_SCRIPT = "<script>window.hit=1</script>"
_IMAGE = "<img src=x onerror=window.hit=1>"
_RUNS = (
    "main script, main img[onerror], main img[src^=http], main a[href^=javascript], main [style]:not(.uplot *, .uplot)"
)
_LINK = "[press](javascript:window.hit=1) ![](http://elsewhere.example/x.png)"

# What axe would look for first: names, order, and contrast (4.5 to 1; 3 to 1 for large text).
_FAULTS = """() => {
  const faults = [];
  const shown = (one) => one.checkVisibility();
  const all = (selector) => [...document.querySelectorAll(selector)].filter(shown);
  const once = {main: 1, h1: 1, header: 1};
  for (const [name, count] of Object.entries(once)) {
    if (all(name).length !== count) faults.push(`${all(name).length} times ${name}`);
  }
  if (!document.documentElement.lang || !document.title) faults.push("no language or no title");
  let level = 0;
  for (const one of all("h1, h2, h3, h4, h5, h6")) {
    const here = Number(one.localName[1]);
    if (here > level + 1) faults.push(`${one.localName} after h${level}: ${one.textContent}`);
    level = here;
  }
  for (const one of all("img")) if (!one.alt) faults.push(`no alt: ${one.src}`);
  for (const one of all("a, summary")) {
    if (!(one.getAttribute("aria-label") || one.textContent.trim())) faults.push(`no name: ${one.outerHTML}`);
  }
  for (const one of all("svg, progress, [role=region], [role=img], nav")) {
    const by = one.getAttribute("aria-labelledby");
    if (!one.getAttribute("aria-label") && !document.getElementById(by)) faults.push(`no label: ${one.outerHTML}`);
  }
  for (const one of all("[role=region]")) if (one.tabIndex !== 0) faults.push("a scrolled region without a tab stop");
  for (const one of all("main > section > .wide th")) if (!one.scope) faults.push(`no scope: ${one.textContent}`);
  const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
  if (new Set(ids).size !== ids.length) faults.push("an id stands there twice");

  const parse = (text) => (text.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, place) => sum + v * [0.2126, 0.7152, 0.0722][place], 0);
  const ground = (one) => {
    for (; one; one = one.parentElement) {
      const colour = parse(getComputedStyle(one).backgroundColor);
      if (colour.length < 4 || colour[3] > 0.99) return colour;
    }
    return [255, 255, 255];
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const one = texts.currentNode.parentElement;
    if (!texts.currentNode.textContent.trim() || !shown(one) || one.closest(".skip, title, canvas")) continue;
    const style = getComputedStyle(one);
    const fore = parse(one.closest("svg") ? style.fill : style.color);
    const [high, low] = [light(fore), light(ground(one))].sort((a, b) => b - a);
    const large = parseFloat(style.fontSize) >= 24;
    const ratio = (high + 0.05) / (low + 0.05);
    if (ratio < (large ? 3 : 4.5)) faults.push(`contrast ${ratio.toFixed(2)}: ${texts.currentNode.textContent}`);
  }
  return faults;
}"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """A finished loop with an instruction, and pictures among its samples."""
    folder = Shelf(tmp_path_factory.mktemp("shelf")).copy("reported", tmp_path_factory.mktemp("read") / FOLDER_NAME)
    for number in ("0001", "0002"):
        folder.path(f"Models/Artifacts/v002/infer_samples/{number}/viz.png").write_bytes(png())
    return folder


@pytest.fixture(scope="module")
def served(finished: Folder) -> Iterator[Served]:
    with dashboard(finished) as running:
        yield running


@pytest.fixture(params=[False, True], ids=["light", "dark"])
def window(request: pytest.FixtureRequest, browser: Browser, served: Served) -> Iterator[Visit]:
    with visit(browser, served, dark=request.param) as opened:
        yield opened


@pytest.mark.whole
def test_names_headings_labels_and_contrast_are_in_order(window: Visit) -> None:
    for path in PAGES:
        page = window.go(path)
        page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
        assert page.evaluate(_FAULTS) == [], path


@pytest.mark.whole
def test_it_is_dark_where_the_reader_wants_it_dark(browser: Browser, served: Served) -> None:
    grounds: list[int] = []
    for dark in (False, True):
        with visit(browser, served, dark=dark) as window:
            window.go()
            colour = window.page.evaluate("getComputedStyle(document.body).backgroundColor")
            grounds.append(sum(int(part) for part in colour[4:-1].split(",")))
    assert grounds[0] > 700 > 100 > grounds[1]


@pytest.mark.whole
def test_a_phone_shows_every_page_without_sideways_scrolling(browser: Browser, served: Served) -> None:
    with visit(browser, served, narrow=True) as window:
        for path in PAGES:
            page = window.go(path)
            page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
            assert page.evaluate("document.documentElement.scrollWidth") == 360, path
            assert page.evaluate(_FAULTS) == [], path
        page = window.go()
        expect(page.locator(".on-narrow svg")).to_be_visible()
        expect(page.locator(".on-wide svg")).to_be_hidden()
        page.goto(f"{served.base}/report")
        assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_everything_can_be_reached_and_opened_by_keyboard(window: Visit) -> None:
    page = window.go()
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    expect(page.locator(".skip")).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    reached = _tabbed(page, 12)
    assert reached[:2] == ["/versions/2", "/report"]
    assert {"/versions/1", "/versions/2"} <= set(reached[2:4]), "the picture's marks are links"
    page.locator("#lineage .on-wide a").last.focus()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_contain_text("v002")
    page.locator("#numbers summary").focus()
    page.keyboard.press("Space")
    expect(page.locator("#numbers table")).to_be_visible()


def _tabbed(page: Page, count: int) -> list[str]:
    """Where so many tabs lead, one after another."""
    reached: list[str] = []
    for _ in range(count):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.getAttribute('href') || document.activeElement.localName"))
    return reached


def test_every_chart_has_its_numbers_in_a_table(window: Visit) -> None:
    page = window.go("/versions/2")
    page.locator("#numbers summary").click()
    plotted: dict[str, Any] = json.loads(page.locator("#curves .plot").first.get_attribute("data-series") or "")
    table = page.locator("#numbers table")
    for name, values in plotted["series"].items():
        expect(table).to_contain_text(name)
        expect(table).to_contain_text(f"{values[-1]:.4g}"[:5])


@pytest.mark.whole
def test_without_its_script_a_page_still_says_everything(browser: Browser, served: Served) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(served.address)
    expect(page.locator("#versions tbody tr")).to_have_count(2)
    page.goto(f"{served.base}/versions/2")
    expect(page.locator("#numbers")).to_contain_text("val_loss")
    context.close()


@pytest.mark.whole
def test_what_data_models_and_agents_say_is_shown_and_never_run(browser: Browser, tmp_path_factory: Any) -> None:
    folder = _hostile(tmp_path_factory.mktemp("hostile") / FOLDER_NAME)
    with dashboard(folder) as served, visit(browser, served) as window:
        for path, said in (
            ("/", (_SCRIPT, _IMAGE)),
            ("/versions/1", (_SCRIPT, _IMAGE)),
            ("/versions/2", (_SCRIPT, _IMAGE, f"# {_SCRIPT}")),
            ("/journal", (_SCRIPT,)),
        ):
            page = window.go(path)
            page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
            for text in said:
                assert text in page.inner_text("main"), f"{path} shows {text}"
            assert page.locator(_RUNS).count() == 0
            assert page.evaluate("window.hit") is None
        page = window.page
        page.goto(f"{served.base}/report")
        assert _SCRIPT in page.inner_text("main") and _IMAGE in page.inner_text("main")
        assert page.locator(_RUNS).count() == 0


def _hostile(root: Any) -> Folder:
    """A loop in which every text that somebody may write is an attack."""
    folder = make_project(root)
    folder.edit("02_train_baseline.py", ("epoch,step,train_loss,val_loss", f"epoch,step,train_loss,val_loss,{_SCRIPT}"))
    folder.edit("02_train_baseline.py", ('{train},{val}" for', '{train},{val},1" for'))
    folder.write("user_instruction.md", f"# {_SCRIPT}\n\n{_IMAGE}\n\n{_LINK}\n")
    hostile = edited(EVALUATOR, ('"higher_is_better": True},\n', '"higher_is_better": True},\n        EXTRA,\n'))
    extra = {"name": _SCRIPT, "value": 0.5, "higher_is_better": True}
    hostile = hostile.replace("def main():", f"EXTRA = {extra!r}\n\n\ndef main():").replace(
        'json.dumps(row["prediction"])', f"json.dumps({_SCRIPT!r})"
    )
    folder.write("03_eval.py", hostile)
    project = folder.project()
    start_loop(project)
    words = {**ANALYSIS, "summary": f"{_SCRIPT} {_IMAGE}", "evidence": _LINK}
    for version in (1, 2):
        until(lambda version=version: run_train(project, version).state == "done", "the training")
        until(lambda version=version: run_eval(project, version).state == "done", "the evaluation")
        write_analysis(project, version, **words)
        write_action(project, version, **{**ACTION, "goal": _SCRIPT, "change": _IMAGE, "risk": _LINK})
        if version == 1:
            change = ("LEARNING_RATE = 0.2", f"LEARNING_RATE = 0.5  # {_SCRIPT}")
            author_next_version(project, 1, folder.diff("02_train_v001.py", change))
    final_report(project, analysis=f"{_SCRIPT}\n\n{_IMAGE}\n\n{_LINK}\n\n<!-- /analysis -->")
    return folder
