"""CER and WER: sums of errors over sums of lengths, vouched for by the samples and resampled as such."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from progressive_training.loop.errors import EvaluationError
from progressive_training.loop.evaluate.checks.output import check_output
from progressive_training.loop.judge.noise.samples import SampleScores, load_samples
from progressive_training.loop.judge.noise.verdict import NoiseVerdict, judge
from progressive_training.loop.store.tree import Tree

LENGTHS = [3, 6, 4, 5, 6, 3, 3, 4, 5, 6, 6, 3]
ERRORS = [0, 6, 1, 0, 2, 0, 0, 0, 1, 3, 0, 1]
CER = sum(ERRORS) / sum(LENGTHS)


def evaluated(tmp_path: Path, value: float, rows: list[dict[str, float]]) -> Any:
    (tmp_path / "out").mkdir()
    lines = [json.dumps({"id": str(index), "scores": row}) for index, row in enumerate(rows)]
    (tmp_path / "out/samples.jsonl").write_text("\n".join(lines) + "\n")
    metrics = [{"name": "cer", "value": value, "higher_is_better": False}]
    score = {"dataset_id": "v1", "created_at": "", "num_samples": len(rows), "metrics": metrics, "latency_ms": 1.0}
    (tmp_path / "out/eval_score.json").write_text(json.dumps(score))
    told: dict[str, Any] = {"dataset_id": "v1", "val_samples": None, "wanted": (), "primary": "cer", "most": 0}
    return check_output(Tree(tmp_path), "out", **told)


def terms(name: str, errors: list[int], lengths: list[int]) -> list[dict[str, float]]:
    return [{f"{name}_errors": one, f"{name}_length": other} for one, other in zip(errors, lengths, strict=True)]


@pytest.mark.requirement("E3")
def test_an_error_rate_that_its_samples_make_is_published_as_they_make_it(tmp_path: Path) -> None:
    found = evaluated(tmp_path, round(CER, 5), terms("cer", ERRORS, LENGTHS))
    assert found.score.metrics[0].value == pytest.approx(CER, abs=1e-15)
    assert found.warnings == ()


@pytest.mark.requirement("E3")
@pytest.mark.parametrize("claimed", [CER - 0.01, float(np.mean(np.array(ERRORS) / np.array(LENGTHS)))])
def test_another_one_is_refused_also_the_mean_of_the_samples_rates(tmp_path: Path, claimed: float) -> None:
    with pytest.raises(EvaluationError, match=r"'cer' of its errors is 0\.259259, eval_score\.json says"):
        evaluated(tmp_path, claimed, terms("cer", ERRORS, LENGTHS))


@pytest.mark.parametrize("rows", [terms("wer", ERRORS, LENGTHS), [*terms("cer", [0], [0]), {"loss": 1.0}]])
def test_without_both_terms_in_every_sample_nothing_vouches(tmp_path: Path, rows: list[dict[str, float]]) -> None:
    assert evaluated(tmp_path, 0.9, rows).score.metrics[0].value == 0.9


def scored(tmp_path: Path, name: str, errors: np.ndarray, lengths: np.ndarray) -> SampleScores:
    rows = terms("cer", errors.tolist(), lengths.tolist())
    text = "".join(json.dumps({"id": f"s{i}", "scores": row}) + "\n" for i, row in enumerate(rows))
    (tmp_path / f"{name}.jsonl").write_text(text)
    return load_samples(Tree(tmp_path), f"{name}.jsonl")


def compared(tmp_path: Path, new: np.ndarray, old: np.ndarray, lengths: np.ndarray) -> NoiseVerdict:
    samples = scored(tmp_path, "new", new, lengths), scored(tmp_path, "old", old, lengths)
    published = new.sum() / lengths.sum(), old.sum() / lengths.sum()
    return judge(*samples, "cer", higher_is_better=False, looks=4, against="v001", published=published)


def test_the_interval_of_a_difference_is_that_of_a_bootstrap_of_the_ratio(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    lengths = random.integers(1, 30, size=300)  # of very unequal weight, which a mean of rates would not know
    old = random.binomial(lengths, 0.2)
    new = np.maximum(old - (random.random(300) < 0.3), 0)
    found = compared(tmp_path, new, old, lengths)
    drawn = random.integers(0, 300, size=(20_000, 300))
    deltas = (old[drawn].sum(1) - new[drawn].sum(1)) / lengths[drawn].sum(1)
    low, high = np.quantile(deltas, [0.025, 0.975])
    assert found.delta == pytest.approx((old - new).sum() / lengths.sum())
    assert found.se == pytest.approx(deltas.std(), rel=0.05)
    assert found.low is not None and found.high is not None
    assert found.low == pytest.approx(low, abs=0.1 * deltas.std())
    assert found.high == pytest.approx(high, abs=0.1 * deltas.std())
    assert (found.label, found.test) == ("significant", "joint bootstrap")


def test_as_many_errors_gained_as_lost_are_noise(tmp_path: Path) -> None:
    lengths, old = np.full(100, 4), np.tile([0, 1, 2, 0], 25)
    found = compared(tmp_path, np.roll(old, 1), old, lengths)
    assert (found.delta, found.label) == (0.0, "noise")
