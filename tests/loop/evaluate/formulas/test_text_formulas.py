"""Formulas of texts. Error rates against torchmetrics and the textbook's table, what is written against figures of
sacrebleu 2.6.0 and rouge-score 0.1.2, which aren't installed here."""

import random
from collections.abc import Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torchmetrics.functional.text import bleu_score, char_error_rate, chrf_score, word_error_rate

from progressive_training.loop.evaluate.evaluator_parts.formulas import (
    FAMILIES,
    ctc_loss,
    delimiter_of,
    greedy,
    spell,
    variants,
    wer,
)
from progressive_training.loop.evaluate.evaluator_parts.formulas.rouge import longest_common
from progressive_training.loop.evaluate.evaluator_parts.formulas.texts import edits

READ, WRITTEN = FAMILIES["sequence"], FAMILIES["generation"]


def texts(seed: int, count: int = 40) -> tuple[list[str], list[str]]:
    drawn = random.Random(seed)
    target = ["".join(drawn.choice("ab 한글 x") for _ in range(drawn.randint(1, 30))) for _ in range(count)]
    return [
        "".join(one for one in text if drawn.random() < 0.8) + drawn.choice(["", "b", "글"]) for text in target
    ], target


def by_table(first: Sequence[Any], second: Sequence[Any]) -> int:
    table = [[row + column for column in range(len(second) + 1)] for row in range(len(first) + 1)]
    for row, one in enumerate(first, 1):
        for column, other in enumerate(second, 1):
            table[row][column] = min(
                table[row - 1][column] + 1, table[row][column - 1] + 1, table[row - 1][column - 1] + (one != other)
            )
    return table[-1][-1]


def common_by_table(first: Sequence[Any], second: Sequence[Any]) -> int:
    table = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for row, one in enumerate(first, 1):
        for column, other in enumerate(second, 1):
            longer = max(table[row - 1][column], table[row][column - 1])
            table[row][column] = table[row - 1][column - 1] + 1 if one == other else longer
    return table[-1][-1]


def test_edits_and_common_subsequences_are_those_of_the_textbooks_table() -> None:
    for one, other in zip(*texts(1, 150), strict=True):
        assert edits(one, other) == by_table(one, other) == edits(other, one)
        assert edits(one.split(), other.split()) == by_table(one.split(), other.split())
        assert longest_common(one, other) == common_by_table(one, other)
    assert (edits("", "ab"), edits("ab", ""), edits("", "")) == (2, 2, 0)


def test_error_rates_are_those_of_torchmetrics_over_the_whole_set() -> None:
    predicted, target = texts(2)
    assert READ.metrics["cer"].compute(predicted, target) == pytest.approx(float(char_error_rate(predicted, target)))
    assert READ.metrics["wer"].compute(predicted, target) == pytest.approx(float(word_error_rate(predicted, target)))
    terms = READ.metrics["cer"].terms
    assert terms is not None
    assert terms(predicted, target)["length"] == [len(one) for one in target]


def test_the_vocabularys_own_delimiter_is_a_space_between_words() -> None:
    vocabulary = ["<pad>", "|", "가", "나"]
    delimiter = delimiter_of(vocabulary)
    assert delimiter == "|" and delimiter_of([" ", "|"]) is None and delimiter_of("ab") is None
    assert spell("가|나", delimiter) == "가 나" and spell("▁a|b") == "a|b" and spell(["▁가", "나", "▁다"]) == "가나 다"
    predicted, target = ["가|나|다"], ["가|나|라"]
    assert READ.metrics["wer"].compute(predicted, target) == 1
    assert wer("|").compute(predicted, target) == pytest.approx(1 / 3)
    assert wer().compute(["a \t b"], ["a b"]) == 0
    assert [one.name for one in variants(READ, "val_wer")][:2] == ["wer", "wer_by_bars"]


def test_greedy_reading_drops_repeats_and_blanks() -> None:
    frames = F.one_hot(torch.tensor([0, 1, 1, 0, 1, 2, 2, 0]), 3).float()
    assert greedy(frames, 0) == [1, 1, 2] and greedy(frames.numpy(), 2) == [0, 1, 0, 1, 0]


def test_other_numbers_of_texts_are_by_hand() -> None:
    predicted, target = ["Abc d", "", "가 나"], ["abc d", "x", "가나"]
    by_hand = {
        "exact_match": 0,
        "accuracy": 0,
        "exact_match_lowercase": 1 / 3,
        "cer": 3 / 8,
        "cer_lowercase": 2 / 8,
        "cer_without_spaces": 2 / 7,
        "cer_per_sample": (1 / 5 + 1 + 1 / 2) / 3,
        "edit_distance": 1,
        "normalized_edit_distance": (1 / 5 + 1 + 1 / 3) / 3,
        "normalized_edit_similarity": 1 - (1 / 5 + 1 + 1 / 3) / 3,
        "wer": (1 + 1 + 2) / 4,
        "wer_per_sample": (1 / 2 + 1 + 2) / 3,
    }
    assert {name: READ.metrics[name].compute(predicted, target) for name in by_hand} == pytest.approx(by_hand)


@pytest.mark.parametrize(
    ("output", "target", "said"),
    [
        ([], [], "no samples"),
        (["a"], ["a", "b"], "1 outputs for 2 targets"),
        (torch.zeros(2), ["a", "b"], "outputs aren't a list of texts, but Tensor"),
        (["a", 1], ["a", "b"], "outputs aren't"),
        (["a"], [3], "targets aren't"),
    ],
)
def test_what_are_no_texts_is_refused(output: Any, target: Any, said: str) -> None:
    for family in (READ, WRITTEN):
        with pytest.raises(ValueError, match=said):
            family.shaped(output, target)


def test_a_set_of_empty_targets_has_no_error_rate() -> None:
    with pytest.raises(ValueError, match="empty"):
        READ.metrics["cer"].compute(["a"], [""])


def test_ctcs_loss_is_torchs_mean() -> None:
    torch.manual_seed(0)
    frames, lengths = torch.randn(3, 12, 5), [12, 9, 7]
    targets = [[1, 2, 2], [3], [4, 1]]
    expected = F.ctc_loss(
        frames.log_softmax(2).transpose(0, 1),
        torch.tensor([one for target in targets for one in target]),
        torch.tensor(lengths),
        torch.tensor([3, 1, 2]),
    )
    output = [one[:length] for one, length in zip(frames, lengths, strict=True)]
    assert float(READ.losses["ctc"].compute(output, targets)) == pytest.approx(float(expected), rel=1e-5)
    moved = [torch.cat((one[:, 1:], one[:, :1]), 1) for one in output]
    lowered = [[one - 1 for one in target] for target in targets]
    assert float(READ.losses["ctc with the blank last"].compute(moved, lowered)) == pytest.approx(
        float(expected), rel=1e-5
    )
    assert len(ctc_loss(0, by_length=False)(output, targets)) == 3
    with pytest.raises(ValueError, match="scores"):
        READ.losses["ctc"].compute(["a"], ["a"])


SAID = ["the cat sat on a mat, wasn't it?", "나는 오늘 학교에 갔다.", "café: 3.5% of U.S. people & more", "no hit here"]
RIGHT = [
    "the cat is on the mat, isn't it?",
    "나는 어제 학교에 갔다.",
    "a café: 3.5% of U.S. people and more",
    "quite other words",
]
#: BLEU(), BLEU(tokenize="none", smooth_method="none") / 100, CHRF(), CHRF(word_order=2), RougeScorer's mean F1.
PUBLISHED = {
    "sacrebleu_percent": 48.42268717885496,
    "chrf_percent": 53.539899366675655,
    "chrf_plus_percent": 54.89993689125845,
    "bleu": 0.2950605655096069,
    "bleu_13a": 0.48422687178854956,
    "rouge1_ascii": 0.3888888888888889,
    "rouge2_ascii": 0.25,
    "rougel_ascii": 0.3888888888888889,
    "rougelsum_ascii": 0.3888888888888889,
}


def test_what_is_written_has_the_figures_of_sacrebleu_and_rouge_score() -> None:
    found = {name: WRITTEN.metrics[name].compute(SAID, RIGHT) for name in PUBLISHED}
    assert found == pytest.approx(PUBLISHED, rel=1e-9)


def test_bleu_and_chrf_are_those_of_torchmetrics_where_it_has_its_own() -> None:
    said, right = SAID[:3], [[one] for one in RIGHT[:3]]
    published: list[tuple[str, Any]] = [
        ("bleu", bleu_score(said, right)),
        ("bleu_smooth", bleu_score(said, right, smooth=True)),
        ("bleu2", bleu_score(said, right, n_gram=2)),
        ("chrf_plus_by_size", chrf_score(said, right)),
        ("chrf_by_size", chrf_score(said, right, n_word_order=0)),
    ]
    for name, value in published:
        assert WRITTEN.metrics[name].compute(said, RIGHT[:3]) == pytest.approx(float(value), abs=1e-6), name


def test_rouge_knows_words_of_any_script() -> None:
    assert WRITTEN.metrics["rouge1_ascii"].compute(SAID[1:2], RIGHT[1:2]) == 0
    assert WRITTEN.metrics["rouge1"].compute(SAID[1:2], RIGHT[1:2]) == pytest.approx(3 / 4)
    assert variants(WRITTEN, "ROUGE-L")[0].name == "rougel"


def test_of_several_right_texts_the_nearest_counts() -> None:
    said, several = WRITTEN.shaped(["a b c d e"], [("x y", "a b c d e")])
    for name in ("bleu", "sacrebleu", "chrf", "rouge1", "rougel", "rougelsum"):
        assert WRITTEN.metrics[name].compute(said, several) == pytest.approx(1), name
    with pytest.raises(ValueError, match="one right text a sample"):
        WRITTEN.metrics["wer"].compute(said, several)


def test_empty_texts_have_the_lowest_score() -> None:
    for name in ("bleu", "sacrebleu", "bleu_smooth", "chrf", "chrf_plus_by_size", "rouge1", "rougelsum"):
        for said in ([""], ["zzz"]):
            assert WRITTEN.metrics[name].compute(said, ["a b c d e"]) == 0, name
        assert WRITTEN.metrics[name].compute(["a"], [""]) == 0, name
