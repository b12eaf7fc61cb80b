"""What pyproject.toml packages is what the tree holds."""

import tomllib
from pathlib import Path

from progressive_training.server.protocol import skills_extension

ROOT = Path(__file__).resolve().parent.parent.parent
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SETUP = CONFIG["tool"]["setuptools"]
FOLDERS: dict[str, str] = {
    name.removeprefix("progressive_training."): path for name, path in SETUP["package-dir"].items()
}
# What the server serves and no module imports: the skill is a folder of texts, as its format says.
TEXTS = ("skill",)


def test_every_package_of_the_tree_is_listed_and_no_other() -> None:
    found = {
        f"progressive_training.{path.parent.relative_to(ROOT).as_posix().replace('/', '.')}"
        for folder in FOLDERS.values()
        for path in (ROOT / folder).rglob("__init__.py")
    }
    assert sorted(SETUP["packages"]) == sorted({*found, *(f"progressive_training.{folder}" for folder in TEXTS)})


def test_each_top_level_folder_is_the_package_of_its_name_and_is_typed() -> None:
    for name, folder in FOLDERS.items():
        assert name == folder
        assert (ROOT / folder / "__init__.py").is_file() != (folder in TEXTS)
        if folder in TEXTS:
            continue
        assert (ROOT / folder / "py.typed").is_file() or folder == "examples"
        link = ROOT / ".links" / "progressive_training" / folder
        assert link.is_symlink() and link.resolve() == (ROOT / folder).resolve()


def test_every_file_that_is_no_module_is_package_data() -> None:
    for folder in FOLDERS.values():
        patterns = SETUP["package-data"].get(f"progressive_training.{folder}", [])
        packaged = {path for pattern in patterns for path in (ROOT / folder).glob(pattern)}
        here = {path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts}
        lacking = {path.relative_to(ROOT).as_posix() for path in here - packaged if path.suffix != ".py"}
        assert not lacking


def test_python_files_in_folders_that_are_no_package_are_package_data() -> None:
    for folder in FOLDERS.values():
        patterns = SETUP["package-data"].get(f"progressive_training.{folder}", [])
        packaged = {path for pattern in patterns for path in (ROOT / folder).glob(pattern)}
        lost = {
            path.relative_to(ROOT).as_posix()
            for path in (ROOT / folder).rglob("*.py")
            if not (path.parent / "__init__.py").exists() and path not in packaged
        }
        assert not lost


def test_the_versions_of_lightning_that_stole_credentials_are_left_out() -> None:
    needed = " ".join(CONFIG["project"]["optional-dependencies"]["lightning"])
    assert "!=2.6.2" in needed and "!=2.6.3" in needed


def test_the_server_finds_the_skill_beside_its_package_as_in_a_wheel() -> None:
    assert ROOT / FOLDERS["skill"] == skills_extension.FOLDER
    assert (skills_extension.FOLDER / "SKILL.md").is_file()


def test_no_two_test_files_have_the_same_name() -> None:
    """pytest imports them by their names alone: of two, one would not be collected."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
