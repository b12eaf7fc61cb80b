"""The tree stays one that a reader finds their way in: `python bench/house.py --list` shows what is counted here."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "bench" / "house.py"


def measured(checkout: Path) -> dict[str, Any]:
    command = [sys.executable, str(PROGRAM), "--at", str(checkout), "--json"]
    return json.loads(subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout)


@pytest.fixture(scope="module")
def house() -> dict[str, Any]:
    return measured(ROOT)


def test_no_package_has_more_entries_than_one_look_takes_in(house: dict[str, Any]) -> None:
    full = {folder: count for folder, count in house["entries"].items() if count > house["limits"]["entries"]}
    assert not full, "split it, or join what can't be told apart"


def test_the_rooms_are_layers_without_a_circle(house: dict[str, Any]) -> None:
    assert house["contracts"] and all(house["contracts"].values()), house["contracts"]
    assert not house["arrows_back"]


def test_a_circle_within_a_package_is_one_of_two_nouns_that_name_each_other(house: dict[str, Any]) -> None:
    """An attempt says which version it is of, for type checkers; a version gives its attempts."""
    assert house["arrows_back_inside"] == ["loop.project.version -> loop.project.attempts"]


def test_a_version_travels_whole_instead_of_as_a_project_and_a_number(house: dict[str, Any]) -> None:
    assert len(house["project_cur"]) <= house["limits"]["project_cur"], house["project_cur"]


def test_modules_are_imported_at_the_top_but_at_a_few_named_doors(house: dict[str, Any]) -> None:
    assert len(house["lazy"]) <= house["limits"]["lazy"], house["lazy"]


def test_the_recorder_has_doors_of_its_own_and_no_more_than_it_needs(house: dict[str, Any]) -> None:
    """Each Python that a job starts begins with the recorder, and most of them train nothing."""
    assert len(house["lazy_in_recorder"]) <= house["limits"]["lazy_in_recorder"], house["lazy_in_recorder"]


def test_what_is_counted_is_what_the_files_hold(tmp_path: Path) -> None:
    """One function of both names, one import inside a function inside another, one inside the recorder's."""
    root = tmp_path / "한글 checkout"
    files = {
        "loop/__init__.py": "",
        "loop/record/__init__.py": "",
        "loop/record/recorder/__init__.py": "def install():\n    from . import lines\n    return lines\n",
        "loop/record/recorder/lines.py": "",
        "loop/store/__init__.py": "",
        "loop/store/tree.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..train import run\n",
        "loop/train/__init__.py": "",
        "loop/train/run.py": (
            "class A:\n    def train(self, project, other, *, cur):\n        def inner():\n"
            "            from ..store import tree\n            import json\n            return tree, json\n"
            "        return inner\n\ndef only(project): ...\n"
        ),
        "pyproject.toml": (
            "[tool.importlinter]\nroot_packages = ['progressive_training.loop']\n"
            "[[tool.importlinter.contracts]]\nname = 'down only'\ntype = 'layers'\n"
            "layers = ['progressive_training.loop.train', 'progressive_training.loop.store']\n"
        ),
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    (root / ".links" / "progressive_training").mkdir(parents=True)
    (root / ".links" / "progressive_training" / "loop").symlink_to("../../loop")
    found = measured(root)
    assert found["project_cur"] == [{"file": "loop/train/run.py", "line": 2, "name": "train"}]
    lazy = {"file": "loop/train/run.py", "line": 4, "statement": "from ..store import tree", "depth": 2}
    assert found["lazy"] == [lazy]
    lazy = {"file": "loop/record/recorder/__init__.py", "line": 2, "statement": "from . import lines", "depth": 1}
    assert found["lazy_in_recorder"] == [lazy]
    assert found["entries"] == {
        "loop": 3,
        "loop/record": 1,
        "loop/record/recorder": 1,
        "loop/store": 1,
        "loop/train": 1,
    }
    assert found["lines"] == {"loop": 0, "loop/record": 3, "loop/store": 3, "loop/train": 9}
    assert (found["rooms"], found["arrows"], len(found["arrows_back"])) == (3, 2, 1)
    assert found["contracts"] == {"down only": False}
