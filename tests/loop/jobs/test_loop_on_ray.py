"""The loop on a real Ray, as an agent goes through it."""

from pathlib import Path

import anyio
import anyio.to_thread
import httpx2
import pytest

from progressive_training.loop.jobs.backends import batch
from progressive_training.server.cli.probe_job import probe
from support.clusters.digits import Scores, digits
from support.clusters.loops import goes_on, same_scores, trained_to
from support.clusters.ray import RayCluster, ray
from support.projects import FOLDER_NAME, STATE, Folder, connected, make_project
from support.resumable import RESUMABLE

pytestmark = pytest.mark.anyio


@pytest.fixture
def cluster() -> RayCluster:
    batch.cache_clear()  # a server of its own
    return ray()


@pytest.fixture
def folder(tmp_path: Path, cluster: RayCluster) -> Folder:
    made = make_project(tmp_path / FOLDER_NAME)
    made.set_rules(execution_config={"executor": "ray", "ray": {"address": cluster.address}, "resources": {"cpus": 1}})
    return made


def submitted(folder: Folder) -> list[str]:
    """The attempts that Ray took."""
    attempts = sorted(folder.path(f"{STATE}/attempts").glob("*/*/job.json"))
    assert all((path.parent / "accepted.json").exists() for path in attempts)
    return [path.parent.name for path in attempts]


async def test_the_whole_loop_runs_there_and_scores_as_on_this_machine(folder: Folder, tmp_path: Path) -> None:
    here = make_project(tmp_path / "here")
    await same_scores(folder, here)
    assert submitted(folder) == ["eval-001", "train-001", "eval-001", "train-001"]


@pytest.mark.whole
async def test_a_training_that_was_stopped_from_outside_goes_on_from_its_last_checkpoint(
    cluster: RayCluster, folder: Folder
) -> None:
    folder.write("02_train_baseline.py", RESUMABLE)
    async with connected(folder) as agent:
        await agent.call("start_loop")
        await agent.call("run_train", version=1)
    batch.cache_clear()
    async with connected(folder) as agent:  # a server that came later
        await trained_to(agent, 2)
        name = folder.json(f"{STATE}/attempts/v001/train-001/accepted.json")["id"]
        httpx2.post(f"{cluster.address}/api/jobs/{name}/stop", trust_env=False).raise_for_status()
        failure = (await agent.train())["failure"]
        assert (failure["kind"], failure["summary"]) == (
            "killed",
            "Ray ended it: STOPPED: Job was intentionally stopped.",
        )
        assert "run_train with resume=true" in failure["advice"]
        await goes_on(agent)


async def test_a_training_that_waits_says_why_and_can_be_cancelled(folder: Folder) -> None:
    rules = folder.json("user_defined_rules.json")["execution_config"]
    folder.set_rules(execution_config={**rules, "resources": {"cpus": 500}})
    async with connected(folder) as agent:
        await agent.call("start_loop")
        await agent.call("run_train", version=1)
        answer = await agent.call("next_step", brief=False)
        told = answer["job"]["waiting"]
        assert told.startswith("waits in Ray's queue: PENDING: Job has not started yet.")
        assert "it asks for 500 CPU and no node has more than" in told
        await agent.call("cancel_run", version=1)
        assert (await agent.call("next_step", brief=False))["failure"]["kind"] == "cancelled"


async def test_doctor_runs_a_job_there(folder: Folder) -> None:
    found = await anyio.to_thread.run_sync(probe, folder.project())
    assert found.state == "ended", found
    assert found.detail.startswith("Ray ran a job in ")
    assert not folder.path(STATE).exists()


@pytest.mark.whole
def test_digits_trained_there_scores_to_the_last_digit_as_on_this_machine(
    folder: Folder, digits_here: Scores, tmp_path: Path
) -> None:
    root = tmp_path / "there"
    assert digits(root, 1, folder.json("user_defined_rules.json")["execution_config"]) == digits_here
    assert submitted(Folder(root)) == ["eval-001", "train-001"]
    assert digits_here["v001"]["accuracy"] > 0.8
