"""The fixed words of the report, in the language that the rules ask for; what charts draw stays English (fonts)."""

from collections.abc import Mapping

from ..loop.text import Language, Say, english

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
    "{version} ranks last: it is trained, but has no score ({failed} training attempts)": (
        "{version}: 학습은 되었지만 점수가 없어 최하위입니다(학습 시도 {failed}회)"
    ),
    "{version} ranks last: it is not trained ({failed} training attempts)": (
        "{version}: 학습되지 않아 최하위입니다(학습 시도 {failed}회)"
    ),
    "{version} ranks last: its eval_score.json lacks the primary metric {primary!r}": (
        "{version}: eval_score.json에 기준 지표({primary!r})가 없어 최하위입니다"
    ),
    "external model {name} is left out: it is not scored: {problem}": (
        "외부 모델 {name}: 채점되지 않아 제외했습니다. 이유: {problem}"
    ),
    "external model {name} ranks last: it is not scored: {problem}": (
        "외부 모델 {name}: 채점되지 않아 최하위입니다. 이유: {problem}"
    ),
    "external model {name} ranks last: {primary!r} can't be computed from what it answers": (
        "외부 모델 {name}: 모델의 출력으로는 기준 지표({primary!r})를 계산할 수 없어 최하위입니다"
    ),
    "external model {name}: {warning}": "외부 모델 {name}: {warning}",
    "external model {name} ranks last: its folder was changed while the report was made": (
        "외부 모델 {name}: 보고서를 만드는 동안 폴더가 바뀌어 최하위입니다"
    ),
    "no version is scored, so there is nothing to compare it with": "채점된 버전이 없어 비교할 대상이 없습니다",
    "its folder can't be read: {file}: {error}": "폴더를 읽을 수 없습니다: {file}: {error}",
    "its folder's name is no UTF-8; rename it": "폴더 이름이 UTF-8이 아닙니다. 이름을 바꾸세요",
    "its folder is named like a version, which it would be taken for; rename it": (
        "폴더 이름이 버전 이름과 형식이 같아 버전으로 오인될 수 있습니다. 이름을 바꾸세요"
    ),
    "its folder's name is longer than {most} bytes; rename it": (
        "폴더 이름이 {most}바이트보다 깁니다. 이름을 바꾸세요"
    ),
    "latency_ms of {names} was measured with up to {most} evaluations side by side on one machine"
    " (execution_config.max_parallel): it doesn't compare with that of an evaluation alone": (
        "{names}의 latency_ms는 한 머신에서 평가를 최대 {most}개까지 동시에 돌리며 측정했습니다"
        "(execution_config.max_parallel). 단독으로 평가한 값과 비교할 수 없습니다"
    ),
    "{names} and {more} more": "{names} 외 {more}개",
    "Pictures": "그림",
    "Why the first three rank where they do": "상위 세 버전이 그 순위인 이유",
    "One action away from its parent: {goal}": "부모에서 액션 하나: {goal}",
    "Change: {change}": "변경: {change}",
    "Changed symbols: {symbols}": "변경된 심볼: {symbols}",
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
    # the charts: their names, and in words what they show
    "{primary} by version": "버전별 {primary}",
    "{first} has {primary} {value}, {last} {last_value}": "{primary}: {first} {value}, {last} {last_value}",
    "; best: {best}": "; 최고: {best}",
    "No version has a {primary} yet.": "{primary} 점수가 있는 버전이 아직 없습니다.",
    "{version}: no score": "{version}: 점수 없음",
    ", gain over its parent: {label}": ", 부모 대비 이득: {label}",
    ", the best": ", 최고 성능",
    "Validation loss by epoch": "에포크별 검증 손실",
    "Validation loss: {ends}.": "검증 손실: {ends}.",
    "{version} ends at {value}": "{version} 마지막 값 {value}",
    "No version has a validation loss.": "검증 손실이 있는 버전이 없습니다.",
    "{primary} against latency": "지연 시간 대비 {primary}",
    "No version has a latency.": "지연 시간을 잰 버전이 없습니다.",
    "{count} inference samples of {version} with the model's output and the truth.": (
        "{version}의 추론 샘플 {count}개(모델 출력과 정답)."
    ),
    # report.html
    "Final report of {name}": "{name} 최종 보고서",
    "Best version": "최고 버전",
    "none": "없음",
    "(above it, as an external model: {above})": "(그보다 위의 외부 모델: {above})",
    "Its {metric}": "그 버전의 {metric}",
    "Data set": "데이터셋",
    "Ended by": "종료 사유",
    "Each version is one action away from the one before. A bar is the 95\u00a0% interval of its gain.": (
        "각 버전은 바로 앞 버전에서 액션 하나만큼 떨어져 있습니다. 막대는 부모 대비 이득의 95\u00a0% 신뢰구간입니다."
    ),
    "Leaderboard": "리더보드",
    "Ranked by {primary}; every version scored alike": "{primary} 기준 순위, 모든 버전을 같은 기준으로 채점",
    "Latency, ms": "지연 시간, ms",
    "Gain over its parent, 95\u00a0%": "부모 대비 이득, 95\u00a0%",
    "Samples of {version}": "{version}의 샘플",
    "Sample {name}": "샘플 {name}",
    "output": "출력",
    "truth": "정답",
    "Diff that made {version}": "{version}의 변경 diff",
    "The agent's analysis goes here.": "에이전트의 분석이 들어갈 자리입니다.",
    # what a receipt took note of (loop/project/notices.py)
    "had to end what it left running: {processes}": "남겨 둔 프로세스를 강제로 종료했습니다: {processes}",
    "the resumed run left no {name}; that of attempt {attempt} was put back": (
        "재개한 실행이 {name}을(를) 남기지 않아 시도 {attempt}의 것을 되돌려 놓았습니다"
    ),
    "metrics.csv begins at epoch {epoch}, where the run was resumed": (
        "metrics.csv가 실행을 재개한 에포크 {epoch}부터 시작합니다"
    ),
    "best.ckpt is byte for byte that of {version}: the change had no effect, or weights were copied": (
        "best.ckpt가 {version}의 것과 완전히 같습니다. 변경에 효과가 없었거나 가중치가 복사되었습니다"
    ),
    "metric {metric!r} was not computed": "지표 {metric!r} 값이 계산되지 않았습니다",
    "primary_metric {metric!r} is not among the metrics: this version ranks last": (
        "기준 지표({metric!r})가 지표 목록에 없어 최하위입니다"
    ),
    "loss is {loss:.6g}, and the mean of its samples {mean:.6g}": (
        "loss는 {loss:.6g}인데 샘플별 값의 평균은 {mean:.6g}입니다"
    ),
    "{name}: {problem}": "{name}: {problem}",
    "{differing} of {shared} targets are not those of {version}: the scores don't compare": (
        "정답 {shared}개 중 {differing}개가 {version}의 것과 달라 점수를 비교할 수 없습니다"
    ),
    "it could have read the data set while it was scored: {reason}": (
        "채점 중에 데이터셋을 읽을 수 있었습니다: {reason}"
    ),
    "it could have read the data set while it was scored: the evaluator is its own": (
        "채점 중에 데이터셋을 읽을 수 있었습니다: 자체 작성한 03_eval.py를 썼습니다"
    ),
    "two runs of the evaluator differ by {spread:.2g} (relative)": (
        "평가를 두 번 실행한 결과가 {spread:.2g}만큼 다릅니다(상대값)"
    ),
    "the checkpoint holds no weights that could be put in disorder": "체크포인트에 뒤섞을 수 있는 가중치가 없습니다",
    "{metric} stayed the same for weights in disorder; only other scores moved": (
        "가중치를 뒤섞어도 {metric} 값이 그대로였고 다른 점수만 달라졌습니다"
    ),
    "{script} names training data ({names}): a score on it says nothing of new samples": (
        "{script}가 학습 데이터를 언급합니다({names}). 그 점수로는 새 샘플에 대해 알 수 없습니다"
    ),
    "{settings} change together: which of them had what effect can't be told from one version": (
        "{settings} 값이 함께 바뀌어 한 버전만으로는 무엇이 어떤 효과를 냈는지 알 수 없습니다"
    ),
    "{version} had tried the same ({moves})": "{version}에서 같은 것을 시도했습니다({moves})",
    "{version} had tried the same (it has no score)": "{version}에서 같은 것을 시도했습니다(점수 없음)",
}


def words(language: Language) -> Say:
    """The report's words in a language. What it gives raises `KeyError` for a text that has no translation."""
    return english if language == "en" else KOREAN.__getitem__
