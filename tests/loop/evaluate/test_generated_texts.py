"""03_eval.py on models that write one token after another. Expected numbers come from torchmetrics."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluator_runs import Ended, Workshop, render, train
from torchmetrics.functional.text import bleu_score, char_error_rate, word_error_rate


def told(ended: Ended) -> dict[str, Any]:
    return json.loads((ended.folder / "evaluation.json").read_text(encoding="utf-8"))


def of(ended: Ended) -> tuple[list[str], list[str]]:
    assert ended.code == 0, ended.err
    predicted, target = ([sample[name] for sample in ended.samples] for name in ("prediction", "target"))
    return predicted, target


def test_an_encoder_and_a_decoder_that_read_images(workshop: Workshop, tmp_path: Path) -> None:
    evaluator = render("ocr", ["cer", "wer", "exact_match"], primary="cer")
    project = train(workshop, tmp_path / "글자 읽기", {"02_train_v001.py": "reader.py"}, {}, evaluator)
    ended = project.evaluate()
    predicted, target = of(ended)
    assert target == [["abc", "ab", "cab", "bac", "c", "bca"][n % 6] for n in range(23)]
    hits = [one == other for one, other in zip(predicted, target, strict=True)]
    assert 0 < sum(hits) < 23, "the test says nothing about a model that is right or wrong throughout"
    assert ended.metrics["cer"] == pytest.approx(float(char_error_rate(predicted, target)))
    assert ended.metrics["wer"] == pytest.approx(float(word_error_rate(predicted, target)))
    assert ended.metrics["exact_match"] == np.mean(hits)
    names = {path.name for path in (ended.folder / "infer_samples" / "0001").iterdir()}
    assert {"input.png", "viz.png", "output.txt", "gt.txt"} <= names


def test_a_t5_that_generates_is_scored_by_the_texts_that_its_labels_spell(workshop: Workshop, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    evaluator = render("translation", ["bleu2", "wer"], primary="bleu2")
    project = train(workshop, tmp_path / "번 역", {"02_train_v001.py": "translator.py"}, {}, evaluator)
    ended = project.evaluate()
    predicted, target = of(ended)
    assert target[:2] == ["the cat sees a cat .", "the dog sees a cat ."]
    assert len(set(predicted)) > 1 and predicted != target, "the test says nothing about right or wrong throughout"
    assert ended.metrics["bleu2"] == pytest.approx(float(bleu_score(predicted, [[one] for one in target], n_gram=2)))
    assert ended.metrics["wer"] == pytest.approx(float(word_error_rate(predicted, target)))
    standings = {note["metric"]: note["key"] for note in told(ended)["notes"] if "metric" in note}
    assert standings["bleu2"] == "same_as_script", "the script's own tokenizer says the same"
