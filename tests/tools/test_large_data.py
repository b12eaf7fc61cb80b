"""A data set or a checkpoint of many gigabytes: reading it never blocks a call for longer than a moment."""

import time
from pathlib import Path

import pytest

from progressive_training.loop.errors import Busy
from progressive_training.loop.store.lock import locked
from support.instant import Instant
from support.projects import EVALUATOR, At, connected

pytestmark = pytest.mark.anyio
# Sparse, so that it takes no room; no machine hashes it in one turn.
_SIZE = 40_000_000_000


async def test_an_evaluation_reads_a_large_data_set_by_turns_and_scores_afterwards(at: At) -> None:
    folder = at("trained")
    large = folder.path("dataset/prepdata/v1/large.bin")
    with large.open("wb") as file:
        file.truncate(_SIZE)
    async with connected(folder) as agent:
        await agent.call("write_eval", source=EVALUATOR)
        first = await agent.call("run_eval", version=1)
        again = await agent.call("run_eval", version=1, wait_seconds=1)
        for told in (first, again):
            assert told["state"] == "running" and "job" not in told
            assert "the data set v1 is read for its fingerprint" in told["message"]
        assert again["message"] != first["message"], "the second call goes on where the first one was"
        assert again["next"] == {
            "tool": "run_eval",
            "arguments": {"version": 1},
            "why": again["next"]["why"],
            "adopts": False,
        }
        assert not folder.path(".progressive-training/attempts/v001/eval-001").exists()
        large.unlink()
        scored = await agent.score()
    assert scored["state"] == "done"


class Large(Instant):
    """Leaves a checkpoint that no machine reads in one turn."""

    def _train(self, artifacts: Path) -> None:
        super()._train(artifacts)
        with (artifacts / "last.ckpt").open("wb") as file:
            file.truncate(_SIZE)


async def test_a_large_checkpoint_is_read_by_turns_while_others_may_take_the_lock(at: At) -> None:
    folder = at("started")
    project = folder.project()
    async with connected(folder, executor=Large()) as agent:
        messages: list[str] = []
        for _ in range(2):
            began = time.monotonic()
            told = await agent.call("run_train", version=1, wait_seconds=0)
            assert told["state"] == "running" and "job" not in told and time.monotonic() - began < 20
            messages.append(told["message"])
            try:
                with locked(project.workspace, wait_seconds=0.0):
                    pass
            except Busy:
                pytest.fail("the lock is held while nothing is changed")
        assert "what v001 left is read" in messages[0] and messages[0] != messages[1]
        with (folder.path("Models/Artifacts/v001") / "last.ckpt").open("wb") as file:
            file.write(b"small")
        assert (await agent.call("run_train", version=1))["state"] == "done"
