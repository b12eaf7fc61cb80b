"""docs/architecture.md and its picture show the tree that there is."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
TREE = re.search(r"^```\n(server/.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def drawn_folders() -> Iterator[str]:
    """The folders of the page's tree, by their indentation."""
    assert TREE is not None
    above: list[str] = []
    for line in TREE[1].splitlines():
        name = line.split()[0]
        above[(len(line) - len(line.lstrip())) // 2 :] = [name]
        yield "".join(above).rstrip("/")


@pytest.mark.parametrize("named", sorted(set(re.findall(r"`([\w/.]+/[\w.]+\.py)`", PAGE))))
def test_every_file_that_the_page_names_exists(named: str) -> None:
    assert (ROOT / named).is_file()


def test_the_tree_of_the_page_holds_every_package_and_only_folders_that_exist() -> None:
    drawn = list(drawn_folders())
    assert len(drawn) == len(set(drawn))
    assert not [folder for folder in drawn if not (ROOT / folder).is_dir()]
    packages = CONFIG["tool"]["setuptools"]["packages"]
    folders = {name.removeprefix("progressive_training.").replace(".", "/") for name in packages}
    assert folders - {"examples"} <= set(drawn)


def test_the_layers_of_the_page_are_those_that_import_linter_holds() -> None:
    contract = next(each for each in CONFIG["tool"]["importlinter"]["contracts"] if each["type"] == "layers")
    held = [[room.strip().rpartition(".")[2] for room in level.split("|")] for level in contract["layers"]]
    said = re.search(r"^- Downwards only: (.*?)\. ", PAGE, re.MULTILINE | re.DOTALL)
    assert said is not None
    levels = [re.findall(r"`(?:loop\.)?(\w+)`", level) for level in said[1].split("→")]
    assert levels == held


def test_the_picture_is_what_its_command_draws_from_the_tree() -> None:
    command = [sys.executable, str(ROOT / "bench" / "architecture.py"), "--check"]
    drawn = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert not drawn.returncode, drawn.stderr
