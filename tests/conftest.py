"""What the tests of the loop share."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.programs import told
from support.projects import FOLDER_NAME, At, Folder, Shelf, make_project
from support.tiers import TIERS, is_fast, lacking

# Whoever is started in the background ignores Ctrl-C, and so would the commands whose answer to it is tested.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--tier", choices=TIERS, default="all", help="which tests: support/tiers.py")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    tier = config.getoption("--tier")
    if tier == "all":
        return
    if wrong := list(lacking(items)):
        raise pytest.UsageError("\n".join(wrong))
    config.hook.pytest_deselected(items=[item for item in items if is_fast(item) != (tier == "fast")])
    items[:] = [item for item in items if is_fast(item) == (tier == "fast")]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was left out, and what brings it."""
    reports = terminalreporter.stats.get("skipped", [])
    reasons = [str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr) for report in reports]
    if line := told(reasons):
        terminalreporter.write_line(line, yellow=True)


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
