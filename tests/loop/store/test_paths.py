"""Ids and paths of a project."""

from pathlib import Path
from typing import Any

import pytest

from progressive_training.loop.errors import LoopError, ProjectError
from progressive_training.loop.store.paths import Workspace, check_dataset_id, version_id, version_number


@pytest.mark.requirement("C5")
@pytest.mark.parametrize(
    ("cur", "text"), [(1, "v001"), (12, "v012"), (999, "v999"), (1000, "v1000"), (123456, "v123456")]
)
def test_a_version_has_at_least_three_digits_and_keeps_all_it_has(cur: int, text: str) -> None:
    assert version_id(cur) == text and version_number(text) == cur


@pytest.mark.requirement("C5")
@pytest.mark.parametrize("cur", [0, -1, True, 10**6, 10**9])
def test_a_number_that_is_no_version_is_refused(cur: Any) -> None:
    with pytest.raises(LoopError, match="whole number from 1"):
        version_id(cur)


@pytest.mark.parametrize("text", ["v000", "v01", "v0001", "v1", "V001", "v001 ", "v001\n", "001", "v-01", "v٠٠١", ""])
def test_text_that_is_not_exactly_a_version_id_is_none(text: str) -> None:
    assert version_number(text) is None


def test_only_exact_script_names_are_versions_and_they_are_in_number_order(tmp_path: Path) -> None:
    names = ["02_train_v010.py", "02_train_v002.py", "02_train_v1000.py", "02_train_v01.py", "02_train_v0003.py"]
    for name in [*names, "02_train_v004.py.bak", "x02_train_v005.py", "02_train_baseline.py", "02_train_v006.txt"]:
        (tmp_path / name).touch()
    assert Workspace(tmp_path).numbered_scripts() == [2, 10, 1000]


@pytest.mark.requirement("C6")
@pytest.mark.parametrize("name", ["v1", "mnist-v2", "한글 데이터", "a.b", "_x"])
def test_a_folder_name_is_a_data_set_id(name: str) -> None:
    assert check_dataset_id(name) == name


@pytest.mark.requirement("C6")
@pytest.mark.parametrize("name", ["", " ", ".hidden", "..", "a/b", "a\\b", "a\0", " v1", "v1 ", "v1\n", "x" * 201])
def test_what_is_no_folder_name_is_no_data_set_id(name: str) -> None:
    with pytest.raises(ProjectError, match="not a folder name"):
        check_dataset_id(name)


def test_the_project_itself_may_be_reached_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert Workspace(tmp_path / "link").root == tmp_path / "real"


def test_a_project_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="no such project folder") as caught:
        Workspace(tmp_path / "nowhere")
    assert "nowhere" in str(caught.value) and "--project" in str(caught.value)
