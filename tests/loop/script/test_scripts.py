import gc
from pathlib import Path

import pytest

from progressive_training.loop.errors import ProjectError, ScriptError
from progressive_training.loop.script.changes import changed_statements, changed_symbols
from progressive_training.loop.script.imports import local_imports
from progressive_training.loop.script.settings import settings
from progressive_training.loop.script.source import Script, read_script
from progressive_training.loop.script.version import with_version

BASE = '''"""손글씨 숫자 분류."""
from __future__ import annotations

import math
from dataclasses import dataclass
from torch import nn, optim

VERSION = "baseline"
DATASET_ID = "digits"
LEARNING_RATE = 1e-3  # 학습률
SIZES = (64, 32)


@dataclass
class Config:
    """Settings."""

    lr: float = LEARNING_RATE
    epochs: int = 10


class Model(nn.Module):
    def __init__(self, hidden: int = 64) -> None:
        super().__init__()
        self.net = nn.Linear(64, hidden)

    def configure_optimizers(self):
        """The optimiser."""
        return optim.Adam(self.parameters(), lr=LEARNING_RATE)


def main() -> None:
    for epoch in range(3):
        print(epoch)


if __name__ == "__main__":
    main()
'''


FIELDS = "    lr: float = LEARNING_RATE\n    epochs: int = 10\n"


def script(text: str, name: str = "02_train_v001.py") -> Script:
    return Script.parse(text, name)


def changes(new: str, old: str = BASE):
    return changed_symbols(script(old), script(new))


def changed(before: str, after: str) -> tuple[str, ...]:
    assert before in BASE
    return changes(BASE.replace(before, after)).symbols


def test_symbols_carry_qualified_names_kinds_and_lines() -> None:
    found = {symbol.name: (symbol.kind, symbol.line, symbol.end_line) for symbol in script(BASE).symbols}
    assert found == {
        "VERSION": ("constant", 8, 8),
        "DATASET_ID": ("constant", 9, 9),
        "LEARNING_RATE": ("constant", 10, 10),
        "SIZES": ("constant", 11, 11),
        "Config": ("class", 14, 19),
        "Config.lr": ("field", 18, 18),
        "Config.epochs": ("field", 19, 19),
        "Model": ("class", 22, 29),
        "Model.__init__": ("method", 23, 25),
        "Model.configure_optimizers": ("method", 27, 29),
        "main": ("function", 32, 34),
        "__main__": ("statement", 37, 38),
    }


def test_a_constant_is_a_literal_bound_once() -> None:
    text = 'VERSION: str = "v001"\nN = -3\nA, B = 1, 2.5\nX = 1\nX = 2\nY = f()\nZ = [1]\nON = True\nW = 1\nW += 1\n'
    parsed = script(text)
    assert parsed.constant("VERSION") == "v001"
    assert [parsed.constant(name) for name in ("N", "A", "B", "ON")] == [-3, 1, 2.5, True]
    assert [parsed.constant(name) for name in ("X", "Y", "Z", "W", "missing")] == [None] * 5


def test_a_syntax_error_names_file_line_and_column() -> None:
    with pytest.raises(ScriptError) as caught:
        script("x = 1\ndef f(:\n    pass\n", "학습.py")
    assert caught.value.where == "학습.py:2:7"


@pytest.mark.parametrize(
    ("data", "says", "where"),
    [
        ("x = 1\n".encode("utf-16"), "UTF-16", "a.py:1:1"),
        (b"x = 1\ny = '\x00'\n", "NUL", "a.py:2:6"),
        ("# 한글\n".encode("cp949"), "not UTF-8", "a.py:1:3"),
        (b"# -*- coding: euc-kr -*-\nx = 1\n", "euc-kr", "a.py:1:1"),
        (b"# coding: no-such-codec\n", "encoding", "a.py:1:1"),
        (("x = " + "-" * 400 + "1\n").encode(), "deeper", "a.py:1:1"),
    ],
)
def test_bytes_that_are_no_utf8_python_are_refused_with_a_place(
    tmp_path: Path, data: bytes, says: str, where: str
) -> None:
    path = tmp_path / "a.py"
    path.write_bytes(data)
    with pytest.raises(ScriptError) as caught:
        read_script(path)
    assert says in caught.value.what
    assert caught.value.where == where
    assert caught.value.hint


def test_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(ScriptError, match="surrogate"):
        script("x = '\ud800'\n")


def test_a_byte_order_mark_is_read_past(tmp_path: Path) -> None:
    folder = tmp_path / "내 프로젝트"
    folder.mkdir()
    path = folder / "02_train_baseline.py"
    path.write_bytes(b'\xef\xbb\xbfVERSION = "baseline"\r\n')
    read = read_script(path)
    assert (read.name, read.text) == ("02_train_baseline.py", 'VERSION = "baseline"\r\n')


def test_a_script_that_is_not_there_is_a_project_error(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="can't be read"):
        read_script(tmp_path / "none.py")


def test_comments_docstrings_formatting_and_moved_definitions_do_not_count() -> None:
    text = BASE.replace("# 학습률", "# 다른 말").replace('"""The optimiser."""\n        ', "").replace("1e-3", "0.001")
    text = text.replace('"""손글씨 숫자 분류."""\n', "").replace("(64, 32)", "(\n    64,\n    32,\n)")
    head, middle = text.split("def main()", 1)
    body, tail = middle.split("\n\n\nif ", 1)
    moved = head.replace("@dataclass\nclass", f"def main(){body}\n\n\n@dataclass\nclass") + "\n\nif " + tail
    found = changes(moved)
    assert (found.symbols, found.imports, found.version) == ((), (), False)


@pytest.mark.parametrize(
    ("before", "after", "names"),
    [
        ("1e-3", "3e-4", ("LEARNING_RATE",)),
        ("epochs: int = 10", "epochs: int = 20", ("Config.epochs",)),
        ("epochs: int = 10", "epochs: int = 10\n    wd: float = 0.1", ("Config.wd",)),
        ("optim.Adam(", "optim.AdamW(", ("Model.configure_optimizers",)),
        ("    def configure_", "    @staticmethod\n    def configure_", ("Model.configure_optimizers",)),
        ("hidden: int = 64", "hidden: int = 128", ("Model.__init__",)),
        ("class Model(nn.Module)", "class Model(Base)", ("Model",)),
        ("@dataclass\n", "@dataclass(frozen=True)\n", ("Config",)),
        ("    main()\n", "    main()\n    main()\n", ("__main__",)),
        ("range(3)", "range(4)", ("main",)),
        ("SIZES = (64, 32)\n", "", ("SIZES",)),
        ("SIZES = (64, 32)\n", "SIZES = (64, 32)\nseed(1)\n", ("<module>",)),
        ("SIZES = (64, 32)\n", "SIZES = (64, 32)\nCFG['lr'] = 1\n", ("<module>",)),
        ("SIZES = (64, 32)\n", "SIZES = (64, 32)\nSIZES += (1,)\n", ("SIZES",)),
        ("def main()", "def helper():\n    pass\n\n\ndef main()", ("helper",)),
        ("def main()", "class New:\n    x = 1\n    def f(self): ...\n\n\ndef main()", ("New",)),
        (FIELDS, "    epochs: int = 10\n    lr: float = 1.0\n", ("Config.lr", "Config")),
    ],
)  # fmt: skip
def test_what_changed_is_named_by_its_symbol(before: str, after: str, names: tuple[str, ...]) -> None:
    assert changed(before, after) == names


def test_a_removed_class_is_one_symbol() -> None:
    start, end = BASE.index("@dataclass"), BASE.index("class Model")
    assert changes(BASE[:start] + BASE[end:]).symbols == ("Config",)


def test_a_new_order_of_module_statements_counts_because_it_can_change_values() -> None:
    old = "A = 1\nB = A\n"
    assert changes("B = A\nA = 1\n", old).symbols == ("<module>",)


def test_one_name_of_a_tuple_assignment_changes_alone() -> None:
    assert changes("A, B = 1, 3\n", "A, B = 1, 2\n").symbols == ("B",)


def test_a_nested_class_is_named_through_its_owner() -> None:
    old = "class A:\n    class B:\n        def f(self): return 1\n"
    assert changes(old.replace("return 1", "return 2"), old).symbols == ("A.B.f",)


def test_version_and_imports_are_reported_apart() -> None:
    text = BASE.replace('VERSION = "baseline"', 'VERSION = "v001"').replace("import math", "import random")
    found = changes(text.replace("from torch import nn, optim", "from torch import nn\nfrom torch import optim as o"))
    assert found.version
    assert found.symbols == ()
    assert found.imports == (
        "+ import random",
        "+ from torch import optim as o",
        "- import math",
        "- from torch import optim",
    )


def test_statements_are_counted_by_what_differs() -> None:
    old = script(BASE)
    assert changed_statements(old, script(BASE.replace("# 학습률", ""))) == 0
    assert changed_statements(old, script(BASE.replace("1e-3", "1").replace("range(3)", "range(9)"))) == 2
    assert changed_statements(old, script(BASE.replace("        print(epoch)", "        a = 1\n        b = 2"))) == 2
    wrapped = BASE.replace("        print(epoch)", "        if epoch:\n            print(epoch)")
    assert changed_statements(old, script(wrapped)) == 2


PATHS = (
    '# 한글 주석: Models/Artifacts/baseline\r\n'
    'import os\r\nfrom pathlib import Path\r\n'
    'VERSION: str = "baseline"   # 버전\r\n'
    '이름 = "한글"; OUT = Path("Models/Artifacts/baseline")\r\n'
    "LOG = f'{os.getcwd()}/Models/Artifacts/baseline/logs'\r\n"
    'A = Path("Models") / "Artifacts" / "baseline" / "best.ckpt"\r\n'
    "B = os.path.join('Models', 'Artifacts', 'baseline')\r\n"
    'ARTIFACTS = Path("Models/Artifacts")\r\n'
    'C = ARTIFACTS / "baseline"\r\n'
    'D = ("Models/Artifacts/"\r\n     "baseline/x")\r\n'
    'E = "baseline"; F = "Models/Artifacts/baseline2"; G = "Models/Artifacts/baseline.bak"\r\n'
    'H = "MyModels/Artifacts/baseline"; I = f"Models/Artifacts/{VERSION}"; J = f"Models/Artifacts/baseline{I}"\r\n'
)  # fmt: skip


def test_moving_to_a_version_sets_the_constant_and_every_spelling_of_the_folder() -> None:
    text, words = with_version(PATHS, old="baseline", new="v001")
    expected = (
        PATHS.replace('VERSION: str = "baseline"', 'VERSION: str = "v001"')
        .replace('Path("Models/Artifacts/baseline")', 'Path("Models/Artifacts/v001")')
        .replace("Artifacts/baseline/logs'", "Artifacts/v001/logs'")
        .replace('"Artifacts" / "baseline" /', '"Artifacts" / "v001" /')
        .replace("'Artifacts', 'baseline')", "'Artifacts', 'v001')")
        .replace('ARTIFACTS / "baseline"', 'ARTIFACTS / "v001"')
        .replace('"Models/Artifacts/"\r\n     "baseline/x"', "'Models/Artifacts/v001/x'")
    )
    assert text == expected
    assert len(words) == 7
    assert words[0] == 'line 4: VERSION = "baseline" -> "v001"'


def test_moving_to_a_version_twice_changes_nothing_more() -> None:
    once, _ = with_version(PATHS, old="baseline", new="v001")
    assert with_version(once, old="baseline", new="v001") == (once, ())
    back, _ = with_version(once, old="v001", new="v002")
    assert back == once.replace("v001", "v002")


def test_a_computed_version_becomes_a_literal_and_its_path_is_not_edited_twice() -> None:
    text, words = with_version('VERSION = Path("Models/Artifacts/baseline").name\n', old="baseline", new="v001")
    assert text == 'VERSION = "v001"\n'
    assert len(words) == 1


def test_a_byte_order_mark_survives_the_move_to_a_version() -> None:
    assert with_version('\ufeffVERSION = "baseline"\n', old="baseline", new="v001")[0] == '\ufeffVERSION = "v001"\n'


def test_a_script_without_version_can_not_be_moved() -> None:
    with pytest.raises(ScriptError, match="no module-level VERSION") as caught:
        with_version("x = 1\n", old="baseline", new="v001")
    assert 'VERSION = "v001"' in str(caught.value.hint)


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")


def imported(root: Path, start: str = "02_train_v001.py") -> list[str]:
    return [path.relative_to(root).as_posix() for path in local_imports(root / start, root)]


def test_local_imports_are_followed_through_packages_relative_imports_and_cycles(tmp_path: Path) -> None:
    root = tmp_path / "내 프로젝트 1"
    write(
        root,
        {
            "02_train_v001.py": "import torch\nimport data_module as dm\nfrom pkg import models\n"
            "def f():\n    import importlib\n    importlib.import_module('lazy.late')\n    import_module(name)\n",
            "data_module.py": "from utils import *\n",
            "utils.py": "import data_module\n",
            "pkg/__init__.py": "",
            "pkg/models.py": "from .layers.conv import Conv\nfrom . import losses\nfrom .. import outside\n",
            "pkg/layers/__init__.py": "from ..helpers import x\n",
            "pkg/layers/conv.py": "class Conv: ...\n",
            "pkg/losses.py": "",
            "pkg/helpers.py": "",
            "pkg/unused.py": "",
            "lazy/late.py": "import pkg.losses\n",
            "unused.py": "",
        },
    )
    assert imported(root) == [
        "data_module.py",
        "lazy/late.py",
        "pkg/__init__.py",
        "pkg/helpers.py",
        "pkg/layers/__init__.py",
        "pkg/layers/conv.py",
        "pkg/losses.py",
        "pkg/models.py",
        "utils.py",
    ]


def test_a_star_import_brings_the_submodules_that_all_names(tmp_path: Path) -> None:
    write(tmp_path, {"a.py": "from p import *\n", "p/__init__.py": "__all__ = ['m']\n", "p/m.py": "", "p/n.py": ""})
    assert imported(tmp_path, "a.py") == ["p/__init__.py", "p/m.py"]


def test_a_folder_that_the_script_puts_on_sys_path_is_searched(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "a.py": "import sys\nsys.path.insert(0, str(Path(__file__).parent / 'src' / 'lib'))\nimport deep\n",
            "src/lib/deep.py": "",
        },
    )
    assert imported(tmp_path, "a.py") == ["src/lib/deep.py"]


def test_nothing_outside_the_root_or_in_an_environment_is_followed(tmp_path: Path) -> None:
    root = tmp_path / "project"
    write(tmp_path, {"secret.py": "", "elsewhere/mod.py": ""})
    write(
        root,
        {
            "a.py": "import sys\nsys.path.append('.venv')\nsys.path.append('..')\n"
            "import importlib, secret, linked, pkg.mod, dep, own\n"
            "importlib.import_module('/etc/x')\nimportlib.import_module('.')\n",
            ".venv/dep.py": "",
            "real/own_file.py": "",
        },
    )
    (root / "linked.py").symlink_to(tmp_path / "secret.py")
    (root / "pkg").symlink_to(tmp_path / "elsewhere")
    (root / "own.py").symlink_to(root / "real" / "own_file.py")
    assert imported(root, "a.py") == ["own.py"]


def test_a_local_module_that_can_not_be_parsed_is_named(tmp_path: Path) -> None:
    write(tmp_path, {"a.py": "import bad\n", "bad.py": "def (\n"})
    with pytest.raises(ScriptError) as caught:
        local_imports(tmp_path / "a.py", tmp_path)
    assert caught.value.where == "bad.py:1:5"


def test_the_scripts_of_a_long_loop_are_forgotten_with_all_that_was_found_in_them(tmp_path: Path) -> None:
    script = None
    for number in range(100):
        name = f"02_train_v{number:03d}.py"
        write(tmp_path, {name: f"import helper{number}\nRATE = 0.{number}\n", f"helper{number}.py": f"X = {number}\n"})
        script = read_script(tmp_path / name)
        assert len(settings(script)) == len(script.symbols) == len(imported(tmp_path, name)) == 1
    del script
    gc.collect()
    assert sum(type(one) is Script for one in gc.get_objects()) < 50
