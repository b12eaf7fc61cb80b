"""Four trained projects that have little in common, each made once a session."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from evaluator_runs import CLASSIFICATION, HERE, REGRESSION, Project, Workshop, labelled, render, train


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    command = [sys.executable, "-I", str(HERE / "fork_server.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Workshop(process, tmp_path_factory.mktemp("작업 공간"))
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture(scope="session")
def plain(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Project:
    data = {"train": labelled(1, 40, 64, 4), "val": labelled(2, 21, 64, 4)}
    root = tmp_path_factory.mktemp("나의 프로젝트")
    code = {"02_train_v001.py": "plain.py"}
    return train(workshop, root, code, data, render(metrics=["sharpness_error"], primary="accuracy"))


@pytest.fixture(scope="session")
def packaged(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Project:
    code = {
        "02_train_v001.py": "packaged.py",
        "nets/__init__.py": "packaged_nets.py",
        "tables.py": "packaged_tables.py",
        "nets/classes.txt": "packaged_classes.txt",
        "config/hp.json": "packaged_hp.json",
    }
    root = tmp_path_factory.mktemp("꾸러미 project")
    project = train(workshop, root, code, {"all": labelled(3, 90, 5, 3)}, render(metrics=CLASSIFICATION))
    (project.snapshot / "nets" / "classes.txt").unlink()  # a snapshot holds modules, not data
    shutil.rmtree(project.snapshot / "config")
    (root / "json.py").write_text("raise RuntimeError('the project shadows json')")
    return project


@pytest.fixture(scope="session")
def curves(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Project:
    def points(seed: int, count: int) -> dict[str, Any]:
        random = np.random.default_rng(seed)
        x = random.normal(size=(count, 3))
        y = x @ np.array([[1.0, -2.0], [0.5, 1.0], [0.0, 1.5]]) + random.normal(size=(count, 2)) * 0.1
        return {"x": x.astype("float32"), "y": y.astype("float32")}

    data = {"train": points(1, 40), "val": points(2, 24)}
    root = tmp_path_factory.mktemp("curves")
    return train(
        workshop, root, {"02_train_v001.py": "curves.py"}, data, render("tabular regression", REGRESSION, "mae")
    )


@pytest.fixture(scope="session")
def binary(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Project:
    data = labelled(4, 80, 6, 2)
    data["y"] = data["y"].astype("float32")
    root = tmp_path_factory.mktemp("binary")
    return train(workshop, root, {"02_train_v001.py": "binary.py"}, {"all": data}, render(metrics=CLASSIFICATION))
