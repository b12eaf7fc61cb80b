"""Where the tests of executors run their jobs."""

from pathlib import Path

import pytest

from support.clusters.digits import Scores, digits


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / 'it\'s a "한글" folder $HOME'
    folder.mkdir()
    return folder


@pytest.fixture
def attempt(work: Path) -> Path:
    return work / ".progressive-training" / "attempts" / "v001" / "001"


@pytest.fixture(scope="session")
def digits_here(tmp_path_factory: pytest.TempPathFactory) -> Scores:
    """What the first version of digits scores on this machine."""
    return digits(tmp_path_factory.mktemp("digits") / "here", 1, {})
