"""`report_language: ko`: our fixed words in Korean; the requirements' section names and an agent's words stay."""

import json
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from progressive_training.loop.errors import RulesError
from progressive_training.loop.project.failures import ADVICE
from progressive_training.loop.project.notices import TEXTS
from progressive_training.loop.rules.reading import parse_rules
from progressive_training.pages import report
from support.pictures import png
from support.projects import EVALUATOR, Folder, connected

ROOT = Path(__file__).resolve().parents[2]
KOREAN: dict[str, str] = json.loads((ROOT / "loop" / "text" / "korean.json").read_text(encoding="utf-8"))
_TEXT = r"""((?:"(?:[^"\\]|\\.)+"\s*)+|'[^']+')"""
_SAID = re.compile(rf"(?:\bsay|\b_)\(\s*{_TEXT}\s*\)|\b(?:Flag|Told)\(\s*{_TEXT}")


def said(*files: Path) -> set[str]:
    """Every text that these files say in the document's language."""
    found = (match for path in files for match in _SAID.finditer(path.read_text(encoding="utf-8")))
    # Literals and constants of our own source.
    return {str(eval(f"({match[1] or match[2]})", dict(vars(report)))) for match in found}


@pytest.mark.anyio
@pytest.mark.requirement("A1", "X1", "R6")
async def test_documents_speak_korean_where_the_words_are_ours(folder: Folder) -> None:
    folder.set_rules(report_language="ko", loop_config={"max_versions": 2})
    async with connected(folder) as agent:
        await agent.call("start_loop")
        await agent.train()
        await agent.call("write_eval", source=EVALUATOR)
        await agent.score()
        await agent.analyse()
        await agent.act()
        await agent.author(1, ("LEARNING_RATE = 0.2", "LEARNING_RATE = 0.5"))
        await agent.train(2)
        await agent.score(2)
        await agent.analyse(2)
        await agent.act(2)
        await agent.report()
    analysis = folder.read("Models/Artifacts/v002/result-analysis.md")
    headings = [line[3:] for line in analysis.splitlines() if line.startswith("## ")]
    assert headings == ["Summary", "Metric deltas", "Evidence", "Hypotheses", "Next focus candidates"]
    assert analysis.startswith("# v002 결과 분석\n") and "지연 시간: " in analysis
    assert "| 지표 | v001 | v002 | 변화 |" in analysis and "| 좋아짐 |" in analysis
    action = folder.read("Models/Artifacts/v002/action-extract.md")
    assert action.startswith("# v002 액션 추출\n\n## Selected Action\n\n### Goal\n")
    patch = folder.read("Models/Artifacts/baseline/_tests/baseline_patch_report.md")
    assert patch.startswith("# 베이스라인 패치 보고서\n\n## issues_found\n")
    (made,) = folder.path("Models/Report").iterdir()
    text = (made / "final-analysis.md").read_text(encoding="utf-8")
    assert (
        text.startswith("# 최종 분석\n")
        and "최고 버전: **v002**" in text
        and "## 상위 세 버전이 그 순위인 이유" in text
    )
    page = (made / "report.html").read_text(encoding="utf-8")
    assert '<html lang="ko">' in page and "최종 보고서</h1>" in page
    assert (made / "leaderboard.csv").read_text().startswith("version_id,dataset_id,created_at,latency_ms,")


# Section names that the requirements fix, in English whatever the documents' language is.
FIXED_NAMES = {
    *("Summary", "Metric deltas", "Evidence", "Hypotheses", "Next focus candidates"),
    *("Selected Action", "Goal", "Change", "Where", "Expected impact", "Risk", "Verification"),
    *("issues_found", "patch_summary", "files_changed", "compatibility_notes"),
}
_RANKED = re.compile(r"[0-9]+\. \S+")  # a version or an external model by its name
_TAGS = re.compile(r"<[^>]+>")


def no_korean(texts: Iterable[str]) -> list[str]:
    """Those that are neither Korean nor a name."""
    return [one for one in texts if not (re.search("[가-힣]", one) or one in FIXED_NAMES or _RANKED.fullmatch(one))]


def headings(markdown: str) -> list[str]:
    """Without those in code blocks, where a line may begin with # as well."""
    prose = re.sub(r"^```.*?^```", "", markdown, flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"^#+ (.+)$", prose, re.MULTILINE)


def listed(markdown: str, section: str) -> list[str]:
    """The lines of the list below a heading."""
    _, _, below = markdown.partition(f"## {section}\n")
    return re.findall(r"^- (.+)$", below.partition("\n#")[0], re.MULTILINE)


@pytest.mark.anyio
@pytest.mark.requirement("I4", "T4", "A1", "X1", "R6")
async def test_no_heading_warning_or_finding_of_ours_stays_english(folder: Folder) -> None:
    folder.set_rules(report_language="ko", loop_config={"max_versions": 2})
    folder.edit("02_train_baseline.py", ('DATASET_ID = "v1"', 'DATASET_ID = "old"'), ('"baseline"', '"base"'))
    folder.edit("02_train_baseline.py", ('"Models/Artifacts"', '"Models/Arti" "facts"'))
    folder.edit("02_train_baseline.py", ("    save_logs(rows)\n", "    save_log(rows)\n"))
    folder.write("Models/Artifacts/baseline/_tests/baseline_smoke_test_report.md", "| optimal_batch_size | 8 |\n")
    folder.write("Models/Artifacts/baseline/spec.json", "{}")
    for name in ("glm-ocr", "v009"):
        folder.write(f"Models/external/{name}/inference_sample.py", "def load(f): ...\ndef predict(m, i): ...\n")
    async with connected(folder) as agent:
        told = " ".join((await agent.call("start_loop"))["findings"])
        assert "DATASET_ID is 'old'" in told and not re.search("[가-힣]", told), "an agent is answered in English"
        await agent.failed_training("code error")
        await agent.repair(("save_log(rows)", "save_logs(rows)"))
        await agent.train()
        await agent.call("write_eval", source=EVALUATOR)
        await agent.score()
        await agent.analyse()
        await agent.act()
        await agent.author(1, ("LEARNING_RATE = 0.2", "LEARNING_RATE = 0.5"))
        folder.path("Models/Artifacts/v001/infer_samples/0001/viz.png").write_bytes(png())
        made = await agent.report(stop_reason="충분합니다")
    artifacts, report_folder = "Models/Artifacts/v001", made["folder"]
    names = [f"{artifacts}/{name}.md" for name in ("result-analysis", "action-extract", "_tests/train_retry_report")]
    names += ["Models/Artifacts/baseline/_tests/baseline_patch_report.md", f"{report_folder}/final-analysis.md"]
    for name in names:
        found = headings(folder.read(name))
        assert found and no_korean(found) == [], name
    findings = listed(folder.read(names[3]), "issues_found")
    assert len(findings) == 4 and no_korean(findings) == []
    document = folder.read(names[4])
    warnings = listed(document, "경고")
    assert len(warnings) == 3 and no_korean(warnings) == []
    pictures = re.findall(r"!\[(.+)\]\(", document)
    assert len(pictures) == 4 and no_korean(pictures) == []
    rows = folder.read(names[2]).splitlines()
    assert any(row.startswith("| 1 | 코드 오류: ") for row in rows), "the columns' names are the requirement's"
    page = folder.read(f"{report_folder}/report.html")
    shown = [
        _TAGS.sub("", text) for text in re.findall(r"<(?:h[1-6]|caption|li)\b[^>]*>(.+?)</(?:h[1-6]|caption|li)>", page)
    ]
    assert len(shown) > 12 and no_korean(shown) == []
    pictured = re.findall(r'<svg [^>]*aria-label="([^"]+)"', page)
    assert len(pictured) == 4 and no_korean(pictured) == []


def test_every_text_is_translated_and_none_is_left_over() -> None:
    rooms = ("loop/author", "loop/judge", "loop/train", "loop/rehearse", "loop/report", "loop/text", "pages")
    files = [path for room in rooms for path in (ROOT / room).rglob("*")]
    files += [ROOT / "loop" / "project" / "confinement.py", ROOT / "loop" / "rules" / "ends.py"]
    ours = said(*(path for path in files if path.suffix in (".py", ".j2")))
    flags = {text for text in KOREAN if text.startswith("trade-off")}
    constants = {report.NOISE_TOLD, report.FIRST, report.EXTERNAL, report.BY_SCRIPT, *TEXTS.values()}
    assert ours | {"better", "worse", "same", "new", "not comparable"} | flags | constants | set(ADVICE) == set(KOREAN)


def test_a_translation_has_the_places_of_its_text() -> None:
    places = re.compile(r"\{[^}]*\}")
    for text, translated in KOREAN.items():
        assert sorted(places.findall(text)) == sorted(places.findall(translated)), text


def test_a_language_that_there_is_not_is_refused() -> None:
    with pytest.raises(RulesError, match="report_language"):
        parse_rules(b'{"report_language": "fr"}', "rules")
