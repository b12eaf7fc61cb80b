"""Texts that are written (translation, summaries, captions): BLEU, ROUGE and chrF, against one or several references.

By hand, so that a number depends on no package's version and on no download. Values are fractions; scripts that say
them in percent find `_percent`.
"""

from __future__ import annotations

import math
import re
import statistics
import string
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .kinds import Family, Formula, by_name, same_count, times
from .rouge import (
    References,
    Tokens,
    grams,
    references,
    rouge,
    rouge_l,
    rouge_l_of_lines,
    rouge_n,
    words_ascii,
    words_of_any_script,
)
from .texts import METRICS as TEXT_METRICS
from .texts import answer, same
from .tokens import LOSSES

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false


def shaped(output: Any, target: Any) -> tuple[list[str], list[Any]]:
    """Lists of texts; a target may be a list of several right ones."""
    if not isinstance(output, (list, tuple)) or not all(isinstance(one, str) for one in output):
        raise ValueError(f"outputs aren't a list of texts, but {type(output).__name__}")
    if not isinstance(target, (list, tuple)) or not all(_is_reference(one) for one in target):
        raise ValueError("targets aren't a list of texts, or of lists of them")
    same_count(output, target)
    return list(output), [one if isinstance(one, str) else list(one) for one in target]


def _is_reference(value: Any) -> bool:
    texts = [value] if isinstance(value, str) else value if isinstance(value, (list, tuple)) else []
    return bool(texts) and all(isinstance(one, str) for one in texts)


# ------------------------------------------------------------ BLEU


def words_13a(text: str) -> list[str]:
    """The tokenizer of mteval-13a, which sacrebleu and evaluate use: punctuation stands alone."""
    text = text.replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    for escaped, plain in (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")):
        text = text.replace(escaped, plain)
    text = re.sub(r"([\{-\~\[-\` -\&\(-\+\:-\@\/])", r" \1 ", f" {text} ")
    text = re.sub(r"([^0-9])([\.,])", r"\1 \2 ", text)
    text = re.sub(r"([\.,])([^0-9])", r" \1 \2", text)
    return re.sub(r"([0-9])(-)", r"\1 \2 ", text).split()


def bleu(tokens: Tokens, size: int = 4, smooth: str | None = None) -> Callable[[Any, Any], float]:
    """Papineni's, over the whole set. `smooth`: "exp" is sacrebleu's if an n-gram isn't hit, "one" torchmetrics'."""

    def compute(predicted: Sequence[str], target: References) -> float:
        hits, counts, length, wanted = [0] * size, [0] * size, 0, 0
        for text, right in zip(predicted, target):
            words, others = tokens(text), [tokens(one) for one in references(right)]
            length += len(words)
            wanted += min((abs(len(one) - len(words)), len(one)) for one in others)[1]
            for index in range(size):
                there: Counter[tuple[str, ...]] = Counter()
                for one in others:
                    there |= grams(one, index + 1)
                hits[index] += sum((grams(words, index + 1) & there).values())
                counts[index] += max(0, len(words) - index)
        shares = _shares(hits, counts, smooth)
        if not length or min(shares) <= 0:
            return 0.0
        brevity = 1.0 if length > wanted else math.exp(1 - wanted / length)
        return brevity * math.exp(statistics.fmean(map(math.log, shares)))

    return compute


def _shares(hits: list[int], counts: list[int], smooth: str | None) -> list[float]:
    """The precision of each size of n-gram."""
    if smooth == "one" and all(hits):
        return [hits[0] / max(1, counts[0]), *((hit + 1) / (count + 1) for hit, count in zip(hits[1:], counts[1:]))]
    found: list[float] = []
    share = 1.0
    for hit, count in zip(hits, counts):
        if smooth == "exp" and not hit and count and any(hits):
            share /= 2
            found.append(share / count)
        else:
            found.append(hit / count if count else 0.0)
    return found


# ------------------------------------------------------------ chrF


def chrf_words(text: str) -> list[str]:
    """chrF++'s words: one mark of punctuation at an end stands alone."""
    found: list[str] = []
    for word in text.split():
        if len(word) > 1 and word[-1] in string.punctuation:
            found += [word[:-1], word[-1]]
        elif len(word) > 1 and word[0] in string.punctuation:
            found += [word[0], word[1:]]
        else:
            found.append(word)
    return found


_Hits = list[tuple[int, int, int]]  # n-grams that are in both, in the prediction, in the target; by their size


def chrf(word_sizes: int, of: Callable[[_Hits], float], letters: Callable[[str], str]) -> Callable[[Any, Any], float]:
    """Popović's with characters up to 6, over the whole set: recall counts twice. 2 words make it chrF++."""

    def parts(text: str) -> list[Counter[Any]]:
        letter, words = letters(text), chrf_words(text) if word_sizes else []
        return [*(grams(letter, n) for n in range(1, 7)), *(grams(words, n) for n in range(1, word_sizes + 1))]

    def counts(said: list[Counter[Any]], right: str) -> _Hits:
        return [
            (sum((one & other).values()), sum(one.values()) if other else 0, sum(other.values()))
            for one, other in zip(said, parts(right))
        ]

    def compute(predicted: Sequence[str], target: References) -> float:
        total = [(0, 0, 0)] * (6 + word_sizes)
        for text, right in zip(predicted, target):
            said = parts(text)
            best = max((counts(said, one) for one in references(right)), key=of)
            total = [(a + x, b + y, c + z) for (a, b, c), (x, y, z) in zip(total, best)]
        return of(total)

    return compute


def f_of_means(counts: _Hits) -> float:
    """sacrebleu's: of the mean precision and the mean recall."""
    seen = [(hits / said, hits / there) for hits, said, there in counts if said and there]
    if not seen:
        return 0.0
    precision, recall = (statistics.fmean(part) for part in zip(*seen))
    return 5 * precision * recall / (4 * precision + recall) if precision + recall else 0.0


def mean_of_fs(counts: _Hits) -> float:
    """torchmetrics': each size's own, and their mean. Texts without any hit count here; there they lower no recall."""
    return statistics.fmean(5 * hits / (4 * there + said) if hits else 0.0 for hits, said, there in counts)


def without_white_space(text: str) -> str:
    return "".join(text.split())


def without_spaces(text: str) -> str:
    return text.strip().replace(" ", "")


# ------------------------------------------------------------ the family


def _both(name: str, compute: Callable[[Any, Any], float]) -> Iterator[Formula]:
    plain = Formula(name, compute, True)
    yield plain
    yield times(100, f"{name}_percent", plain)


def _against_any(formula: Formula) -> Formula:
    """A metric of one right text, where several would have to be weighed against each other."""

    def compute(predicted: Sequence[str], target: References) -> float:
        if not all(isinstance(one, str) for one in target):
            raise ValueError(f"{formula.name} is for one right text a sample, and some have several")
        return formula.compute(predicted, target)

    return formula._replace(compute=compute)


def _metrics() -> Iterator[Formula]:
    yield from _both("bleu", bleu(str.split))
    yield from _both("bleu_13a", bleu(words_13a))
    yield from _both("sacrebleu", bleu(words_13a, smooth="exp"))
    yield from _both("bleu_smooth", bleu(str.split, smooth="one"))
    yield from _both("bleu_characters", bleu(without_white_space, smooth="exp"))
    for size in (1, 2, 3):
        yield from _both(f"bleu{size}", bleu(str.split, size))
    for ending, tokens in (("", words_of_any_script), ("_ascii", words_ascii)):
        yield from rouge(f"rouge1{ending}", rouge_n(1, tokens))
        yield from rouge(f"rouge2{ending}", rouge_n(2, tokens))
        yield from rouge(f"rougel{ending}", rouge_l(tokens))
        yield from rouge(f"rougelsum{ending}", rouge_l_of_lines(tokens))
    for words, ending in ((0, ""), (2, "_plus")):
        yield from _both(f"chrf{ending}", chrf(words, f_of_means, without_white_space))
        yield from _both(f"chrf{ending}_by_size", chrf(words, mean_of_fs, without_spaces))
    yield from map(_against_any, TEXT_METRICS)


_ROUGES = ("rouge1", "rouge2", "rougel", "rougelsum")
_BLEUS = ("bleu", "sacrebleu", "bleu_13a", "bleu_smooth", "bleu_characters")

GENERATION = Family(
    "generation",
    shaped,
    same,
    answer,
    by_name(_metrics()),
    LOSSES,
    (
        tuple(f"{name}{unit}" for name in _BLEUS for unit in ("", "_percent")),
        *(tuple(f"{name}{kind}" for kind in ("", "_percent", "_ascii", "_ascii_percent")) for name in _ROUGES),
        *((f"bleu{size}", f"bleu{size}_percent") for size in (1, 2, 3)),
        tuple(f"chrf{kind}{unit}" for kind in ("", "_plus", "_plus_by_size", "_by_size") for unit in ("", "_percent")),
        ("exact_match", "exact_match_lowercase"),
        ("wer", "wer_per_sample", "wer_lowercase"),
        ("cer", "cer_per_sample", "cer_lowercase"),
    ),
)
