"""The projects that the attacks start from."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anyio
import pytest

from support.attacks import make_lightning_project
from support.forked import Forked
from support.projects import FOLDER_NAME, Folder, connected


async def _analysed(folder: Folder) -> None:
    async with connected(folder, executor=Forked()) as agent:
        await agent.call("start_loop")
        trained = await agent.train()
        assert trained["state"] == "done" and {rule["standing"] for rule in trained["rules"]} == {"in force"}, trained
        scored = await agent.score()
        assert scored["state"] == "done", scored
        await agent.analyse()


@pytest.fixture(scope="session")
def analysed_lightning(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_lightning_project(Folder(tmp_path_factory.mktemp("shelf") / FOLDER_NAME))
    # In a thread of its own: the test that asks first has an event loop that runs.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(anyio.run, _analysed, folder).result()
    return folder.root


@pytest.fixture
def lightning(tmp_path: Path, analysed_lightning: Path) -> Iterator[Folder]:
    """A loop over a script in Lightning's manner, whose v001 is analysed and waits for its action."""
    folder = Folder(tmp_path / FOLDER_NAME)
    shutil.copytree(analysed_lightning, folder.root)
    yield folder
    folder.end_jobs()
