"""Text for people and models: fixed words in the rules' language, and foreign text cleaned, bounded and fenced."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import ValidationError

from .errors import DocumentError

MAX_FIELD = 8_000


BIDI = "\u202a-\u202e\u2066-\u2069"
"""Embeddings, overrides and isolates, as a part of a pattern's set: text reads otherwise than it stands."""

# The one list of what is never shown as it is: control characters but newline and tab, halves of surrogate pairs, and
# what Unicode calls default-ignorable (zero width, soft hyphen, fillers, bidi, tags). Two lists had drifted apart, so
# that words hidden in a training log reached the model. Variation selectors 1 to 16 stay: emoji are made with them.
_HIDDEN = re.compile(
    f"[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f{BIDI}\u2060-\u206f"
    "\u3164\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_TERMINAL = re.compile(
    r"""\x1b\[[0-?]*[ -/]*[@-~]                 # colours, cursor movements
      | \x1b\][^\x07\x1b\n]*(?:\x07|\x1b\\)?    # titles, hyperlinks
      | \x1b[PX^_][^\x1b\n]*(?:\x1b\\)?         # device strings
      | \x1b[ -/]*[0-~]?                        # the rest
      | \x9b[0-?]*[ -/]*[@-~]""",
    re.VERBOSE,
)
_LINE_BREAKS = re.compile("\r+\n|[\u2028\u2029]")


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
    "95 % interval of the gain": "이득의 95 % 신뢰구간",
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
    "DATASET_ID is {found!r}, the loop's is {wanted!r}": (
        "DATASET_ID가 {found!r}인데 루프에 설정된 값은 {wanted!r}입니다"
    ),
    "VERSION is {found!r}, and {script} is {wanted!r}": (
        "VERSION이 {found!r}인데 {script}의 값은 {wanted!r}이어야 합니다"
    ),
    "set": "고쳤습니다",
    "the smoke test found optimal_batch_size {optimal}": "스모크 테스트가 찾은 optimal_batch_size는 {optimal}입니다",
    "the user's rules fix it": "배치 크기는 사용자 규칙에 고정되어 있습니다",
    "optimal_batch_size {optimal} can't be used: the script states no batch size": (
        "optimal_batch_size({optimal})를 쓸 수 없습니다. 스크립트에 배치 크기를 정하는 곳이 없습니다"
    ),
    "the script doesn't use optimal_batch_size {optimal}": ("스크립트가 optimal_batch_size({optimal})를 쓰지 않습니다"),
    "there is no module-level DATASET_ID constant": "모듈 수준의 DATASET_ID 상수가 없습니다",
    "no data path under {folder} was found": "{folder} 아래의 데이터 경로를 찾지 못했습니다",
    "no artifact path {folder} was found": "아티팩트 경로({folder})를 찾지 못했습니다",
    "no log path {folder} was found": "로그 경로({folder})를 찾지 못했습니다",
    "nothing in the script names best.ckpt": "스크립트에 best.ckpt를 언급하는 곳이 없습니다",
    "{rule} = {value!r} is stated nowhere in the script; it is checked after each run": (
        "{rule} = {value!r} 설정이 스크립트 어디에도 없습니다. 실행이 끝날 때마다 확인합니다"
    ),
    # train_retry_report.md, with the kinds of failure
    "# Training attempts of {script}": "# {script} 학습 시도",
    "code error": "코드 오류",
    "rule violation": "규칙 위반",
    "evaluation output": "평가 결과물 무단 변경",
    "diverged": "발산",
    "out of memory": "메모리 부족",
    "killed": "강제 종료",
    "timeout": "시간 초과",
    "disk full": "디스크 공간 부족",
    "limit": "한도 초과",
    "missing artifacts": "산출물 누락",
    "cancelled": "취소",
    "lost": "작업 유실",
    "invalid score": "잘못된 점수",
}


@dataclass(frozen=True)
class Told:
    """A fixed text of ours and what fills its places, which may be another; in English unless asked otherwise."""

    text: str
    values: Mapping[str, object] = field(default_factory=dict[str, object])

    def told(self, say: Say) -> str:
        values = {name: value.told(say) if isinstance(value, Told) else value for name, value in self.values.items()}
        return say(self.text).format(**values)

    def __str__(self) -> str:
        return self.told(english)


def english(text: str) -> str:
    return text


def words(language: Language) -> Say:
    """The words of a language. What it gives raises `KeyError` for a text that has no translation."""
    return english if language == "en" else KOREAN.__getitem__


def clean(text: str, limit: int) -> str:
    """Without terminal sequences, with invisible characters shown as escapes, and cut in the middle."""
    plain = _HIDDEN.sub(_escape, _TERMINAL.sub("", text.replace("\r\n", "\n")))
    if len(plain) <= limit:
        return plain
    half = limit // 2
    return f"{plain[:half]}\n… {len(plain) - 2 * half} characters left out …\n{plain[-half:]}"


def as_printed(text: str) -> str:
    """What a terminal would leave of a log: a progress bar in its last state, and nothing that hides or acts.

    It takes words away; it doesn't make the rest true.
    """
    lines = _LINE_BREAKS.sub("\n", _TERMINAL.sub("", text)).split("\n")
    return "\n".join(_HIDDEN.sub("", _last_state(line)) for line in lines)


def _last_state(line: str) -> str:
    """What the last carriage return left of a line."""
    return next((state for state in reversed(line.split("\r")) if state.strip()), "")


def _escape(found: re.Match[str]) -> str:
    number = ord(found[0])
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"


def cell(text: str, limit: int) -> str:
    """The text as one cell of a Markdown table: one line, cut at its end."""
    line = " ".join(clean(text[: 8 * limit], 8 * limit).split()).replace("|", "\\|")
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def fence(text: str, label: str, limit: int = 4_000) -> str:
    """A code block that the text can't close, labelled as data."""
    plain = clean(text, limit)
    ticks = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", plain)), default=0))
    return f"{ticks}{label}\n{plain.rstrip()}\n{ticks}"


def describe(error: ValidationError, unknown: str = "there is no such argument") -> str:
    """Pydantic's findings without its links and class names: `field: what is wrong (got value)`; one a line."""
    lines: list[str] = []
    for item in error.errors(include_url=False):
        field = ".".join(str(part) for part in item["loc"]) or "the whole"
        if item["type"] == "missing":
            lines.append(f"{field}: is missing")
        elif item["type"] == "extra_forbidden":
            lines.append(f"{field}: {unknown}")
        else:
            shown = json.dumps(item["input"], ensure_ascii=False, default=str)
            message = item["msg"].removeprefix("Value error, ")
            message = message[0].lower() + message[1:]
            lines.append(f"{field}: {message} (got {shown[:80]})")
    return "; ".join(lines)


def require_text(**parts: str) -> None:
    for name, text in parts.items():
        if not text.strip():
            raise DocumentError("is empty", where=name, hint="say it in a sentence or more")
        if len(text) > MAX_FIELD:
            raise DocumentError(f"is longer than {MAX_FIELD} characters", where=name, hint="shorten it")


def require_list(**parts: tuple[str, ...]) -> None:
    for name, items in parts.items():
        if not items:
            raise DocumentError("is empty", where=name, hint="give at least one entry")
        for item in items:
            require_text(**{name: item})


def bullets(items: Sequence[str]) -> str:
    return "\n".join(f"- {' '.join(item.split())}" for item in items)
