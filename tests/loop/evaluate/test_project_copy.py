"""make_stage: what a version sees when it is run again."""

import contextlib
from pathlib import Path

import pytest

from progressive_training.loop.evaluate.evaluator_parts.project_copy import make_stage


def write(root: Path, **files: str) -> None:
    """`nets__model_py="x"` is the file nets/model.py."""
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_py", ".py").replace("_txt", ".txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def layout(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A project that has moved on since the snapshot of its v001; returns project, snapshot and the stage to make."""
    project = tmp_path / "나의 프로젝트 1"
    snapshot = project / ".progressive-training" / "snapshots" / "v001"
    write(project, nets__model_py="new", nets__words_txt="words", nets__other_py="other", helper_py="helper")
    write(
        project, dataset__prepdata__v1__a_txt="data", config_txt="config", Models__Artifacts__v001__best_txt="weights"
    )
    for name in ("02_train_baseline.py", "02_train_v001.py", "02_train_v002.py"):
        (project / name).write_text("new")
    for name in (".git", ".venv", "env", "__pycache__"):
        (project / name).mkdir()
    (project / "env" / "pyvenv.cfg").touch()
    write(snapshot, nets__model_py="old")
    (snapshot / "02_train_v001.py").write_text("old")
    return project, snapshot, project / ".progressive-training" / "작업 stage"


def test_code_of_the_snapshot_is_copied_under_its_own_names(tmp_path: Path) -> None:
    project, snapshot, stage = layout(tmp_path)
    make_stage(project, snapshot, stage)
    for name in ("02_train_v001.py", "nets/model.py"):
        assert (stage / name).read_text() == "old"
        assert (stage / name).resolve() == stage.resolve() / name
        assert not (stage / name).samefile(snapshot / name)


def test_everything_else_is_seen_where_it_is_in_the_project(tmp_path: Path) -> None:
    project, snapshot, stage = layout(tmp_path)
    make_stage(project, snapshot, stage)
    for name in ("dataset", "config.txt", "helper.py", "nets/words.txt", "nets/other.py"):
        assert (stage / name).resolve() == project.resolve() / name
    assert (stage / "dataset/prepdata/v1/a.txt").read_text() == "data"
    assert not (stage / "nets").is_symlink()


def test_artifacts_other_versions_and_environments_are_left_out(tmp_path: Path) -> None:
    project, snapshot, stage = layout(tmp_path)
    make_stage(project, snapshot, stage)
    names = {path.name for path in stage.iterdir()}
    assert names == {"02_train_v001.py", "Models", "config.txt", "dataset", "helper.py", "nets"}


def test_what_a_script_writes_below_models_stays_in_the_stage(tmp_path: Path) -> None:
    project, snapshot, stage = layout(tmp_path)
    make_stage(project, snapshot, stage)
    (stage / "Models" / "Artifacts" / "v001" / "best.txt").write_text("overwritten")
    assert (project / "Models" / "Artifacts" / "v001" / "best.txt").read_text() == "weights"


def test_a_snapshot_file_wins_over_a_folder_or_link_of_the_same_name(tmp_path: Path) -> None:
    project, snapshot, stage = layout(tmp_path)
    (project / "helper.py").unlink()
    (project / "helper.py").mkdir()
    (snapshot / "helper.py").write_text("old")
    (project / "losses").symlink_to(project / "nets")
    write(snapshot, losses__focal_py="old")
    make_stage(project, snapshot, stage)
    assert (stage / "helper.py").read_text() == "old"
    assert (stage / "losses" / "focal.py").read_text() == "old"
    assert (stage / "losses" / "words.txt").read_text() == "words"
    assert not (project / "nets" / "focal.py").exists()


def test_modules_beside_the_data_leave_the_data_one_link(tmp_path: Path) -> None:
    project, snapshot, stage = layout(tmp_path)
    write(snapshot, dataset__loader_py="old")
    make_stage(project, snapshot, stage)
    assert (stage / "dataset" / "loader.py").read_text() == "old"
    assert (stage / "dataset" / "prepdata").is_symlink()


def test_a_stage_inside_the_project_does_not_hold_itself(tmp_path: Path) -> None:
    project, snapshot, _ = layout(tmp_path)
    stage = project / "scratch" / "stage"
    make_stage(project, snapshot, stage)
    assert not (stage / "scratch").exists()


def test_relative_paths_make_the_same_stage(tmp_path: Path) -> None:
    project, _, stage = layout(tmp_path)
    with contextlib.chdir(project):
        make_stage(Path(), Path(".progressive-training/snapshots/v001"), Path(".progressive-training") / stage.name)
    assert (stage / "config.txt").read_text() == "config"


def test_a_stage_that_holds_something_is_refused_and_left_alone(tmp_path: Path) -> None:
    project, snapshot, stage = layout(tmp_path)
    write(stage, mine_txt="mine")
    with pytest.raises(FileExistsError, match="isn't empty"):
        make_stage(project, snapshot, stage)
    assert [path.name for path in stage.iterdir()] == ["mine.txt"]


def test_a_snapshot_without_files_is_refused(tmp_path: Path) -> None:
    project, _, stage = layout(tmp_path)
    with pytest.raises(FileNotFoundError, match="holds no file"):
        make_stage(project, tmp_path / "none", stage)
    assert not stage.exists()
