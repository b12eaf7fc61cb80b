"""The loop on a real Slurm, as an agent goes through it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from progressive_training.loop.jobs.backends import batch
from progressive_training.server.cli.probe_job import probe
from support.clusters.digits import Scores, digits
from support.clusters.loops import goes_on, same_scores, trained_to
from support.clusters.slurm import SlurmCluster, fill, slurm
from support.projects import EVALUATOR, FOLDER_NAME, STATE, Folder, connected, make_project
from support.resumable import RESUMABLE

pytestmark = pytest.mark.anyio
CPUS: dict[str, Any] = {"executor": "slurm", "resources": {"cpus": 2, "minutes": 5}}


@pytest.fixture
def cluster() -> Iterator[SlurmCluster]:
    running = slurm()
    batch.cache_clear()  # a server of its own
    yield running
    running.drain()


@pytest.fixture
def folder(tmp_path: Path, cluster: SlurmCluster) -> Folder:
    made = make_project(tmp_path / FOLDER_NAME)
    made.set_rules(execution_config=CPUS)
    return made


def submitted(folder: Folder) -> list[str]:
    """The attempts that were handed in to Slurm, and those that were not, after a `!`."""
    attempts = sorted(folder.path(f"{STATE}/attempts").glob("*/*/job.json"))
    return [("" if (path.parent / "submit.sh").exists() else "!") + path.parent.name for path in attempts]


async def test_the_whole_loop_runs_there_and_scores_as_on_this_machine(folder: Folder, tmp_path: Path) -> None:
    here = make_project(tmp_path / "here")
    await same_scores(folder, here)
    assert submitted(folder) == ["eval-001", "train-001", "eval-001", "train-001"]
    assert submitted(here) == [f"!{name}" for name in submitted(folder)]


async def test_a_job_that_waits_says_so_and_can_be_cancelled(cluster: SlurmCluster, folder: Folder) -> None:
    fill(cluster)
    async with connected(folder) as agent:
        await agent.call("start_loop")
        answer = await agent.call("run_train", version=1)
        assert (answer["state"], answer["job"]["elapsed_seconds"]) == ("running", 0.0)
        assert "waits to be trained" in answer["message"]
        with anyio.fail_after(30):
            while "Resources" not in (answer := await agent.call("next_step", brief=False))["message"]:
                batch.cache_clear()
        told = answer["job"]["waiting"]
        assert told.startswith("waits in Slurm's queue: PENDING (Resources): no node is free for it yet, place 1 of 1")
        assert answer["message"].startswith("v001 waits (train: waits in Slurm's queue")
        await agent.call("cancel_run", version=1)
        assert (await agent.call("next_step", brief=False))["failure"]["kind"] == "cancelled"
        cluster.drain()
        assert (await agent.train())["state"] == "done"
        await agent.call("write_eval", source=EVALUATOR)
        fill(cluster)
        answer = await agent.call("run_eval", version=1)
        assert (answer["state"], answer["job"]["elapsed_seconds"]) == ("running", 0.0)
        assert answer["message"].startswith("v001 waits to be evaluated (eval: waits in Slurm's queue")
        await agent.call("cancel_run", version=1)
        assert (await agent.call("next_step", brief=False))["failure"]["kind"] == "cancelled"
    assert submitted(folder) == ["eval-001", "train-001", "train-002"]


async def test_a_preempted_training_goes_on_from_its_last_checkpoint(cluster: SlurmCluster, folder: Folder) -> None:
    folder.write("02_train_baseline.py", RESUMABLE)
    fill(cluster, "high", cluster.nodes[1])
    async with connected(folder) as agent:
        await agent.call("start_loop")
        await agent.call("run_train", version=1)
        await trained_to(agent, 2)
        fill(cluster, "high", cluster.nodes[0])
        failure = (await agent.train())["failure"]
        assert (failure["kind"], failure["summary"]) == ("killed", "Slurm ended it: PREEMPTED")
        assert "run_train with resume=true" in failure["advice"]
        cluster.drain()
        await goes_on(agent)


async def test_a_training_of_a_lost_node_is_called_again(cluster: SlurmCluster, folder: Folder) -> None:
    folder.write("02_train_baseline.py", RESUMABLE)
    async with connected(folder) as agent:
        await agent.call("start_loop")
        await agent.call("run_train", version=1)
        await trained_to(agent, 2)
        node = next(node for node in cluster.nodes if cluster.call("squeue", "-h", f"--nodelist={node}"))
        with cluster.lost(node):
            failure = (await agent.train())["failure"]
            assert (failure["kind"], failure["summary"]) == ("lost", "Slurm: node failed (NODE_FAIL (NodeDown))")
            assert "resume=true" in failure["advice"]
            await goes_on(agent)


async def test_a_server_that_comes_later_collects_what_another_began(cluster: SlurmCluster, folder: Folder) -> None:
    folder.write("02_train_baseline.py", RESUMABLE)
    async with connected(folder) as agent:
        await agent.call("start_loop")
        await agent.call("run_train", version=1)
    batch.cache_clear()
    async with connected(folder) as agent:
        await trained_to(agent, 2)
        folder.write("gate", "")
        assert (await agent.train())["state"] == "done"
    assert submitted(folder) == ["train-001"]


async def test_what_slurm_refuses_is_said_and_leaves_no_attempt(folder: Folder) -> None:
    folder.set_rules(execution_config={**CPUS, "slurm": {"partition": "nope"}})
    async with connected(folder) as agent:
        await agent.call("start_loop")
        text = await agent.refused("run_train", version=1)
        assert "there is no partition nope" in text
        assert "set slurm.partition to one of: low, high, short" in text


@pytest.mark.whole
def test_digits_trained_there_scores_to_the_last_digit_as_on_this_machine(
    cluster: SlurmCluster, digits_here: Scores, tmp_path: Path
) -> None:
    there = digits(
        tmp_path / "there", 1, {"executor": "slurm", "resources": {"cpus": 2, "memory_gb": 2, "minutes": 10}}
    )
    assert there == digits_here
    assert submitted(Folder(tmp_path / "there")) == ["eval-001", "train-001"]
    assert there["v001"]["accuracy"] > 0.8


async def test_doctor_runs_a_job_there(folder: Folder) -> None:
    before = folder.contents()
    found = await anyio.to_thread.run_sync(probe, folder.project())
    assert found.state == "ended", found
    assert found.detail.startswith("Slurm ran a job in ")
    assert not folder.path(STATE).exists()
    assert folder.contents() == before
