"""Where a version errs, from its samples: by class, range or group, and what the last change fixed and broke."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from progressive_training.loop.judge.errors import Errors, Row, errors
from progressive_training.loop.judge.noise.samples import load_samples
from progressive_training.loop.project.receipts import Metric
from progressive_training.loop.store.tree import Tree

ACCURACY = Metric(name="accuracy", value=0.5, higher_is_better=True)
RMSE = Metric(name="rmse", value=1.0, higher_is_better=False)


def found(
    tmp_path: Path, metric: Metric, new: Iterable[Mapping[str, Any]], old: Iterable[Mapping[str, Any]] = ()
) -> Errors:
    root = tmp_path / "표본 samples"
    root.mkdir(exist_ok=True)
    for name, rows in (("new", new), ("old", old)):
        lines = [json.dumps({"id": str(place), "scores": {}, **row}) for place, row in enumerate(rows)]
        (root / f"{name}.jsonl").write_text("\n".join(lines) + "\n" * bool(lines), encoding="utf-8")
    tree = Tree(root)
    before = load_samples(tree, "old.jsonl")
    result = errors(load_samples(tree, "new.jsonl"), before if before.ids else None, metric)
    assert result is not None
    return result


def answers(pairs: str) -> list[dict[str, Any]]:
    """ "7/1 …": taken for 7, and in truth a 1; the loss is its place."""
    return [
        {"prediction": int(pair[0]), "target": int(pair[2]), "scores": {"loss": float(place)}}
        for place, pair in enumerate(pairs.split())
    ]


def test_wrong_answers_are_told_by_class_with_what_they_are_taken_for(tmp_path: Path) -> None:
    result = found(tmp_path, ACCURACY, answers("1/1 7/1 7/1 8/1 7/7 7/7 1/7 8/8"))
    assert result.by == "class" and result.kind == "wrong"
    assert result.rows == (Row("1", 4, 0.75, "7 (2), 8 (1)"), Row("7", 3, 1 / 3, "1 (1)"))
    assert result.hardest[:4] == (6, 3, 2, 1), "the wrong ones first, by their loss"


def test_what_the_last_change_fixed_and_broke_is_told_by_sample(tmp_path: Path) -> None:
    result = found(tmp_path, ACCURACY, answers("1/1 1/1 7/7 1/7"), answers("7/1 1/1 1/7 7/7"))
    assert result.change is not None
    assert (result.change.better, result.change.worse) == (2, 1)
    assert (set(result.change.fixed), result.change.broke) == ({"0", "2"}, ("3",))


def test_a_regression_is_told_by_the_targets_range_with_its_bias(tmp_path: Path) -> None:
    rows = [{"prediction": target + (3.0 if target >= 40 else 0.5), "target": float(target)} for target in range(50)]
    result = found(tmp_path, RMSE, rows)
    assert result.by == "range" and [row.samples for row in result.rows] == [10] * 5
    assert [row.mean for row in result.rows] == [0.5, 0.5, 0.5, 0.5, 3.0]
    assert result.rows[-1].told == "+3" and result.rows[0].told == "+0.5"
    assert set(result.hardest) <= set(range(40, 50))


def test_a_metric_of_each_samples_own_counts_in_its_own_direction_and_by_group(tmp_path: Path) -> None:
    dice = Metric(name="dice", value=0.5, higher_is_better=True)
    rows = [
        {"scores": {"dice": value}, "group": group}
        for value, group in ((0.9, "가"), (0.2, "나"), (0.3, "나"), (0.8, "가"))
    ]
    result = found(tmp_path, dice, rows, [{**row, "scores": {"dice": 0.25}} for row in rows])
    assert result.hardest[:2] == (1, 2) and result.by == "group"
    assert [(row.name, row.mean) for row in result.rows] == [("나", 0.25)]
    assert result.change is not None and (result.change.better, result.change.broke) == (3, ("1",))
