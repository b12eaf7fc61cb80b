"""What people call tasks: which family of formulas a task is of. Standard library only: the server asks as well."""

from __future__ import annotations

import re

#: Phrases of a task, and the family; the first that is found in it decides, so that the special stand before the
#: general. None is for tasks that only sound like one of ours.
_TASKS: tuple[tuple[str | None, tuple[str, ...]], ...] = (
    (
        None,
        (
            *(f"{what} generation" for what in ("image", "audio", "music", "video", "speech", "molecule")),
            *("diffusion", "gan", "instance segmentation", "panoptic", "change detection", "reinforcement"),
        ),
    ),
    ("multilabel", ("multilabel", "multi label", "multi-hot", "다중 레이블", "다중레이블", "멀티레이블")),
    (
        "tokens",
        (
            *("token", "tokens", "ner", "named entity", "pos tagging", "sequence tagging", "sequence labeling"),
            *("sequence labelling", "tagger", "slot filling", "chunking", "개체명", "토큰"),
        ),
    ),
    ("segmentation", ("segmentation", "segment", "segmenter", "semantic mask", "분할", "세그멘테이션")),
    (
        "language_model",
        (
            "language model",
            "language modeling",
            "language modelling",
            "lm",
            "causal lm",
            "clm",
            "mlm",
            "언어 모델",
            "언어모델",
        ),
    ),
    ("forecasting", ("forecast", "forecasting", "forecaster", "시계열 예측", "수요 예측")),
    (
        "retrieval",
        (
            *("retrieval", "ranking", "ranker", "rerank", "reranking", "learning to rank", "recommendation"),
            *("recommender", "recommend", "검색", "추천", "랭킹"),
        ),
    ),
    (
        "classification",
        (
            *("classification", "classifier", "classify", "classifying", "multiclass", "multi class", "binary"),
            *("sentiment", "anomaly detection", "fraud detection", "spam detection", "image recognition"),
            *("emotion recognition", "face recognition", "분류", "이진"),
        ),
    ),
    ("regression", ("regression", "regress", "regressor", "회귀")),
    ("detection", ("detection", "object detection", "detector", "bounding box", "객체 탐지", "객체 검출", "검출")),
    (
        "generation",
        (
            *("generation", "translation", "translate", "mt", "nmt", "summarization", "summarisation", "summary"),
            *("captioning", "caption", "seq2seq", "sequence to sequence", "text2text", "dialogue", "paraphrase"),
            *("번역", "요약", "생성", "캡셔닝"),
        ),
    ),
    (
        "sequence",
        (
            *("sequence", "ocr", "htr", "asr", "ctc", "stt", "speech recognition", "speech to text", "transcription"),
            *("text recognition", "handwriting", "handwritten", "lipreading", "lip reading"),
            *("음성 인식", "음성인식", "필기", "글자 인식", "문자 인식", "받아쓰기"),
        ),
    ),
    ("forecasting", ("time series", "timeseries", "시계열")),
)

#: The families that a version can be scored in without an evaluator of one's own.
SERVED = (
    *("classification", "multilabel", "tokens", "regression", "forecasting", "segmentation", "sequence", "generation"),
    "language_model",
)
#: What else a task of that name may turn out to be, by the make of its outputs and targets.
ALSO = {"classification": ("multilabel", "tokens"), "regression": ("forecasting",), "multilabel": ("tokens",)}


def task_family(task_type: str | None) -> str | None:
    """The name of the family whose words the task has; None where it has none, or those of several unlike ones."""
    words = " ".join(re.findall(r"[^\W_]+", (task_type or "").lower()))
    for family, phrases in _TASKS:
        if any(_holds(words, phrase) for phrase in phrases):
            return family
    return None


def _holds(words: str, phrase: str) -> bool:
    """Korean words run together; those of other languages are whole ones."""
    return phrase in words if re.search(r"[가-힣]", phrase) else f" {phrase.replace('-', ' ')} " in f" {words} "
