"""A change that has no effect is told: its code never ran, or its weights are those of an earlier version."""

from typing import Any

import pytest

from support.projects import At, connected

pytestmark = pytest.mark.anyio
V001 = "02_train_v001.py"
POLISH = ("def save_logs(rows):", "def polish(threshold):\n    return threshold / 2\n\n\ndef save_logs(rows):")
CALLED = ("    threshold, rows = fit()\n", "    threshold, rows = fit()\n    threshold = polish(threshold)\n")
STEP = "        threshold = advance(threshold, LEARNING_RATE)\n"


async def second(at: At, where: list[str], *edits: tuple[str, str]) -> dict[str, Any]:
    """The training of a second version that these edits made."""
    folder = at("analysed")
    async with connected(folder) as agent:
        await agent.act(where=where)
        await agent.author(1, *edits)
        return await agent.train(2)


async def test_a_change_that_never_ran_is_a_warning(at: At) -> None:
    trained = await second(at, ["+polish"], POLISH)
    assert trained["warnings"] == ["the changed code never ran: no changed line of polish was reached"]
    assert trained["warnings"][0] in trained["message"]


@pytest.mark.parametrize(
    ("where", "edits"),
    [
        (["+polish", "main"], (POLISH, CALLED)),
        (["fit"], ((STEP, STEP + "        if epoch > 90:\n            threshold = 0.5\n"),)),
        (["LEARNING_RATE"], (("LEARNING_RATE = 0.2", "LEARNING_RATE = 0.5"),)),
        (["loss_of"], (("abs(threshold - 0.5) / 100", "abs(threshold - 0.5) / (\n        50\n    )"),)),
    ],
    ids=["a new function that is called", "a branch that is not taken", "a constant", "over several lines"],
)
async def test_a_change_that_ran_in_part_is_none(at: At, where: list[str], edits: tuple[tuple[str, str], ...]) -> None:
    assert (await second(at, where, *edits))["warnings"] == []


async def test_a_change_in_a_process_that_leaves_no_facts_has_run(at: At) -> None:
    worker = (
        "    threshold, rows = fit()\n",
        "    threshold, rows = fit()\n    import multiprocessing\n"
        "    child = multiprocessing.get_context('fork').Process(target=polish, args=(threshold,))\n"
        "    child.start()\n    child.join()\n",
    )
    trained = await second(at, ["+polish", "main"], POLISH, worker)
    assert trained["warnings"] == []
