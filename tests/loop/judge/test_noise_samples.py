"""Per-sample scores: read from disk, bounded, matched by id."""

import json
from pathlib import Path
from typing import Any

import pytest
from numpy.typing import NDArray

from progressive_training.loop.errors import ProjectError
from progressive_training.loop.judge.noise.samples import SampleScores, load_samples, matched
from progressive_training.loop.store.tree import Tree

FILE = ".progressive-training/scores/v001/samples.jsonl"


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    (tmp_path / "내 프로젝트 1").mkdir()
    return Tree(tmp_path / "내 프로젝트 1")


def loaded(tree: Tree, *rows: object) -> SampleScores:
    tree.write(FILE, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())
    return load_samples(tree, FILE)


def listed(values: NDArray[Any] | None) -> list[Any]:
    assert values is not None
    return values.tolist()


def test_scores_predictions_and_targets_are_read_in_the_file_s_order(tree: Tree) -> None:
    samples = loaded(
        tree,
        {"id": "나", "scores": {"loss": 0.5, "accuracy": 1}, "prediction": 3, "target": 3},
        {"id": "가", "scores": {"loss": 2, "accuracy": 0}, "prediction": 3, "target": 1},
    )

    assert samples.ids == ("나", "가")
    assert samples.scores["loss"].tolist() == [0.5, 2.0]
    assert [samples.target.labels[code] for code in listed(samples.target.codes)] == [3, 1]
    assert listed(samples.prediction.numbers) == [3.0, 3.0]
    assert samples.groups is None and samples.probabilities is None


def test_a_score_that_some_sample_lacks_is_left_out(tree: Tree) -> None:
    samples = loaded(
        tree,
        {"id": "1", "scores": {"loss": 1, "first": 1}},
        {"id": "2", "scores": {"loss": 2, "late": 1}},
        {"id": "3", "scores": {"loss": 3, "first": 1, "late": 1}},
    )

    assert set(samples.scores) == {"loss"}


def test_true_one_and_one_point_nought_are_one_class(tree: Tree) -> None:
    rows = [{"id": str(index), "scores": {}, "target": value} for index, value in enumerate((1, 1.0, True, 0))]

    assert listed(loaded(tree, *rows).target.codes) == [0, 0, 0, 1]


@pytest.mark.parametrize(
    ("values", "classes", "numbers"),
    [
        (["cat", "dog"], True, None),
        ([0.5, 1], False, (2,)),
        ([[1, 2.5], [3, 4]], False, (2, 2)),
        ([[1, 2], [3]], False, None),
        ([{"box": 1}, {"box": 2}], False, None),
        (["x" * 5000, "y"], False, None),
        ([1, "one"], True, None),
    ],
)
def test_a_field_is_read_in_the_ways_that_fit_all_its_values(
    tree: Tree, values: list[object], classes: bool, numbers: tuple[int, ...] | None
) -> None:
    found = loaded(tree, *({"id": str(i), "scores": {}, "prediction": v} for i, v in enumerate(values))).prediction

    assert (found.codes is not None) == classes
    assert (None if found.numbers is None else found.numbers.shape) == numbers


def test_a_sample_without_a_group_is_a_group_of_its_own(tree: Tree) -> None:
    groups = ("patient 1", None, "patient 1", None)
    rows = [{"id": str(i), "scores": {}} | ({"group": g} if g else {}) for i, g in enumerate(groups)]

    assert listed(loaded(tree, *rows).groups) == [0, 1, 0, 2]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"id": "2", "scores": ', "not valid JSON"),
        ("[1]", "not an object"),
        ('{"id": "1", "scores": {}}', "of its own"),
        ('{"scores": {}}', "of its own"),
        ('{"id": "2", "scores": {"loss": NaN}}', "'loss' is not a finite number"),
        ('{"id": "2", "scores": {"loss": "low"}}', "'loss' is not a finite number"),
        ("[" * 100_000, "not valid JSON"),
    ],
)
def test_a_damaged_line_is_named(tree: Tree, line: str, told: str) -> None:
    tree.write(FILE, b'{"id": "1", "scores": {}}\n' + line.encode() + b"\n")

    with pytest.raises(ProjectError, match=told) as caught:
        load_samples(tree, FILE)
    assert caught.value.where == f"{FILE}:2"


def test_a_line_without_end_is_refused_before_it_fills_the_memory(tree: Tree) -> None:
    tree.write(FILE, b'{"id": "1", "scores": {}, "prediction": "' + b"x" * (17 << 20) + b'"}\n')

    with pytest.raises(ProjectError, match="MiB a line"):
        load_samples(tree, FILE)


def test_a_missing_file_says_what_to_do(tree: Tree) -> None:
    with pytest.raises(ProjectError, match="is missing") as caught:
        load_samples(tree, FILE)
    assert "evaluate the version again" in str(caught.value)


def test_versions_are_matched_by_id_whatever_their_order(tree: Tree) -> None:
    rows = [{"id": str(i), "scores": {"loss": i}, "prediction": i % 2, "group": i // 2} for i in range(6)]
    new, old = loaded(tree, *rows), loaded(tree, *reversed(rows))

    aligned = matched(new, old)

    assert aligned is not None and aligned.ids == new.ids
    assert aligned.scores["loss"].tolist() == [0, 1, 2, 3, 4, 5]
    assert [aligned.prediction.labels[code] for code in listed(aligned.prediction.codes)] == [0, 1, 0, 1, 0, 1]
    groups = listed(aligned.groups)
    assert groups[0] == groups[1] != groups[2]


def test_versions_with_other_ids_are_not_matched(tree: Tree) -> None:
    rows = [{"id": str(i), "scores": {}} for i in range(6)]

    assert matched(loaded(tree, *rows), loaded(tree, *rows[:5])) is None
    assert matched(loaded(tree, *rows[:5]), loaded(tree, *rows)) is None
    assert matched(loaded(tree, *rows), loaded(tree, *rows[:5], {"id": "other", "scores": {}})) is None
