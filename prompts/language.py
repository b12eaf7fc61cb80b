"""The fixed words of the report, in the language that the rules ask for; charts stay in English (fonts differ)."""

from collections.abc import Mapping

from ..loop.language import Language, Say, english

NOISE_TOLD = (
    "A gain is {significant} when it would rarely come about by chance even though {looks} versions may be looked at on"
    " one validation set, {suggestive} when it would be rare for a single look, and {noise} otherwise."
)
FIRST = "The loop's first version, made from the baseline under the user's rules."
EXTERNAL = "An external model of Models/external/, scored by the same 03_eval.py on the same samples."

KOREAN: Mapping[str, str] = {
    # final-analysis.md
    "Final analysis": "최종 분석",
    "The loop on data set {dataset} ended by: {reason}. Ranked by {primary}.": (
        "데이터셋 {dataset}에 대한 루프가 끝났습니다(이유: {reason}). 순위 기준은 {primary}입니다."
    ),
    "Best version: {best}; its checkpoint, spec and assets are in {place}.": (
        "최고 버전: {best}. 체크포인트와 spec, 자산은 {place}에 있습니다."
    ),
    "No version has the primary metric, so there is no best one.": (
        "기준 지표가 있는 버전이 없어 최고 버전을 정할 수 없습니다."
    ),
    "Above it ranks, as an external model: {above}.": "그보다 위에 외부 모델이 있습니다: {above}.",
    "rank": "순위",
    "version": "버전",
    "gain over its parent (95 %)": "부모 대비 이득 (95 %)",
    "label": "판정",
    "action": "액션",
    NOISE_TOLD: (
        "검증 세트 하나로 {looks}개 버전을 들여다볼 수 있다는 점까지 감안해도 우연히 나오기 어려운 이득은"
        " {significant}, 한 번만 들여다본다면 드물 이득은 {suggestive}, 나머지는 {noise}입니다."
    ),
    "Rows are ranked by their score all the same.": "판정과 관계없이 순위는 점수 순입니다.",
    "Warnings": "경고",
    "Pictures": "그림",
    "Why the first three rank where they do": "상위 세 버전이 그 순위인 이유",
    "One action away from its parent: {goal}": "부모에서 액션 하나: {goal}",
    "Change: {change}": "변경: {change}",
    "Changed symbols: {symbols}": "바뀐 심벌: {symbols}",
    "Analysis when it was scored: {analysis}": "채점 당시의 분석: {analysis}",
    "Analysis": "분석",
    "The agent's analysis goes here: {call}.": "에이전트의 분석이 들어갈 자리입니다: {call}.",
    FIRST: "사용자의 규칙에 따라 베이스라인에서 만든 첫 버전입니다.",
    EXTERNAL: "Models/external/의 외부 모델로, 같은 03_eval.py가 같은 샘플로 채점했습니다.",
    "No pictures were painted: {how}. The same charts are in {page}.": (
        "그림을 그리지 못했습니다: {how}. 같은 차트가 {page}에 있습니다."
    ),
    "{command} tries again": "{command}로 다시 시도합니다",
    "{install}, then {command}": "{install} 실행 뒤 {command}",
    # report.html
    "Final report of {name}": "{name} 최종 보고서",
    "Best version": "최고 버전",
    "none": "없음",
    "(above it, as an external model: {above})": "(그보다 위의 외부 모델: {above})",
    "Its {metric}": "그 버전의 {metric}",
    "Data set": "데이터셋",
    "Ended by": "끝난 이유",
    "Each version is one action away from the one before. A bar is the 95\u00a0% interval of its gain.": (
        "각 버전은 바로 앞 버전에서 액션 하나만큼 떨어져 있습니다. 막대는 부모 대비 이득의 95\u00a0% 구간입니다."
    ),
    "Leaderboard": "리더보드",
    "Ranked by {primary}; every version scored alike": "{primary} 기준 순위, 모든 버전을 같은 기준으로 채점",
    "Latency, ms": "지연 시간, ms",
    "Gain over its parent, 95\u00a0%": "부모 대비 이득, 95\u00a0%",
    "Samples of {version}": "{version}의 샘플",
    "Sample {name}": "샘플 {name}",
    "output": "출력",
    "truth": "정답",
    "Diff that made {version}": "{version}을 만든 diff",
    "The agent's analysis goes here.": "에이전트의 분석이 들어갈 자리입니다.",
}


def words(language: Language) -> Say:
    """The report's words in a language. What it gives raises `KeyError` for a text that has no translation."""
    return english if language == "en" else KOREAN.__getitem__
