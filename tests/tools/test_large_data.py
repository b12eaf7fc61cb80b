"""A data set of many gigabytes: its fingerprint never blocks a call for longer than a moment."""

import pytest

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
