"""03_eval.py on tasks whose answer is a text. Expected numbers come from torchmetrics and numpy, read on their own."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from evaluator_runs import HERE, Ended, Project, Workshop, render, train
from torchmetrics.functional.text import char_error_rate, edit_distance, word_error_rate

TOKENS = ["a", "b", " ", "<blank>"]


def written(seed: int, count: int) -> dict[str, Any]:
    """Texts of a, b and blanks between them, and a frame for each character with noise, twice as many as fit."""
    random = np.random.default_rng(seed)
    texts, frames = [], np.zeros((count, 14, 3), dtype="float32")
    for index in range(count):
        text = " ".join("".join(random.choice(["a", "b"], size=int(random.integers(1, 3)))) for _ in range(2))
        texts.append(text)
        for place, character in enumerate(text):
            frames[index, 2 * place, TOKENS.index(character)] = 4
    return {"frames": frames + random.normal(size=frames.shape).astype("float32"), "text": np.array(texts)}


@pytest.fixture(scope="session")
def lines(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Project:
    root = tmp_path_factory.mktemp("줄 lines")
    code = {"02_train_v001.py": "lines.py"}
    evaluator = render("sequence", ["cer", "wer", "exact_match"], primary="cer")
    return train(workshop, root, code, {"train": written(1, 60), "val": written(2, 23)}, evaluator)


@pytest.fixture(scope="session")
def lines_result(lines: Project) -> Ended:
    ended = lines.evaluate()
    assert ended.code == 0, ended.err
    return ended


def read_by_hand(project: Project, name: str) -> tuple[list[str], list[str], Any]:
    """Predictions, targets and scores in each frame, straight from the weights."""
    frames = project.array(name, "frames")
    scores = frames @ project.weights["line.weight"].T + project.weights["line.bias"]
    found = []
    for best in scores.argmax(2):
        kept = [one for index, one in enumerate(best) if index == 0 or one != best[index - 1]]
        found.append("".join(TOKENS[one] for one in kept if one != 3).strip())
    return found, [str(text) for text in project.array(name, "text")], scores


def test_error_rates_are_those_of_greedy_decoding_over_the_whole_set(lines: Project, lines_result: Ended) -> None:
    predicted, target, scores = read_by_hand(lines, "val")
    assert [sample["prediction"] for sample in lines_result.samples] == predicted
    assert [sample["target"] for sample in lines_result.samples] == target
    losses = [
        torch.nn.functional.ctc_loss(
            torch.from_numpy(one)[:, None].log_softmax(2),
            torch.tensor([[TOKENS.index(c) for c in text]]),
            torch.tensor([14]),
            torch.tensor([len(text)]),
            blank=3,
        ).item()
        for one, text in zip(scores, target, strict=True)
    ]
    expected = {
        "loss": np.mean(losses),
        "cer": float(char_error_rate(predicted, target)),
        "wer": float(word_error_rate(predicted, target)),
        "exact_match": np.mean([one == other for one, other in zip(predicted, target, strict=True)]),
    }
    assert 0 < expected["cer"] < 1, "the test says nothing about a model that is right or wrong throughout"
    assert lines_result.metrics == pytest.approx(expected, rel=1e-4)
    assert [sample["scores"]["loss"] for sample in lines_result.samples] == pytest.approx(losses, rel=1e-3)
    directions = {metric["name"]: metric["higher_is_better"] for metric in lines_result.score["metrics"]}
    assert directions == {"loss": False, "cer": False, "wer": False, "exact_match": True}


def test_each_sample_has_the_errors_and_lengths_that_the_rates_are_made_of(lines: Project, lines_result: Ended) -> None:
    predicted, target, _ = read_by_hand(lines, "val")
    scores = [sample["scores"] for sample in lines_result.samples]
    distances = edit_distance(predicted, target, reduction="none")
    assert [one["cer_errors"] for one in scores] == [int(one) for one in distances]
    assert [one["cer_length"] for one in scores] == [len(text) for text in target]
    assert [one["wer_length"] for one in scores] == [len(text.split()) for text in target]
    for name in ("cer", "wer"):
        errors, length = (sum(one[f"{name}_{term}"] for one in scores) for term in ("errors", "length"))
        assert lines_result.metrics[name] == errors / length
        assert name not in scores[0]


def test_samples_to_look_at_are_text_and_the_frames_fit_the_loop(lines_result: Ended) -> None:
    folders = sorted((lines_result.folder / "infer_samples").iterdir())
    assert len(folders) == 10
    for folder in folders:
        names = {path.name for path in folder.iterdir()}
        assert names == {"input.npy", "output.txt", "gt.txt", "viz.txt", "meta.json"}, "14×3 is no image"
        meta = json.loads((folder / "meta.json").read_text())
        sample = lines_result.samples[meta["index"]]
        assert (folder / "output.txt").read_text(encoding="utf-8") == sample["prediction"] + "\n"
        assert (folder / "gt.txt").read_text(encoding="utf-8") == sample["target"] + "\n"
        assert meta["scores"] == sample["scores"]


def test_disordered_weights_move_the_error_rate(lines: Project, lines_result: Ended) -> None:
    shuffled = lines.evaluate("--shuffle-weights")
    assert shuffled.code == 0, shuffled.err
    assert abs(shuffled.metrics["cer"] - lines_result.metrics["cer"]) > 0.05


def test_a_predict_step_speaks_for_itself_and_needs_no_vocabulary(workshop: Workshop, tmp_path: Path) -> None:
    evaluator = render("sequence", ["wer", "cer", "accuracy"], primary="wer")
    ended = train(workshop, tmp_path / "말", {"02_train_v001.py": "spoken.py"}, {}, evaluator).evaluate()
    assert ended.code == 0, ended.err
    predicted, target = ([sample[name] for sample in ended.samples] for name in ("prediction", "target"))
    assert target == [["good day", "좋은 날", "so bad"][index % 3] for index in range(16)]
    assert predicted == ["good day" if index % 7 < 3 else "날 좋은" for index in range(16)]
    assert ended.metrics["wer"] == pytest.approx(float(word_error_rate(predicted, target)))
    assert ended.metrics["cer"] == pytest.approx(float(char_error_rate(predicted, target)))
    hits = [one == other for one, other in zip(predicted, target, strict=True)]
    assert ended.metrics["accuracy"] == np.mean(hits)
    assert [sample["scores"]["accuracy"] for sample in ended.samples] == hits


@pytest.mark.parametrize(
    ("vocabulary", "told"),
    [
        (None, "vocab.json is missing"),
        (
            '["a", "b", "<blank>"]',
            "no output scores every class of each frame (outputs of one sample: met:ctc_loss#0 [14, 1, 4]",
        ),
        ('["a", "a", " ", "<blank>"]', "has one token for several classes, so errors between them would not show"),
        ('["a", "b", " ", "c"]', "names 0 blanks"),
        ('{"a": [1]}', "neither a list of tokens nor an object"),
    ],
)
def test_a_vocabulary_that_does_not_fit_is_told(lines: Project, vocabulary: str | None, told: str) -> None:
    file = lines.checkpoint.parent / "additional_assets" / "vocab.json"
    kept = file.read_text()
    try:
        if vocabulary is None:
            file.unlink()
        else:
            file.write_text(vocabulary)
        ended = lines.evaluate()
    finally:
        file.write_text(kept)
    assert ended.code == 1
    assert told in ended.last_line


def test_a_token_for_the_space_between_words_makes_words(workshop: Workshop, tmp_path: Path) -> None:
    script = (HERE / "projects" / "lines.py").read_text(encoding="utf-8")
    piped = script.replace('"b", " ", "<blank>"', '"b", "|", "<blank>"').replace(
        " in str(word)", " in str(word).replace(' ', '|')"
    )
    piped = piped.replace('" ": 2', '"|": 2')
    assert piped.count("|") == 3
    file = tmp_path / "piped.py"
    file.write_text(piped, encoding="utf-8")
    data = {"train": written(1, 60), "val": written(2, 23)}
    evaluator = render("sequence", ["wer", "cer"], primary="cer")
    project = train(workshop, tmp_path / "글 자", {"02_train_v001.py": str(file)}, data, evaluator)
    ended = project.evaluate()
    assert ended.code == 0, ended.err
    predicted, target, _ = read_by_hand(project, "val")
    assert [sample["target"] for sample in ended.samples] == target
    assert ended.metrics["wer"] == pytest.approx(float(word_error_rate(predicted, target)))
    assert ended.metrics["cer"] == pytest.approx(float(char_error_rate(predicted, target)))


def test_words_as_classes_are_joined_as_predict_step_joins_them(workshop: Workshop, tmp_path: Path) -> None:
    script = (HERE / "projects" / "spoken.py").read_text(encoding="utf-8")
    words = (
        script.replace('["good day", "좋은 날", "so bad"][i % 3]', "torch.tensor([[0, 1], [2, 3], [0, 3]][i % 3])")
        .replace(
            "import lightning as L\n",
            "import json\nfrom pathlib import Path\n\nimport lightning as L\n"
            "from torchmetrics.functional.text import word_error_rate\n\n"
            "WORDS = ['good', 'day', '좋은', '날', '<blank>']\n",
        )
        .replace(
            "        self.log(",
            "        right = [' '.join(WORDS[int(one)] for one in row) for row in batch[1]]\n"
            "        self.log('val_wer', word_error_rate(self.predict_step(batch), right))\n        self.log(",
        )
    )
    words += "    assets = Path('Models/Artifacts/v001/additional_assets')\n    assets.mkdir()\n"
    words += "    (assets / 'vocab.json').write_text(json.dumps(WORDS))\n"
    file = tmp_path / "words.py"
    file.write_text(words, encoding="utf-8")
    evaluator = render("sequence", ["wer"], primary="wer")
    ended = train(workshop, tmp_path / "낱말", {"02_train_v001.py": str(file)}, {}, evaluator).evaluate()
    assert ended.code == 0, ended.err
    target = [["good day", "좋은 날", "good 날"][index % 3] for index in range(16)]
    predicted = ["good day" if index % 7 < 3 else "날 좋은" for index in range(16)]
    assert [sample["target"] for sample in ended.samples] == target
    assert ended.metrics["wer"] == pytest.approx(float(word_error_rate(predicted, target)))
