"""A clock that is set in mid-loop, a full disk, a folder that can't be written: told, survived, gone on from."""

import os
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from progressive_training.loop.store.journal import events
from support.disks import Clock, fill, free_bytes, read_only, small_disk
from support.e2e import GATED_TRAINER, in_mid_training, job_processes, until
from support.faults.checks import faults
from support.projects import (
    ACTION,
    ANALYSIS,
    EVALUATOR,
    FOLDER_NAME,
    STATE,
    At,
    Folder,
    connected,
    edited,
    make_project,
)
from support.wire import Wire, served

DAY = 86_400
# Under libfaketime 0.9.10 Python's time.sleep is refused (EINVAL); select isn't.
_PATIENT = edited(GATED_TRAINER, ('__import__("time").sleep(0.01)', '__import__("select").select([], [], [], 0.01)'))


async def soon(condition: Callable[[], Any], what: str) -> None:
    await anyio.to_thread.run_sync(until, condition, what)


def done(wire: Wire, tool: str, **arguments: Any) -> dict[str, Any]:
    result = wire.call(tool, arguments)["result"]
    assert not result.get("isError"), result["content"][0]["text"]
    return result["structuredContent"]


def age(folder: Folder, days: int) -> None:
    """As if every file of the attempts had been written that many days later (or earlier)."""
    for path in folder.path(f"{STATE}/attempts").rglob("*"):
        moment = path.lstat().st_mtime + days * DAY
        os.utime(path, (moment, moment), follow_symlinks=False)


def test_a_clock_that_is_set_by_a_day_in_mid_loop_changes_nothing(tmp_path: Path) -> None:
    folder, clock = make_project(tmp_path / FOLDER_NAME, trainer=_PATIENT), Clock(tmp_path / "clock")
    turns = iter(["-1d", "+1d", "-1d", "+0"] * 3)
    days = iter([1, -2, 1] * 5)
    folder.set_rules(execution_config={"env": [*clock.environment]})  # so that the runner and the training see it too

    def turn() -> None:
        clock.turn(next(turns))
        age(folder, next(days))

    with served(folder.root, env=clock.environment) as (wire, _):
        turn()
        done(wire, "start_loop")
        assert done(wire, "run_train", version=1)["state"] == "running"
        until(in_mid_training(folder), "the training at its gate")
        for _ in range(2):
            began = time.monotonic()
            arguments = {"version": 1, "wait_seconds": 1}
            waiting = wire.ask("tools/call", name="run_train", arguments=arguments, _meta={"progressToken": 1})
            wire.answer(None)  # its progress: it waits
            turn()
            answer = wire.answer(waiting)["result"]["structuredContent"]
            assert (answer["state"], answer["job"]["attempt"]) == ("running", 1)
            assert 0 <= answer["job"]["elapsed_seconds"] < 60
            assert 1 <= time.monotonic() - began < 20, "a wait is as long as it was to be"
            looked = done(wire, "next_step", brief=False)
            assert (looked["state"], looked["job"]["attempt"]) == ("running", 1)
        folder.write("gate", "")
        trained = done(wire, "run_train", version=1, wait_seconds=45)
        assert trained["state"] == "done" and 0 < trained["wall_seconds"] < 60
        turn()
        done(wire, "write_eval", source=EVALUATOR)
        turn()
        assert done(wire, "run_eval", version=1, wait_seconds=45)["state"] == "done"
        turn()
        done(wire, "write_analysis", version=1, **ANALYSIS)
        turn()
        done(wire, "write_action", version=1, **ACTION)
        turn()
        change = folder.diff("02_train_v001.py", ("LEARNING_RATE = 0.2", "LEARNING_RATE = 0.5"))
        done(wire, "author_next_version", version=1, diff=change)
        turn()
        assert done(wire, "run_train", version=2, wait_seconds=45)["state"] == "done"
        following = done(wire, "next_step", brief=False)
        assert (following["phase"], following["version"]) == ("evaluate", 2)
    assert faults(folder.root) == []
    moments = [datetime.fromisoformat(event.at) for event in events(folder.project().workspace)]
    assert max(moments) - min(moments) > timedelta(days=1.5), "the server's clock was not turned"
    assert moments != sorted(moments)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "작은 disk", 24) as made:
        yield made


@pytest.fixture
def second(disk: Path) -> Iterator[Folder]:
    """A loop on the small disk whose v001 is done and whose v002 is there; trainings wait while there is no `gate`."""
    folder = make_project(disk / FOLDER_NAME, trainer=GATED_TRAINER)
    folder.set_rules(execution_config={"min_free_gb": 0})
    folder.write("gate", "")
    anyio.run(_to_second, folder)
    folder.path("gate").unlink()
    yield folder
    folder.end_jobs()


async def _to_second(folder: Folder) -> None:
    async with connected(folder) as agent:
        await agent.call("start_loop")
        await agent.train()
        await agent.call("write_eval", source=EVALUATOR)
        await agent.score()
        await agent.analyse()
        await agent.act()
        await agent.author()


def of_first(folder: Folder) -> dict[str, bytes]:
    return {name: data for name, data in folder.contents().items() if "v001" in name}


@pytest.mark.anyio
async def test_a_disk_that_fills_up_during_training_is_recorded_as_the_cause_and_costs_nothing_else(
    disk: Path, second: Folder
) -> None:
    before = of_first(second)
    async with connected(second) as agent:
        assert (await agent.call("run_train", version=2))["state"] == "running"
        await soon(in_mid_training(second, 2), "the training at its gate")
        ballast = fill(disk)
        second.write("gate", "")
        await soon(lambda: not job_processes(second), "the end of the training")
        assert free_bytes(disk) < 100_000
        failure = await agent.failed_training("disk full", 2)
        assert "No space left" in failure["summary"] and "free disk space" in failure["advice"]
        assert await agent.where() == ("train", 2), "no repair is asked for"
        assert (of_first(second), faults(second.root)) == (before, [])
        ballast.unlink()
        assert (await agent.train(2))["state"] == "done"
        assert (await agent.score(2))["state"] == "done"
    assert faults(second.root) == []


@pytest.mark.anyio
@pytest.mark.parametrize("reserve", ["there", "used up"])
async def test_a_disk_that_fills_up_before_a_score_is_published_loses_no_score(
    disk: Path, second: Folder, reserve: str
) -> None:
    second.write("gate", "")
    async with connected(second) as agent:
        await agent.train(2)
        assert (await agent.call("run_eval", version=2))["state"] == "running"
        result = second.path(f"{STATE}/attempts/v002/eval-001/result.json")
        await soon(result.exists, "the end of the evaluation")
        if reserve == "used up":
            second.path(f"{STATE}/reserve").unlink()
        ballast = fill(disk)
        before = second.contents()
        if reserve == "used up":
            for _ in range(2):
                text = await agent.refused("run_eval", version=2)
                assert "No space left" in text and "free disk space" in text
            assert second.contents() == before
            assert await agent.where() == ("evaluating", 2)
            ballast.unlink()
        assert (await agent.score(2))["metrics"]["accuracy"] == pytest.approx(0.95)
        ballast = fill(disk)
        assert "free disk space" in await agent.refused("write_analysis", version=2, **ANALYSIS)
        assert await agent.where() == ("analysis", 2)
        ballast.unlink()
        await agent.analyse(2)
    assert faults(second.root) == []


@pytest.mark.anyio
async def test_in_a_folder_that_nobody_can_write_the_reading_tools_work_and_the_others_say_why(
    at: At, tmp_path: Path
) -> None:
    folder = at("scored")
    calls: dict[str, dict[str, Any]] = {
        "start_loop": {},
        "run_train": {"version": 1},
        "run_eval": {"version": 1},
        "write_eval": {"source": "print(1)"},
        "write_analysis": {"version": 1, **ANALYSIS},
        "final_report": {"stop_reason": "enough"},
    }
    with read_only(folder.root, tmp_path / "읽기 전용") as root:
        async with connected(Folder(root)) as agent:
            assert (await agent.call("read_rules"))["next"]["tool"] == "write_analysis"
            assert "write_analysis" in await agent.brief()
            for uri in ("loop://status", "loop://versions/1/script", "loop://versions/1/score"):
                assert (await agent.client.read_resource(uri)).contents
            # It holds no lock, and where no job runs it has nothing to write.
            assert "no running job" in (await agent.call("cancel_run", version=1))["message"]
            for tool, arguments in calls.items():
                text = await agent.refused(tool, **arguments)
                assert "Read-only file system" in text and "make" in text.partition("Next: ")[2], (tool, text)
    async with connected(folder) as agent:
        await agent.analyse()
