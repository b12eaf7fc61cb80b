"""An interrupted training goes on from its last checkpoint when the user wants it, and starts anew otherwise."""

import json
import os
import signal
import subprocess
import sys
from typing import Any

import anyio
import pytest

from progressive_training.loop.project.receipts import TrainReceipt
from progressive_training.loop.project.version import Version
from progressive_training.loop.train.resume import kept
from support.projects import Agent, Folder, connected, edited
from support.resumable import RESUMABLE

pytestmark = pytest.mark.anyio
V001 = "Models/Artifacts/v001"
KEPT = ".progressive-training/resume/v001"
BASELINE = "02_train_baseline.py"
KILL = "kill -9 of the runner"
CANCEL = "cancel_run"


async def interrupted(agent: Agent, how: str = KILL, *, epochs: int = 2) -> dict[str, Any]:
    """Starts v001, ends it once it has done two epochs, and returns what run_train says of that."""
    folder = agent.folder
    await agent.call("run_train", version=1)
    with anyio.fail_after(30):
        while not trained_epochs(folder) >= epochs:
            await agent.call("next_step", brief=False)
    if how == CANCEL:
        await agent.call("cancel_run", version=1)
        return await agent.call("next_step")
    newest = sorted(folder.root.glob(".progressive-training/attempts/v001/train-*"))[-1]
    os.kill(json.loads((newest / "runner.json").read_text())["pid"], signal.SIGKILL)
    return await agent.train()


def trained_epochs(folder: Folder) -> int:
    try:
        return folder.json(f"{V001}/last.ckpt")["epoch"] + 1
    except (FileNotFoundError, json.JSONDecodeError):
        return 0


async def start(agent: Agent, text: str = RESUMABLE, **execution: Any) -> None:
    agent.folder.set_rules(execution_config={"sandbox": "auto", **execution})
    agent.folder.write(BASELINE, text)
    await agent.call("start_loop")


def names(folder: Folder, relative: str) -> list[str]:
    return sorted(path.name for path in folder.path(relative).iterdir())


def through(threshold: float, epochs: int) -> float:
    for _ in range(epochs):
        threshold += 0.2 * (0.5 - threshold)
    return threshold


@pytest.mark.parametrize("how", [KILL, CANCEL])
async def test_an_interrupted_training_goes_on_from_its_checkpoint_to_the_same_end(folder: Folder, how: str) -> None:
    async with connected(folder) as agent:
        await start(agent)
        ended = await interrupted(agent, how)
        assert "resume=true" in ended["failure"]["advice"]
        assert "resume=true" in await agent.brief()
        assert names(folder, V001) == ["_tests"], "wiped as ever"
        assert names(folder, KEPT) == ["best.ckpt", "last.ckpt", "logs", "resume.json"]
        folder.write("gate", "")
        result = await agent.call("run_train", version=1, resume=True, wait_seconds=45)
        assert (result["state"], result.get("epochs")) == ("done", 3), result
    assert folder.json(f"{V001}/last.ckpt") == {"threshold": pytest.approx(through(1.0, 3)), "epoch": 2}
    assert folder.read(f"{V001}/logs/version_0/metrics.csv").splitlines()[1].startswith("2,2,"), (
        "only epoch 2 was trained"
    )
    # best.ckpt came from epoch 0, which the resumed run never saw.
    assert folder.json(f"{V001}/best.ckpt")["best"]
    receipt = Version(folder.project(), 1).receipt(TrainReceipt)
    assert receipt is not None and (receipt.resumed_from, receipt.epochs) == (1, 3)
    assert any("left no best.ckpt; that of attempt 1 was put back" in str(one) for one in receipt.warnings)
    assert any("metrics.csv begins at epoch 2" in str(one) for one in receipt.warnings)
    assert not folder.path(KEPT).exists()


async def test_without_resume_the_training_starts_anew(folder: Folder) -> None:
    async with connected(folder) as agent:
        await start(agent)
        await interrupted(agent)
        folder.write("gate", "")
        assert (await agent.train())["epochs"] == 3
    assert len(folder.read(f"{V001}/logs/version_0/metrics.csv").splitlines()) == 4
    receipt = Version(folder.project(), 1).receipt(TrainReceipt)
    assert receipt is not None and (receipt.resumed_from, receipt.warnings) == (None, ())


async def test_an_interrupted_resumed_training_is_resumed_from_its_own_last_checkpoint(folder: Folder) -> None:
    async with connected(folder) as agent:
        await start(agent)
        await interrupted(agent)
        # Ended before it wrote anything: what the first interruption left still counts.
        await agent.call("run_train", version=1, resume=True)
        await agent.call("cancel_run", version=1)
        record = kept(Version(folder.project(), 1))
        assert record is not None and (record.attempt, record.epochs) == (1, 2)
        folder.write("gate", "")
        result = await agent.call("run_train", version=1, resume=True, wait_seconds=45)
        assert (result["state"], result.get("epochs")) == ("done", 3), result
    assert folder.json(f"{V001}/last.ckpt")["threshold"] == pytest.approx(through(1.0, 3))


async def test_a_run_that_was_cut_off_after_its_last_epoch_gets_back_what_that_left(folder: Folder) -> None:
    late = edited(
        RESUMABLE,
        ("epoch == 2 and not", "epoch == 9 and not"),
        (
            "    save(threshold)",
            '    while not Path("gate").exists():\n        __import__("time").sleep(0.01)\n    save(threshold)',
        ),
    )
    async with connected(folder) as agent:
        await start(agent, late)
        await interrupted(agent, epochs=3)
        folder.write("gate", "")
        result = await agent.call("run_train", version=1, resume=True, wait_seconds=45)
        assert (result["state"], result.get("epochs")) == ("done", 3), result
    receipt = Version(folder.project(), 1).receipt(TrainReceipt)
    assert receipt is not None
    assert [str(one).split(";")[0] for one in receipt.warnings] == [
        f"the resumed run left no {name}" for name in ("best.ckpt", "last.ckpt", "logs")
    ]


async def test_a_training_that_passed_its_time_limit_may_be_repaired_or_resumed(folder: Folder) -> None:
    async with connected(folder) as agent:
        folder.write(BASELINE, RESUMABLE)
        folder.set_rules(loop_config={"max_train_minutes": 0.03})
        await agent.call("start_loop")
        failure = await agent.failed_training("timeout")
        assert "resume=true" in failure["advice"]
        assert await agent.where() == ("repair", 1)
        folder.write("gate", "")
        result = await agent.call("run_train", version=1, resume=True, wait_seconds=45)
        assert (result["state"], result.get("epochs")) == ("done", 3), result


async def test_only_an_interrupted_training_of_the_present_script_can_be_resumed(folder: Folder) -> None:
    async with connected(folder) as agent:
        await start(agent, edited(RESUMABLE, ("    threshold, rows = fit()\n", "    raise ValueError('no')\n")))
        text = await agent.refused("run_train", version=1, resume=True)
        assert "has not been made yet" in text
        await agent.failed_training("code error")
        text = await agent.refused("run_train", version=1, resume=True)
        assert "only an interrupted training can be resumed; the last attempt ended by: code error" in text
        await agent.repair(("    raise ValueError('no')\n", "    threshold, rows = fit()\n"))
        await interrupted(agent)
        folder.edit("schedule.py", ("threshold + rate", "threshold - rate"))
        assert "present script" in await agent.refused("run_train", version=1, resume=True)
        folder.edit("schedule.py", ("threshold - rate", "threshold + rate"))
        folder.write(f"{KEPT}/last.ckpt", '{"threshold": 0.5, "epoch": 1}')
        assert "no whole last.ckpt" in await agent.refused("run_train", version=1, resume=True)
        folder.write("gate", "")
        assert (await agent.train())["state"] == "done"
        again = await agent.call("run_train", version=1, resume=True)
        assert again["already_done"]


@pytest.mark.parametrize(
    ("content", "resumable"),
    [(b"", False), (b"PK\x03\x04 the beginning of a zip file", False), (b"another format", True)],
)
async def test_a_torn_checkpoint_is_not_offered(folder: Folder, content: bytes, resumable: bool) -> None:
    torn = edited(
        RESUMABLE,
        (
            '(ARTIFACTS / "last.ckpt").write_text(json.dumps({"threshold": threshold, "epoch": epoch}))\n',
            f'(ARTIFACTS / "last.ckpt").write_bytes({content!r})\n        (ARTIFACTS / "up").touch()\n',
        ),
    )
    async with connected(folder) as agent:
        await start(agent, torn)
        await agent.call("run_train", version=1)
        with anyio.fail_after(30):
            while not folder.path(f"{V001}/up").exists():
                await agent.call("next_step", brief=False)
        await agent.call("cancel_run", version=1)
        advice = (await agent.call("next_step"))["failure"]["advice"]
        assert ("resume=true" in advice) == resumable
        if not resumable:
            await agent.refused("run_train", version=1, resume=True)


async def test_the_checkpoint_cannot_be_changed_by_the_script_that_resumes(folder: Folder) -> None:
    spoil = 'kept = json.loads(Path(path).read_text())\n        Path(path).write_text("spoilt")'
    async with connected(folder) as agent:
        await start(agent, edited(RESUMABLE, ("kept = json.loads(Path(path).read_text())", spoil)), sandbox="require")
        await interrupted(agent)
        before = folder.read(f"{KEPT}/last.ckpt")
        result = await agent.call("run_train", version=1, resume=True, wait_seconds=45)
        assert "Read-only file system" in result["failure"]["summary"]
        assert folder.read(f"{KEPT}/last.ckpt") == before


async def test_the_command_line_resumes(folder: Folder) -> None:
    async with connected(folder) as agent:
        await start(agent)
        await interrupted(agent)
    folder.write("gate", "")
    command = [sys.executable, "-m", "progressive_training.server", "train", "--resume", "--project", str(folder.root)]
    done = await anyio.run_process(command, check=False, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout.decode()
    receipt = Version(folder.project(), 1).receipt(TrainReceipt)
    assert receipt is not None and receipt.resumed_from == 1
