"""What a report has beside what it must have: a page, pictures, and both in its document."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from progressive_training.loop.project.project import Project
from progressive_training.loop.report.pictures import shown
from progressive_training.pages.report import pictures
from support.pictures import chunk, png
from support.projects import At, Folder, connected

pytestmark = pytest.mark.anyio
_SAMPLES = "Models/Artifacts/v002/infer_samples"
# An interpreter in which matplotlib can't be found.
_WITHOUT = (
    "import sys; sys.modules['matplotlib'] = None\n"
    "from progressive_training.server.cli.main import main\n"
    "main(['report', '--project', sys.argv[1], *sys.argv[2:]])\n"
)


def report_of(folder: Folder) -> Path:
    (where,) = folder.path("Models/Report").iterdir()
    return where


@pytest.mark.requirement("R1", "R6")
async def test_the_document_embeds_pictures_that_lie_beside_it(at: At) -> None:
    folder = at("finished")
    for name in ("0001", "0002", "0003"):
        folder.path(f"{_SAMPLES}/{name}/viz.png").write_bytes(png())
    async with connected(folder) as agent:
        await agent.report()
    where = report_of(folder)
    links = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", (where / "final-analysis.md").read_text(encoding="utf-8"))
    assert links == [f"pictures/{name}.png" for name in ("metric", "curves", "latency", "samples")]
    assert sorted(path.name for path in (where / "pictures").iterdir()) == sorted(Path(link).name for link in links)
    for link in links:
        data = (where / link).read_bytes()
        assert data.startswith(b"\x89PNG") and 5_000 < len(data) < 200_000


async def test_the_same_loop_gives_the_same_pictures_to_the_last_bit(at: At) -> None:
    folder = at("finished")
    first, second = (pictures(shown(Project(folder.root))) for _ in range(2))
    assert first and first == second


@pytest.mark.requirement("R1")
async def test_the_page_needs_nothing_beside_itself_and_runs_nothing(at: At) -> None:
    folder = at("finished")
    folder.path(f"{_SAMPLES}/0001/viz.png").write_bytes(png())
    async with connected(folder) as agent:
        await agent.report()
        page = (report_of(folder) / "report.html").read_text(encoding="utf-8")
        assert "<script" not in page and "<link" not in page and "http://" not in page and "https://" not in page
        sources = re.findall(r'(?:src|href)="([^"]*)"', page)
        assert sources and all(source.startswith("data:image/png;base64,") for source in sources)
        assert page.count("<svg") == 4 and "LEARNING_RATE" in page and "significant" in page
        done = await agent.call("final_report", analysis="**v002** ist <besser>.\n\n- näher an 0.5")
        assert done["already_done"]
    page = (report_of(folder) / "report.html").read_text(encoding="utf-8")
    assert "<strong>v002</strong> ist &lt;besser&gt;." in page and "The agent's analysis goes here." not in page


async def test_without_matplotlib_a_report_is_made_and_says_how_to_get_its_pictures_later(at: At) -> None:
    folder = at("finished")
    made = subprocess.run([sys.executable, "-c", _WITHOUT, str(folder.root)], capture_output=True, encoding="utf-8")
    assert made.returncode == 0, made.stderr
    where = report_of(folder)
    text = (where / "final-analysis.md").read_text(encoding="utf-8")
    assert 'pip install "progressive-training[pictures]"' in text and "progressive-training report" in text
    assert not (where / "pictures").exists()
    assert (where / "report.html").read_text(encoding="utf-8").count("<svg") == 4
    async with connected(folder) as agent:
        await agent.call("final_report", analysis="Later.")
        files = folder.contents()
        await agent.call("final_report")
    assert folder.contents() == files, "once they are there, nothing is painted again"
    text = (where / "final-analysis.md").read_text(encoding="utf-8")
    assert "![" in text and "pip install" not in text and "Later." in text
    assert (where / "pictures" / "metric.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "broken",
    [
        b"\x89PNG\r\n\x1a\n",
        png()[:60],
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", b"\x7f\xff\xff\xff\x7f\xff\xff\xff\x08\0\0\0\0"),
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", b"\0\0\0\x08\0\0\0\x08\x08\0\0\0\0")
        + chunk(b"IDAT", b"no")
        + chunk(b"IEND", b""),
        png()[:-12] + chunk(b"iCCP", b"") + chunk(b"IEND", b""),
    ],
    ids=["no header", "cut off", "too large", "damaged", "an empty profile"],
)
@pytest.mark.whole(but=1)
async def test_a_broken_sample_picture_costs_no_other_picture(at: At, broken: bytes) -> None:
    folder = at("finished")
    folder.path(f"{_SAMPLES}/0001/viz.png").write_bytes(broken)
    folder.path(f"{_SAMPLES}/0002/viz.png").write_bytes(png())
    made = pictures(shown(Project(folder.root)))
    assert {Path(name).stem for name in made} == {"metric", "curves", "latency", "samples"}


async def test_a_sample_whose_name_is_no_text_costs_no_report(at: At) -> None:
    folder = at("finished")
    folder.path(f"{_SAMPLES}/0001").rename(folder.path(f"{_SAMPLES}/caf\udce9"))
    folder.path(f"{_SAMPLES}/caf\udce9/viz.png").write_bytes(png())
    async with connected(folder) as agent:
        assert (await agent.report())["state"] == "done"
    assert "caf\\udce9" in (report_of(folder) / "report.html").read_text(encoding="utf-8")
    assert (report_of(folder) / "pictures" / "samples.png").is_file()


@pytest.mark.requirement("R6")
async def test_an_analysis_that_holds_the_comments_around_its_place_is_replaced_whole_the_next_time(at: At) -> None:
    folder = at("finished")
    async with connected(folder) as agent:
        await agent.report()
        await agent.call("final_report", analysis="<!-- analysis -->\nFirst.\n<!-- /analysis -->\nMore.")
        await agent.call("final_report", analysis="Second.")
    text = (report_of(folder) / "final-analysis.md").read_text(encoding="utf-8")
    assert text.endswith("<!-- analysis -->\n\nSecond.\n\n<!-- /analysis -->\n")


async def test_a_loop_without_any_score_gets_a_report_without_charts(at: At) -> None:
    folder = at("trained")
    async with connected(folder) as agent:
        report: dict[str, Any] = await agent.report(stop_reason="$x^2$ | <b>enough</b>")
    page = (report_of(folder) / "report.html").read_text(encoding="utf-8")
    assert report["state"] == "done" and "$x^2$ | &lt;b&gt;enough&lt;/b&gt;" in page
    assert "accuracy by version" in page


async def test_what_looks_like_a_formula_is_painted_as_it_is(at: At) -> None:
    folder = at("acted")
    async with connected(folder) as agent:
        pass
    for name in ("0001", "0002", "0003"):
        folder.path(f"Models/Artifacts/v001/infer_samples/{name}/viz.png").write_bytes(png())
        folder.write(f"Models/Artifacts/v001/infer_samples/{name}/output.json", '"$\\\\frac{1}{ _{$"')
    assert "pictures/samples.png" in pictures(shown(Project(folder.root)))
    assert agent
