"""What the tests of the loop share."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.projects import FOLDER_NAME, At, Folder, Shelf, make_project

# Whoever is started in the background ignores Ctrl-C, and so would the commands whose answer to it is tested.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return Shelf(tmp_path_factory.mktemp("shelf"))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    """A project in which no loop has been started."""
    made = make_project(tmp_path / FOLDER_NAME)
    yield made
    made.end_jobs()


@pytest.fixture
def at(tmp_path: Path, shelf: Shelf) -> Iterator[At]:
    """`at("scored")` is a project whose loop is so far; see support.projects.STAGES."""
    copied: list[Folder] = []

    def copy(stage: str) -> Folder:
        copied.append(shelf.copy(stage, tmp_path / FOLDER_NAME))
        return copied[-1]

    yield copy
    for one in copied:
        one.end_jobs()


@pytest.fixture
def no_device() -> Iterator[None]:
    """Trainings on the CPU, whatever the machine has; for those that are held against figures."""
    before = os.environ.get("CUDA_VISIBLE_DEVICES")
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    yield
    if before is None:
        del os.environ["CUDA_VISIBLE_DEVICES"]
    else:
        os.environ["CUDA_VISIBLE_DEVICES"] = before
