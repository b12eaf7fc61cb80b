"""metrics.csv while it grows, when it is written anew, and when it is very long."""

import os
from pathlib import Path

import pytest

from progressive_training.loop.store.tree import Tree
from progressive_training.loop.train.curves import newest, read_curves

_FOLDER = "Models/실험 v001"
_HEADER = "epoch,step,val_loss,train_loss_step\n"


class Metrics:
    """The file, and what one long-lived process sees of it."""

    def __init__(self, root: Path) -> None:
        self.tree = Tree(root)
        self.path = root / _FOLDER / "logs/version_0/metrics.csv"
        self.path.parent.mkdir(parents=True)

    def add(self, text: str) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(text)

    def losses(self) -> dict[int, float | None]:
        """Epoch -> val_loss. A process that never saw the file before must say the same."""
        curves = read_curves(self.tree, _FOLDER)
        assert curves == read_curves(Tree(self.tree.root), _FOLDER)
        assert curves is not None
        return dict(zip(curves.epochs, curves.series.get("val_loss", ()), strict=False))


@pytest.fixture
def metrics(tmp_path: Path) -> Metrics:
    return Metrics(tmp_path)


def test_what_is_added_is_seen_and_a_row_may_come_in_two_pieces(metrics: Metrics) -> None:
    metrics.add(_HEADER)
    assert metrics.losses() == {}
    metrics.add("0,9,0.5,\n0,10,0.4,\n1,1")
    assert metrics.losses() == {0: 0.4, 1: None}
    metrics.add("9,0.25,\n")
    assert metrics.losses() == {0: 0.4, 1: 0.25}


def test_a_last_row_without_a_line_end_counts(metrics: Metrics) -> None:
    metrics.add(f"{_HEADER}0,9,0.5,\n1,19,0.25,")
    assert metrics.losses() == {0: 0.5, 1: 0.25}


def test_a_file_that_is_written_anew_with_another_column_is_read_anew(metrics: Metrics) -> None:
    metrics.add(f"{_HEADER}0,9,0.5,\n")
    assert metrics.losses() == {0: 0.5}
    metrics.path.write_text("epoch,step,lr,val_loss\n0,9,0.1,0.75\n1,19,0.1,0.25\n")
    assert metrics.losses() == {0: 0.75, 1: 0.25}


def test_a_file_in_its_place_and_one_with_another_end_are_read_anew(metrics: Metrics) -> None:
    metrics.add(f"{_HEADER}0,9,0.5,\n1,19,0.5,\n")
    assert metrics.losses() == {0: 0.5, 1: 0.5}
    other = metrics.path.with_name("other")
    other.write_text(f"{_HEADER}0,9,0.25,\n1,19,0.5,\n2,29,0.5,\n")
    other.replace(metrics.path)
    assert metrics.losses() == {0: 0.25, 1: 0.5, 2: 0.5}
    with metrics.path.open("r+") as file:  # the same file, written over
        file.write(f"{_HEADER}0,9,0.75,\n1,19,0.7,\n2,29,0.7,\n")
    assert metrics.losses() == {0: 0.75, 1: 0.7, 2: 0.7}


def test_only_what_was_added_is_read_again(metrics: Metrics) -> None:
    metrics.add(_HEADER + "".join(f"0,{step},,0.5\n" for step in range(100_000)) + "0,100000,0.5,\n")
    assert metrics.losses() == {0: 0.5}
    with metrics.path.open("r+b") as file:  # nobody who reads it whole could still say 0.5
        file.seek(len(_HEADER))
        file.write(b"0,9,nan,\n")
        file.seek(0, os.SEEK_END)
        file.write(b"1,100001,0.25,\n")
    curves = read_curves(metrics.tree, _FOLDER)
    assert curves is not None and curves.val_loss == (0.5, 0.25)


def test_where_a_run_is_is_told_from_the_two_ends_of_a_file_of_any_length(metrics: Metrics) -> None:
    metrics.add(f"{_HEADER}3,1,0.5,\n")
    with metrics.path.open("r+b") as file:
        file.truncate(20 << 30)  # sparse: reading it whole would be noticed
        file.seek(0, os.SEEK_END)
        file.write(b"\n7,200,,0.125\n7,201,0.25,\n")
    found = newest(metrics.tree, _FOLDER)
    assert found is not None
    assert (found.first_epoch, found.last_epoch) == (3, 7)
    assert found.values == {"train_loss_step": 0.125, "val_loss": 0.25}


@pytest.mark.parametrize(
    "text", ["", "epoch,val_loss", _HEADER, "step,val_loss\n1,0.5\n", "\0" * 3_000_000, "x" * 300_000 + "\n1\n"]
)
def test_a_run_without_a_row_has_no_place_yet(metrics: Metrics, text: str) -> None:
    metrics.add(text)
    assert newest(metrics.tree, _FOLDER) is None
    assert metrics.losses() == {}


def test_a_run_without_metrics_has_no_place_either(tmp_path: Path) -> None:
    assert newest(Tree(tmp_path), _FOLDER) is None
    assert read_curves(Tree(tmp_path), _FOLDER) is None


def test_what_is_no_table_ends_the_reading(metrics: Metrics) -> None:
    metrics.add(f"{_HEADER}0,9,0.5,\n")
    metrics.add("x" * 3_000_000)
    assert metrics.losses() == {0: 0.5}
