"""Real servers over stdio, killed at random with their runners; and many clients that want the same at once.

A sample: `make soak` does it a thousand times.
"""

from pathlib import Path

import pytest

from support.faults.injection import Driver
from support.faults.storm import clients_at_once, storm
from support.projects import FOLDER_NAME


@pytest.mark.parametrize("seed", range(15))
@pytest.mark.whole(but="0")
def test_a_loop_whose_server_runner_and_client_go_at_random_loses_nothing_and_leaves_nothing(
    tmp_path: Path, seed: int
) -> None:
    result = storm(tmp_path / FOLDER_NAME, seed)
    assert result.finished
    assert (result.orphans, result.problems) == ([], [])


def test_of_16_clients_with_one_wish_one_wins_and_the_others_learn_the_state(room: Path, plain: Driver) -> None:
    assert clients_at_once(room / "clients" / FOLDER_NAME, plain, 16) == []
