"""A training whose DataLoader has worker processes is cancelled: none of them stays."""

from pathlib import Path

import anyio.to_thread
import pytest

from progressive_training.loop.jobs.runner.processes import MARKER
from support.e2e import job_processes, processes_with, until
from support.projects import FOLDER_NAME, STATE, TRAINER, Agent, connected, edited, make_project

WORKERS = 2
# Trains until somebody ends it; the workers live from the first epoch to the last.
_TRAINER = edited(
    TRAINER,
    ("import json\n", "import json\nimport os\n"),
    (
        "from schedule import advance\n",
        "import torch\nfrom torch.utils.data import DataLoader, Dataset\n\nfrom schedule import advance\n",
    ),
    ("EPOCHS = 3\n", f"EPOCHS = 3\nWORKERS = {WORKERS}\n"),
    (
        "def loss_of(",
        "class Samples(Dataset):\n"
        "    def __len__(self):\n"
        "        return 64\n\n"
        "    def __getitem__(self, index):\n"
        '        Path(f"worker-{os.getpid()}").touch()\n'
        "        return torch.tensor([index / 64])\n\n\n"
        "def batches():\n"
        "    loader = DataLoader(Samples(), batch_size=BATCH_SIZE, num_workers=WORKERS, persistent_workers=True)\n"
        "    while True:\n"
        "        yield from loader\n\n\n"
        "def loss_of(",
    ),
    (
        "    for epoch in range(EPOCHS):\n",
        "    weight = torch.zeros(1, requires_grad=True)\n"
        "    for batch in batches():\n"
        "        (batch * weight).sum().backward()\n"
        "    for epoch in range(EPOCHS):\n",
    ),
)


@pytest.mark.anyio
async def test_the_workers_of_a_cancelled_trainings_data_loader_are_gone_with_it(tmp_path: Path) -> None:
    folder = make_project(tmp_path / FOLDER_NAME, trainer=_TRAINER)

    def workers() -> list[int]:
        return [int(path.name.removeprefix("worker-")) for path in folder.root.glob("worker-*")]

    try:
        async with connected(folder) as agent:
            await agent.call("start_loop")
            assert (await agent.call("run_train", version=1))["state"] == "running"
            await anyio.to_thread.run_sync(until, lambda: len(workers()) == WORKERS, "both workers")
            marker = folder.json(f"{STATE}/attempts/v001/train-001/runner.json")["marker"]
            assert {*workers()} < {*processes_with(MARKER, marker)}, "they are processes of their own, and marked"
            await _cancelled(agent)
        assert processes_with(MARKER, marker) == job_processes(folder) == []
    finally:
        folder.end_jobs()


async def _cancelled(agent: Agent) -> None:
    assert (await agent.call("cancel_run", version=1))["already_done"] is False
    assert await agent.where() == ("train", 1)
