"""Texts that are read or heard (OCR, speech): error rates between what was read and what is written there."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .kinds import Compute, Family, Formula, by_name, mean_of, ratio_of, same_count
from .tokens import LOSSES as TOKEN_LOSSES

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false

Texts = list[str]
#: Tokens that stand for the space between words: of Hugging Face's CTC vocabularies, and of SentencePiece.
DELIMITERS = ("|", "▁")


def spell(tokens: Iterable[str], delimiter: str | None = None) -> str:
    """The text of some tokens. `delimiter` is the token between words; None is SentencePiece's mark alone.

    A vocabulary that has "|" and no " " uses it as its delimiter: `delimiter_of` says so.
    """
    text = "".join(" " if delimiter is not None and token == delimiter else token for token in tokens)
    return text.replace("▁", " ").strip()


def delimiter_of(vocabulary: Iterable[str]) -> str | None:
    """The token that a vocabulary has between words in place of a space; None where it has a space, or neither."""
    known = set(vocabulary)
    return "|" if "|" in known and " " not in known else None


def greedy(frames: Any, blank: int) -> list[int]:
    """CTC's best classes from (frames, classes): repeats are one, blanks are left out."""
    best = torch.unique_consecutive(torch.as_tensor(frames).argmax(1))
    return [one for one in best.tolist() if one != blank]


def shaped(output: Any, target: Any) -> tuple[Texts, Texts]:
    for what, values in (("outputs", output), ("targets", target)):
        if not isinstance(values, (list, tuple)) or not all(isinstance(one, str) for one in values):
            raise ValueError(f"{what} aren't a list of texts, but {type(values).__name__}")
    same_count(output, target)
    return list(output), list(target)


def edits(predicted: Sequence[Any], target: Sequence[Any]) -> int:
    """Levenshtein's distance: insertions, deletions and substitutions from one sequence to the other.

    All of a row of the usual table at once, a bit for each unit of `predicted` (Myers 1999, Hyyrö 2003).
    """
    if not predicted or not target:
        return len(predicted) or len(target)
    places: dict[Any, int] = {}
    for index, one in enumerate(predicted):
        places[one] = places.get(one, 0) | 1 << index
    every, last = (1 << len(predicted)) - 1, 1 << len(predicted) - 1
    up, down, distance = every, 0, len(predicted)
    for other in target:
        same = places.get(other, 0)
        still = (((same & up) + up) ^ up) | same | down
        right, left = down | ~(still | up) & every, up & still
        distance += bool(right & last) - bool(left & last)
        right, left = (right << 1 | 1) & every, left << 1 & every
        up, down = left | ~(same | down | right) & every, right & (same | down)
    return distance


def rate_terms(units: Callable[[str], Sequence[str]]) -> Callable[[Texts, Texts], dict[str, list[float]]]:
    """Each text's errors, and how many units the target has."""

    def terms(predicted: Texts, target: Texts) -> dict[str, list[float]]:
        pairs = [(units(one), units(other)) for one, other in zip(predicted, target)]
        return {"errors": [edits(one, other) for one, other in pairs], "length": [len(other) for _, other in pairs]}

    return terms


def error_rate(name: str, units: Callable[[str], Sequence[str]]) -> Formula:
    """All errors of the set over all units of its targets, as torchmetrics and jiwer have it."""
    return ratio_of(name, rate_terms(units))


def mean_rate(name: str, units: Callable[[str], Sequence[str]]) -> Formula:
    """The mean of each text's own rate; an empty target's errors count as if it had one unit."""
    terms = rate_terms(units)

    def each(predicted: Texts, target: Texts) -> list[float]:
        found = terms(predicted, target)
        return [errors / max(1, length) for errors, length in zip(found["errors"], found["length"])]

    return Formula(name, lambda predicted, target: statistics.fmean(each(predicted, target)), False, each)


def words_by(delimiter: str | None = None) -> Callable[[str], list[str]]:
    """What splits a text into words: any white space, or a delimiter beside it."""
    return str.split if delimiter is None else lambda text: text.replace(delimiter, " ").split()


def wer(delimiter: str | None = None) -> Formula:
    """Word error rate for a vocabulary that has something else than a space between words."""
    return error_rate("wer", words_by(delimiter))


def exact(predicted: Texts, target: Texts) -> list[int]:
    return [int(one == other) for one, other in zip(predicted, target)]


def exact_words(predicted: Texts, target: Texts) -> list[int]:
    """Whether two texts are the same but for case and white space."""
    return [int(one.lower().split() == other.lower().split()) for one, other in zip(predicted, target)]


def distances(predicted: Texts, target: Texts) -> list[float]:
    """Each text's errors by the longer one's length; 0 for two empty ones."""
    return [edits(one, other) / max(1, len(one), len(other)) for one, other in zip(predicted, target)]


def mean_list(name: str, each: Callable[[Texts, Texts], Any], higher_is_better: bool) -> Formula:
    return Formula(name, lambda predicted, target: statistics.fmean(each(predicted, target)), higher_is_better, each)


def lowered(text: str) -> list[str]:
    return text.lower().split()


METRICS = (
    error_rate("cer", list),
    error_rate("wer", str.split),
    mean_list("exact_match", exact, True),
    mean_list("accuracy", exact, True),
    mean_rate("cer_per_sample", list),
    mean_rate("wer_per_sample", str.split),
    error_rate("cer_without_spaces", lambda text: "".join(text.split())),
    error_rate("cer_lowercase", lambda text: text.lower()),
    error_rate("wer_lowercase", lowered),
    error_rate("wer_by_bars", words_by("|")),
    mean_list("exact_match_lowercase", exact_words, True),
    mean_list("normalized_edit_distance", distances, False),
    mean_list("normalized_edit_similarity", lambda p, t: [1 - one for one in distances(p, t)], True),
    mean_list("edit_distance", lambda p, t: [edits(one, other) for one, other in zip(p, t)], False),
)


def ctc_loss(blank: int = 0, by_length: bool = True) -> Compute:
    """Each sample's CTC loss, by its target's length as torch's mean has it. Of scores (frames, classes), lists both.

    A `blank` below 0 counts from the last class.
    """

    def each(output: Sequence[Any], target: Sequence[Any]) -> Tensor:
        found: list[Tensor] = []
        same_count(output, target)
        for scores, classes in zip(output, target):
            if not isinstance(scores, Tensor) or scores.dim() != 2 or isinstance(classes, str):
                raise ValueError("CTC's loss is one of scores (frames, classes) and class numbers")
            classes = torch.as_tensor(classes, dtype=torch.long).flatten()
            lengths = torch.tensor([len(scores)]), torch.tensor([len(classes)])
            frames = scores.float().log_softmax(1)[:, None]
            loss = F.ctc_loss(frames, classes[None], *lengths, blank=blank % scores.shape[1], reduction="none")[0]
            found.append(loss / max(1, len(classes)) if by_length else loss)
        return torch.stack(found)

    return each


#: On what the loss sees: scores and class numbers, not the texts that `shaped` takes.
LOSSES = {
    **by_name(
        mean_of(f"ctc{ending}{of}", ctc_loss(blank, by_length))
        for of, by_length in (("", True), (", summed over a text", False))
        for ending, blank in (("", 0), (" with the blank last", -1))
    ),
    **TOKEN_LOSSES,
}


def same(output: Texts, loss: str | None = None) -> Texts:
    return output


def answer(row: str) -> str:
    return row


SEQUENCE = Family(
    "sequence",
    shaped,
    same,
    answer,
    by_name(METRICS),
    LOSSES,
    (
        ("cer", "cer_per_sample", "cer_without_spaces", "cer_lowercase"),
        ("wer", "wer_by_bars", "wer_per_sample", "wer_lowercase"),
        ("exact_match", "exact_match_lowercase"),
        ("accuracy", "exact_match_lowercase"),
        ("edit_distance", "normalized_edit_distance"),
    ),
)
