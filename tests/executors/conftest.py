"""Where the tests of executors run their jobs."""

from pathlib import Path

import pytest


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / 'it\'s a "한글" folder $HOME'
    folder.mkdir()
    return folder


@pytest.fixture
def attempt(work: Path) -> Path:
    return work / ".progressive-training" / "attempts" / "v001" / "001"
