"""What ran of the project, whoever imported it and however its name was made, is pinned in the training's receipt."""

import pytest

from progressive_training.loop.project.receipts import TrainReceipt
from progressive_training.loop.project.version import Version
from support.projects import EVALUATOR, TRAINER, Folder, connected, edited

RUN_HIDDEN = """    import torch
    __import__("hid" + "den")
    weights = torch.ones(1, requires_grad=True)
    optimizer = torch.optim.SGD([weights], lr=0.1)
    weights.sum().backward()
    optimizer.step()
    save_logs(rows)
"""


@pytest.mark.anyio
async def test_a_file_that_no_check_has_seen_is_pinned_once_it_ran_and_may_not_change(folder: Folder) -> None:
    folder.write("hidden.py", "SCALE = 1\n")
    folder.write("02_train_baseline.py", edited(TRAINER, ("    save_logs(rows)\n", RUN_HIDDEN)))
    async with connected(folder) as agent:
        await agent.call("start_loop")
        assert (await agent.train())["state"] == "done"
        receipt = Version(folder.project(), 1).receipt(TrainReceipt)
        assert receipt is not None and "hidden.py" in receipt.imported
        await agent.call("write_eval", source=EVALUATOR)
        assert (await agent.score())["state"] == "done"
        await agent.analyse()
        await agent.act()
        await agent.author()
        folder.write("hidden.py", "SCALE = 30\n")
        failure = await agent.failed_training("rule violation", version=2)
    assert "hidden.py, which changed since its parent ran it" in failure["summary"]
