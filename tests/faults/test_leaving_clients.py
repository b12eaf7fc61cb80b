"""Clients that go away in mid-training, and many of them at once: nothing is lost, nothing is done twice."""

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from support.leaving import WAYS, Way, after_all, contend, gated_project, leave
from support.projects import EVALUATOR, At, Folder, connected

CLIENTS = 16


@pytest.mark.parametrize("way", [*WAYS, *WAYS[:2]])
@pytest.mark.whole(but="way0")
def test_a_training_whose_client_goes_away_is_finished_and_collected_once_by_another(tmp_path: Path, way: Way) -> None:
    folder = gated_project(tmp_path)
    try:
        assert leave(folder, way) == []
    finally:
        folder.end_jobs()


@pytest.mark.anyio
async def test_of_sixteen_clients_that_want_the_next_step_one_does_it_and_the_others_learn_what_is(at: At) -> None:
    folder = at("started")
    folder.write("03_eval.py", EVALUATOR)
    assert await rounds(folder, 5) == []
    assert (folder.path("02_train_v002.py").exists(), after_all(folder)) == (True, [])


async def rounds(folder: Folder, count: int) -> list[str]:
    async with AsyncExitStack() as stack:
        agents = [await stack.enter_async_context(connected(folder)) for _ in range(CLIENTS)]
        return [fault for _ in range(count) for fault in await contend(agents)]
