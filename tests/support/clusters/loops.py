"""What the loop must do on every cluster, told by an agent's calls."""

import json

import anyio

from progressive_training.loop.project.receipts import TrainReceipt
from progressive_training.loop.project.version import Version
from support.projects import STAGES, Agent, Folder, connected


async def same_scores(there: Folder, here: Folder) -> None:
    """Both loops are driven to their end; every version's metrics must agree."""
    for project in (there, here):
        async with connected(project) as agent:
            for advance in STAGES.values():
                await advance(agent)
    for version in ("v001", "v002"):
        assert _scores(there, version) == _scores(here, version)


def _scores(folder: Folder, version: str) -> dict[str, float]:
    score = folder.json(f"Models/Artifacts/{version}/eval_score.json")
    return {metric["name"]: metric["value"] for metric in score["metrics"]}


async def trained_to(agent: Agent, epochs: int) -> None:
    """Waits until v001, a RESUMABLE, has so many epochs behind it."""
    with anyio.fail_after(30):
        while True:
            await agent.call("next_step", brief=False)
            try:
                if agent.folder.json("Models/Artifacts/v001/last.ckpt")["epoch"] + 1 >= epochs:
                    return
            except (FileNotFoundError, json.JSONDecodeError):
                continue


async def goes_on(agent: Agent) -> None:
    """v001 was cut off after two epochs, and only the third is trained when it is called with resume=true."""
    folder = agent.folder
    folder.write("gate", "")
    result = await agent.call("run_train", version=1, resume=True, wait_seconds=45)
    assert (result["state"], result.get("epochs")) == ("done", 3), result
    receipt = Version(folder.project(), 1).receipt(TrainReceipt)
    assert receipt is not None and (receipt.attempt, receipt.resumed_from) == (2, 1)
    log = folder.read("Models/Artifacts/v001/logs/version_0/metrics.csv")
    assert log.splitlines()[1].startswith("2,2,"), "only epoch 2 was trained"
