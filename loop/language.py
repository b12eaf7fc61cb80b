"""The fixed words of the documents that the loop writes, in the language that the rules ask for.

Only what is ours: the section names that the requirements fix, the labels and what an agent wrote stay as they are.
"""

from collections.abc import Callable, Mapping
from typing import Literal

Language = Literal["en", "ko"]
Say = Callable[[str], str]
"""Gives a fixed text in the document's language; named places in braces are filled afterwards."""

KOREAN: Mapping[str, str] = {
    # result-analysis.md
    "# Result analysis of {version}": "# {version} 결과 분석",
    "This is the first version.": "첫 번째 버전입니다.",
    "Latency: {latency:.4g} ms": "지연 시간: {latency:.4g} ms",
    "Against the best so far:": "지금까지 가장 좋은 버전과 비교하면:",
    "Against {against}: {metric} gained {delta:+.4g} ({interval}), {label}.": (
        "{against} 대비 {metric} 이득은 {delta:+.4g}입니다({interval}, {label})."
    ),
    "metric": "지표",
    "(none)": "(없음)",
    "change": "변화",
    "95 % interval of the gain": "이득의 95 % 구간",
    "label": "판정",
    "better": "좋아짐",
    "worse": "나빠짐",
    "same": "같음",
    "new": "새 지표",
    "regression: {name} {reference:.6g} -> {value:.6g}": "퇴보(regression): {name} {reference:.6g} -> {value:.6g}",
    "plateau: {name} stayed at {value:.6g}": "정체(plateau): {name} 값이 {value:.6g} 그대로입니다",
    "below the best so far: {name} {value:.6g}, best {reference:.6g}": (
        "지금까지의 최고에 못 미침: {name} {value:.6g}, 최고 {reference:.6g}"
    ),
    "trade-off: {name} got better, {others} got worse": "상충(trade-off): {name} 좋아짐, {others} 나빠짐",
    "trade-off: {name} got worse, {others} got better": "상충(trade-off): {name} 나빠짐, {others} 좋아짐",
    "the previous version was scored under another protocol; the report scores all alike": (
        "이전 버전은 다른 평가 프로토콜로 채점되었습니다. 최종 보고서에서는 모든 버전을 같은 기준으로 다시 채점합니다"
    ),
    # action-extract.md
    "# Action extract of {version}": "# {version} 액션 추출",
    # baseline_patch_report.md
    "# Baseline patch report": "# 베이스라인 패치 보고서",
    "No patch was needed.": "패치가 필요하지 않았습니다.",
    "v001 is the baseline with its version set.": "v001은 버전 값만 바꾼 베이스라인입니다.",
    "none": "없음",
}


def english(text: str) -> str:
    return text


def words(language: Language) -> Say:
    """The words of a language. What it gives raises `KeyError` for a text that has no translation."""
    return english if language == "en" else KOREAN.__getitem__
