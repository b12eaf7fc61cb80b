"""What last.ckpt says of a training, against the number of epochs that the rules fix (T1)."""

import pytest

from support.projects import EVALUATOR, Folder, connected

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T1")]
SAVED = '(ARTIFACTS / "last.ckpt").write_text(json.dumps({"threshold": threshold + 0.2}))'


def saves_epoch(epoch: int) -> tuple[str, str]:
    """The edit that makes last.ckpt a torch checkpoint of this epoch, counted from 0."""
    content = f'pickle.dumps({{"epoch": {epoch}, "state_dict": {{}}}})'
    return SAVED, f'zipfile.ZipFile(ARTIFACTS / "last.ckpt", "w").writestr("archive/data.pkl", {content})'


@pytest.mark.parametrize("epoch", [2, 0])
async def test_a_last_checkpoint_of_an_earlier_epoch_is_right_where_the_logs_have_them_all(
    folder: Folder, epoch: int
) -> None:
    """Lightning's save_last writes it only when another checkpoint is written: not where the last epochs were worse."""
    folder.edit(
        "02_train_baseline.py", ("import json\n", "import json\nimport pickle\nimport zipfile\n"), saves_epoch(epoch)
    )
    async with connected(folder) as agent:
        await agent.call("start_loop")
        assert (await agent.train())["state"] == "done"
        await agent.call("write_eval", source=EVALUATOR)
        assert (await agent.score())["state"] == "done"


async def test_one_of_a_later_epoch_takes_the_training_back(folder: Folder) -> None:
    folder.edit(
        "02_train_baseline.py", ("import json\n", "import json\nimport pickle\nimport zipfile\n"), saves_epoch(3)
    )
    async with connected(folder) as agent:
        await agent.call("start_loop")
        assert (await agent.train())["state"] == "done"
        await agent.call("write_eval", source=EVALUATOR)
        assert "last.ckpt: 4 epochs" in (await agent.score())["failure"]["summary"]
        assert await agent.where() == ("repair", 1)
