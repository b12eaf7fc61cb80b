"""What an interpreter may import ahead of a script: what comes before anything that could matter to an import."""

from pathlib import Path

import pytest

from progressive_training.loop.jobs.warm.leading_imports import leading_imports
from progressive_training.loop.jobs.warm.next_jobs import NextJobs
from progressive_training.loop.rules.execution import ExecutionConfig
from progressive_training.loop.store.paths import Workspace


def found(root: Path, script: str, **others: str) -> tuple[str, ...]:
    for name, text in others.items():
        (root / f"{name}.py").write_text(text)
    (root / "02_train_v001.py").write_text(script)
    return leading_imports(root / "02_train_v001.py", root)


def test_imports_are_listed_in_order_with_the_names_that_may_be_submodules(tmp_path: Path) -> None:
    script = (
        '"""What it does."""\nfrom __future__ import annotations\nimport os, sys\nimport numpy as np\n'
        "from torch import nn\nfrom torch.utils.data import DataLoader, Dataset\nimport torch.nn.functional as F\n"
        "from numpy import *\n"
    )
    assert found(tmp_path, script) == (
        *("os", "sys", "numpy", "torch:nn", "torch.utils.data:DataLoader", "torch.utils.data:Dataset"),
        "torch.nn.functional",
    )


@pytest.mark.parametrize(
    "between",
    [
        "os.environ.update(A='1')",
        "os.environ['A'] = str(cores)",
        "os.environ[name] = '1'",
        "torch.set_num_threads(1)",
        "random.seed(1)",
        "x = numpy.random.rand()",
        "sys.path.insert(0, 'src')",
        "torch.backends.cudnn.deterministic = True",
        "if fast:\n    import fast_torch",
        "for name in names: pass",
        "with quiet(): pass",
        "import_all()",
        "print('begin')",
        "try:\n    import a\nexcept ImportError:\n    import b as a",
        "if __name__ == '__main__':\n    main()",
    ],
)
def test_the_list_ends_where_something_could_matter_to_what_follows(tmp_path: Path, between: str) -> None:
    assert found(tmp_path, f"import first\n{between}\nimport torch\n") == ("first",)


@pytest.mark.parametrize(
    "between",
    [
        "SEED = 42",
        "ROOT = Path(__file__).resolve().parent",
        "log: object = logging.getLogger(__name__)",
        "def f():\n    import later\n    return later.g()",
        "class A:\n    import inner\n",
        "import warnings\nwarnings.filterwarnings('ignore')",
        "if TYPE_CHECKING:\n    import types_only",
        "if not getattr(sys.flags, 'safe_path', False):\n    del sys.path[0]",
        "'a text'",
        "pass",
    ],
)
def test_what_only_names_something_does_not_end_it(tmp_path: Path, between: str) -> None:
    listed = found(tmp_path, f"import first\n{between}\nimport torch\n")
    assert [name for name in listed if name != "warnings"] == ["first", "torch"]


def test_a_literal_variable_is_set_in_its_place_and_an_optional_package_is_marked(tmp_path: Path) -> None:
    optional = "try:\n    import tqdm\nexcept ImportError:\n    tqdm = None\n"
    script = f"import os\nos.environ['OMP_NUM_THREADS'] = '1'\n{optional}import torch\n"
    assert found(tmp_path, script) == ("os", "OMP_NUM_THREADS=1", "?tqdm", "torch")


def test_what_the_projects_own_modules_begin_with_comes_where_they_are_imported(tmp_path: Path) -> None:
    script = "import first\nfrom model import Net\nimport last\n"
    assert found(tmp_path, script, model="import torch\nclass Net(torch.nn.Module): pass\n") == (
        "first",
        "torch",
        "last",
    )
    acting = "import torch\ntorch.manual_seed(1)\nimport never\n"
    assert found(tmp_path, script, model=acting) == ("first", "torch")


def test_a_script_that_cannot_be_parsed_has_none(tmp_path: Path) -> None:
    assert found(tmp_path, "import torch\ndef (\n") == ()


def preload(root: Path, script: str, **execution: object) -> tuple[str, ...] | None:
    (root / "train.py").write_text(script, encoding="utf-8")
    return NextJobs(Workspace(root), ExecutionConfig.model_validate(execution), "train.py").train_preload()


def test_nothing_is_kept_ready_for_the_standard_library_alone_or_where_it_is_not_wanted(tmp_path: Path) -> None:
    torch = "import os\ntry:\n    import torch.nn\nexcept ImportError:\n    pass\n"
    assert preload(tmp_path, 'import os\nimport json\nos.environ["A"] = "1"\n') is None
    assert preload(tmp_path, torch) == ("os", "?torch.nn")
    assert preload(tmp_path, torch, warm_start=False) is None


def test_nothing_is_kept_ready_for_a_training_whose_processes_another_program_starts(tmp_path: Path) -> None:
    assert preload(tmp_path, "import torch\n", launcher="torchrun") is None
