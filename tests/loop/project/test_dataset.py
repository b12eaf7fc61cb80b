"""stats.json as other programs write it."""

from pathlib import Path
from typing import Any

import pytest

from progressive_training.loop.errors import ProjectError
from progressive_training.loop.project.dataset import parse_stats, read_stats
from progressive_training.loop.store.paths import Workspace


@pytest.mark.requirement("I1")
@pytest.mark.parametrize(
    "content",
    [
        {"num_train": 8, "num_val": 2},
        {"train_samples": 8, "val_samples": 2},
        {"n_samples": {"train": 8, "valid": 2}},
        {"splits": {"train": {"num_samples": 8}, "validation": {"num_samples": 2}}},
        {"splits": {"train": 8, "val": 2}, "num_train": 80},
        {"train": {"count": 8}, "dev": {"count": 2}},
        {"train": 8, "val": 2},
        {"train_size": 8, "VAL_SIZE": 2},
        {"sample_counts": {"train": 8, "val": 2, "test": 1}},
    ],
)
def test_counts_are_found_by_the_usual_spellings(content: dict[str, Any]) -> None:
    stats = parse_stats(content)
    assert (stats.train_samples, stats.val_samples) == (8, 2)


@pytest.mark.requirement("I1")
@pytest.mark.parametrize("value", [True, -1, "8", 8.0, None, [8], {}])
def test_what_is_no_count_is_not_taken_for_one(value: Any) -> None:
    stats = parse_stats({"num_val": value, "task_type": "  "})
    assert stats.val_samples is None
    assert stats.unknown == ("task_type", "train samples", "validation samples")


def test_an_empty_validation_set_is_a_count_of_zero() -> None:
    assert parse_stats({"num_val": 0}).val_samples == 0


@pytest.mark.parametrize("name", ["task_type", "task", "problem_type"])
def test_the_task_type_is_lower_case_without_blanks(name: str) -> None:
    assert parse_stats({name: " Classification "}).task_type == "classification"


def test_a_byte_order_mark_and_a_linked_data_set_are_fine_and_deep_nesting_is_named(tmp_path: Path) -> None:
    real = tmp_path / "다른 디스크" / "v1"
    real.mkdir(parents=True)
    (real / "stats.json").write_bytes(b'\xef\xbb\xbf{"num_val": 3}')
    project = tmp_path / "project"
    (project / "dataset" / "prepdata").mkdir(parents=True)
    (project / "dataset" / "prepdata" / "v1").symlink_to(real)
    workspace = Workspace(project)
    assert read_stats(workspace, "v1").val_samples == 3
    (real / "stats.json").write_text("[" * 100_000)
    with pytest.raises(ProjectError, match="not valid JSON"):
        read_stats(workspace, "v1")
