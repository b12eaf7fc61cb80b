"""The dashboard in a real browser, while a real loop runs."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from progressive_training.loop.project.integrity import accept_protocol
from progressive_training.loop.store import journal
from progressive_training.tools import final_report, run_eval, run_train, start_loop, write_action, write_analysis
from support.browser import dashboard, visit
from support.e2e import until
from support.many_versions import grow
from support.pictures import png
from support.projects import ACTION, ANALYSIS, EVALUATOR, TRAINER, At, Folder, edited

# It stops after each epoch, with its curves written, until the test lets it go on.
STEPPING_TRAINER = edited(
    TRAINER,
    (
        '        print(f"epoch {epoch}: {rows[-1][1]:.4f}", flush=True)\n',
        '        print(f"epoch {epoch}: {rows[-1][1]:.4f}", flush=True)\n'
        "        save_logs(rows)\n"
        '        while not Path(f"go-{epoch}").exists():\n'
        '            __import__("time").sleep(0.01)\n',
    ),
)
# It takes external models as well, and each scoring waits until the test lets it go on.
GATED_EVALUATOR = edited(
    EVALUATOR,
    ("arguments = parser.parse_args()\n", 'parser.add_argument("--external")\narguments = parser.parse_args()\n'),
    (
        "\n\nmain()\n",
        "\n\nscored = Path(arguments.external).name if arguments.external else arguments.version\n"
        'while not (Path(arguments.project) / f"gate-{scored}").exists():\n    time.sleep(0.01)\nmain()\n',
    ),
)


def test_the_first_page_shows_where_the_loop_stands_and_its_versions(browser: Browser, at: At) -> None:
    with dashboard(at("reported")) as served, visit(browser, served) as window:
        page = window.go()
        expect(page.locator("h1")).to_have_text("The loop is finished")
        expect(page.locator("#standing")).to_contain_text("Best accuracy")
        expect(page.locator("#standing")).to_contain_text(re.compile(r"Ended by\s*max_versions"))
        lineage = page.locator("#lineage .on-wide svg")
        expect(lineage).to_have_attribute("aria-label", re.compile("v001 has accuracy 0.7500, v002 0.9500; best: v002"))
        expect(lineage.get_by_role("link")).to_have_count(2)
        rows = page.locator("#versions tbody tr")
        expect(rows).to_have_count(2)
        expect(rows.first).to_contain_text("LEARNING_RATE from 0.2 to 0.5")
        expect(rows.first).to_contain_text("0.9500")
        expect(rows.first).to_contain_text("+0.2")
        expect(page.locator("#rules")).to_contain_text("training_config.epochs")
        expect(page.locator("#journal li").first).to_contain_text("the report was made")
        page.locator("#versions").get_by_role("link", name="v002").click()
        expect(page.locator("h1")).to_contain_text("v002")


@pytest.mark.whole
def test_an_open_page_follows_the_running_loop_without_being_loaded_again(browser: Browser, folder: Folder) -> None:
    folder.write("02_train_baseline.py", STEPPING_TRAINER)
    folder.write("03_eval.py", EVALUATOR)
    project = folder.project()
    with dashboard(folder) as served, visit(browser, served) as window:
        page = window.go()
        page.evaluate("window.first = true")
        expect(page.locator("h1")).to_have_text("The loop has not started")
        start_loop(project)
        expect(page.locator("h1")).to_have_text("v001 waits to be trained")
        run_train(project, 1)
        now = page.locator("#now")
        expect(now).to_contain_text("v001 trains")
        expect(now).to_contain_text("1 of 3")
        expect(now.locator("progress")).to_have_attribute("value", "0.333")
        expect(now.locator("canvas")).to_be_visible()
        folder.write("go-0", "")
        expect(now).to_contain_text("2 of 3")
        expect(now).to_contain_text("About left")
        assert _plotted(page, "#now .plot") == {"epochs": [0, 1], "series": ["train_loss", "val_loss"]}
        for epoch in (1, 2):
            folder.write(f"go-{epoch}", "")
        until(lambda: run_train(project, 1).state == "done", "the training's end")
        expect(page.locator("h1")).to_have_text("v001 waits to be evaluated")
        expect(now).to_be_hidden()
        until(lambda: run_eval(project, 1).state == "done", "the evaluation's end")
        expect(page.locator("#standing")).to_contain_text("0.7500")
        expect(page.locator("#lineage .on-wide a")).to_have_count(1)
        write_analysis(project, 1, **ANALYSIS)
        write_action(project, 1, **ACTION)
        expect(page.locator("#journal li").first).to_contain_text("one action was chosen")
        assert page.evaluate("window.first"), "the page was never loaded again"


@pytest.mark.requirement("R2", "R4")
@pytest.mark.whole
def test_what_is_scored_for_the_report_is_shown_as_it_runs_and_external_models_beside_the_versions(
    browser: Browser, at: At
) -> None:
    folder = at("finished")
    folder.write("03_eval.py", GATED_EVALUATOR)
    folder.write("Models/external/glm-ocr/inference_sample.py", "def load(f): ...\ndef predict(m, i): ...\n")
    project = folder.project()
    assert accept_protocol(project)
    with dashboard(folder) as served, visit(browser, served) as window:
        page = window.go()
        page.evaluate("window.first = true")
        now, externals = page.locator("#now"), page.locator("#externals")
        expect(now).to_be_hidden()
        expect(externals).to_be_hidden()
        final_report(project)
        expect(now).to_contain_text("v001 is scored again for the report")
        expect(now).to_contain_text("2 of 2 versions are left")
        expect(now.locator("[data-elapsed]")).to_have_text(re.compile("^[1-9][0-9]* s$"))
        folder.write("gate-v001", "")
        expect(now).to_contain_text("the job has ended and waits to be collected")
        until(lambda: "v002" in " ".join(final_report(project).folders), "the second version's turn")
        expect(now).to_contain_text("v002 is scored again for the report")
        expect(now).to_contain_text("1 of 2 versions is left")
        folder.write("gate-v002", "")
        until(lambda: "glm-ocr" in " ".join(final_report(project).folders), "the external model's turn")
        expect(now).to_contain_text("External model glm-ocr is scored for the report")
        expect(now).not_to_contain_text("left")
        folder.write("gate-glm-ocr", "")
        until(lambda: final_report(project).state == "done", "the report")
        expect(now).to_be_hidden()
        row = externals.locator("tbody tr")
        expect(row).to_have_count(1)
        expect(row).to_contain_text("glm-ocr")
        expect(row.locator("[data-name=accuracy]")).to_have_text("0.7500")
        assert page.evaluate("window.first"), "the page was never loaded again"


@pytest.mark.whole
def test_a_versions_page_shows_that_it_is_scored_again(browser: Browser, at: At) -> None:
    folder = at("finished")
    folder.write("03_eval.py", GATED_EVALUATOR)
    project = folder.project()
    assert accept_protocol(project)
    final_report(project)
    with dashboard(folder) as served, visit(browser, served) as window:
        expect(window.go("/versions/1").locator("#now")).to_contain_text("v001 is scored again for the report")
        expect(window.go("/versions/2").locator("#now")).to_be_hidden()


def _plotted(page: Page, selector: str) -> dict[str, list[object]]:
    return page.locator(selector).evaluate(
        "element => { const all = JSON.parse(element.dataset.series);"
        " return {epochs: all.epochs, series: Object.keys(all.series).sort()}; }"
    )


@pytest.mark.whole
def test_what_a_reader_opened_and_where_the_focus_was_stays_when_the_page_is_renewed(browser: Browser, at: At) -> None:
    folder = at("scored")
    with dashboard(folder) as served, visit(browser, served) as window:
        page = window.go()
        page.locator("#defaults summary").click()
        page.locator("#versions").get_by_role("link", name="v001").focus()
        write_analysis(folder.project(), 1, **ANALYSIS)
        expect(page.locator("#journal li").first).to_contain_text("analysed")
        assert page.locator("#defaults").get_attribute("open") is not None
        assert page.evaluate("document.activeElement.getAttribute('href')") == "/versions/1"


def test_a_version_page_shows_the_action_the_diff_the_curves_the_samples_and_the_documents(
    browser: Browser, at: At
) -> None:
    folder = at("reported")
    picture = folder.path("Models/Artifacts/v002/infer_samples/0001/viz.png")
    picture.write_bytes(png())
    with dashboard(folder) as served, visit(browser, served) as window:
        page = window.go("/versions/2")
        expect(page.locator("#score tbody tr").first).to_contain_text("accuracy")
        expect(page.locator("#change")).to_contain_text("Come closer to 0.5 in three epochs")
        expect(page.locator(".diff tr.add")).to_contain_text("LEARNING_RATE = 0.5")
        expect(page.locator(".diff tr.del")).to_contain_text("LEARNING_RATE = 0.2")
        expect(page.locator(".diff tr.add .m")).to_have_text("0.5")
        expect(page.locator("#curves canvas").first).to_be_visible()
        page.locator("#numbers summary").click()
        expect(page.locator("#numbers tbody tr")).to_have_count(3)
        image = page.locator("#samples img")
        image.scroll_into_view_if_needed()
        expect(image).to_have_js_property("naturalWidth", 8)
        expect(image).to_have_attribute("alt", "Sample 0001: viz.png")
        expect(page.locator("#samples li")).to_have_count(3)
        document = page.locator("#document-1 .document")
        expect(document.get_by_role("heading", name="Metric deltas")).to_be_visible()
        expect(document.locator("table")).to_contain_text("accuracy")
        page.get_by_role("link", name="← v001").click()
        expect(page.locator("h1")).to_contain_text("v001")
        expect(page.locator("#change")).to_have_count(0)


@pytest.mark.whole
def test_failed_attempts_are_shown_with_their_cause_and_their_trace(browser: Browser, folder: Folder) -> None:
    folder.edit(
        "02_train_baseline.py", ("    save_logs(rows)\n    save", "    raise ValueError('<b>no</b>')\n    save")
    )
    project = folder.project()
    start_loop(project)
    until(lambda: run_train(project, 1).state == "failed", "the failure")
    with dashboard(folder) as served, visit(browser, served) as window:
        page = window.go()
        expect(page.locator("h1")).to_have_text("v001 failed and waits for a repair")
        expect(page.locator("#troubles")).to_contain_text("ValueError: <b>no</b>")
        page.locator("#troubles").get_by_role("link", name="v001").click()
        page.locator("#trace-train-1 summary").click()
        expect(page.locator("#trace-train-1 pre")).to_contain_text("Traceback")


@pytest.mark.whole
def test_a_damaged_project_is_told_and_shown_again_as_soon_as_it_is_restored(browser: Browser, at: At) -> None:
    folder = at("scored")
    receipt = folder.path(".progressive-training/receipts/v001/eval.json")
    sound = receipt.read_bytes()
    with dashboard(folder) as served, visit(browser, served) as window:
        page = window.go()
        receipt.write_bytes(sound.replace(b"0.75", b"0.99"))
        expect(page.locator("#live")).to_have_text("Can't be shown now")
        expect(page.locator("h1")).to_contain_text("v001")
        page.reload()
        expect(page.locator("h1")).to_have_text("The project can't be shown")
        expect(page.locator("#problem")).to_contain_text("is damaged or was edited by hand")
        receipt.write_bytes(sound)
        expect(page.locator("h1")).to_contain_text("v001")
        # What a browser says of the answer 503 is no fault of the page.
        window.wrong[:] = [text for text in window.wrong if "503" not in text]


@pytest.mark.whole
def test_hundreds_of_versions_are_shown_a_page_at_a_time(browser: Browser, at: At, tmp_path: Path) -> None:
    grow(at("finished").root, tmp_path / "many", 130)
    with dashboard(Folder(tmp_path / "many")) as served, visit(browser, served) as window:
        page = window.go()
        expect(page.locator("#versions tbody tr")).to_have_count(10)
        expect(page.locator(".pages")).to_contain_text("Page 4 of 4")
        page.get_by_role("link", name="Older").click()
        expect(page.locator("#versions tbody tr")).to_have_count(40)
        expect(page.locator("#versions tbody tr").first).to_contain_text("v120")
        expect(page.locator(".strip svg")).to_have_attribute("aria-label", re.compile("130 versions"))
        assert len(page.content()) < 150_000


@pytest.mark.whole
def test_the_whole_journal_is_read_a_page_at_a_time(browser: Browser, at: At) -> None:
    folder = at("scored")
    project = folder.project()
    with project.mutation():
        for number in range(1, 1101):
            journal.record(project.workspace, "repaired", "v001", note=f"note-{number}-{'x' * (number % 900)}")
    with dashboard(folder) as served, visit(browser, served) as window:
        page = window.go()
        page.get_by_role("link", name="The whole journal").click()
        events, pages = page.locator(".events li"), page.locator(".pages")
        expect(events.first).to_contain_text("note-1100-")
        expect(pages).to_contain_text("Page 3 of 3")
        page.get_by_role("link", name="Older").click()
        expect(events).to_have_count(500)
        page.get_by_role("link", name="First").click()
        expect(events).to_have_count(500)
        expect(events.last).to_contain_text("the loop started")
        page.get_by_role("link", name="Newest").click()
        expect(events.first).to_contain_text("note-1100-")


@pytest.mark.requirement("R1")
@pytest.mark.whole
def test_the_report_is_a_page_of_its_own_that_opens_from_the_dashboard_and_from_the_disk(
    browser: Browser, at: At
) -> None:
    folder = at("reported")
    (where,) = folder.path("Models/Report").iterdir()
    with dashboard(folder) as served, visit(browser, served) as window:
        page = window.go()
        page.get_by_role("link", name="The report").click()
        expect(page.locator("h1")).to_contain_text("Final report of")
        expect(page.locator("#leaderboard")).to_be_visible()
        expect(page.locator(".on-wide svg")).to_have_attribute("aria-label", re.compile("best: v002"))
    context = browser.new_context(java_script_enabled=False, offline=True)
    page = context.new_page()
    page.goto((where / "report.html").as_uri())
    expect(page.locator("tbody tr").first).to_contain_text("v002")
    assert page.locator("figure svg").count() == 2
    context.close()
