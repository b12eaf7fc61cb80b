"""`report_language: ko`: our fixed words in Korean; the requirements' section names and an agent's words stay."""

import re
from pathlib import Path

import pytest

from progressive_training.loop import language
from progressive_training.loop.errors import RulesError
from progressive_training.loop.rules import parse_rules
from progressive_training.prompts import language as report_language
from support.projects import EVALUATOR, Folder, connected

ROOT = Path(__file__).resolve().parents[2]
_TEXT = r"""("(?:[^"\\]|\\.)+"|'[^']+')"""
_SAID = re.compile(rf"(?:\bsay|\b_)\(\s*{_TEXT}\s*\)|\bFlag\(\s*{_TEXT}")


def said(*files: str) -> set[str]:
    """Every text that these files say in the document's language."""
    found = (match for name in files for match in _SAID.finditer((ROOT / name).read_text(encoding="utf-8")))
    texts = [match[1] or match[2] for match in found]
    return {str(eval(text, dict(vars(report_language)))) for text in texts}  # literals and constants of our own source


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
    (report,) = folder.path("Models/Report").iterdir()
    text = (report / "final-analysis.md").read_text(encoding="utf-8")
    assert (
        text.startswith("# 최종 분석\n")
        and "최고 버전: **v002**" in text
        and "## 상위 세 버전이 그 순위인 이유" in text
    )
    page = (report / "report.html").read_text(encoding="utf-8")
    assert '<html lang="ko">' in page and "최종 보고서</h1>" in page
    assert (report / "leaderboard.csv").read_text().startswith("version_id,dataset_id,created_at,latency_ms,")


def test_every_text_is_translated_and_none_is_left_over() -> None:
    ours = said("loop/deltas.py", "loop/documents.py", "loop/baseline.py")
    assert ours | {"better", "worse", "same", "new"} | {
        text for text in language.KOREAN if text.startswith("trade-off")
    } == set(language.KOREAN)
    report = said("prompts/reports.py", "prompts/final_analysis.md.j2", "prompts/pages/report.html.j2")
    constants = {report_language.NOISE_TOLD, report_language.FIRST, report_language.EXTERNAL}
    assert report | constants == set(report_language.KOREAN)


def test_a_translation_has_the_places_of_its_text() -> None:
    places = re.compile(r"\{[^}]*\}")
    for korean in (language.KOREAN, report_language.KOREAN):
        for text, translated in korean.items():
            assert sorted(places.findall(text)) == sorted(places.findall(translated)), text


def test_a_language_that_there_is_not_is_refused() -> None:
    with pytest.raises(RulesError, match="report_language"):
        parse_rules(b'{"report_language": "fr"}', "rules")
