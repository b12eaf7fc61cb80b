"""Jobs on a real Ray; what every executor promises is shown for it in test_every_executor.py."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from progressive_training.loop.errors import RunError
from progressive_training.loop.jobs.cluster import submission
from progressive_training.loop.jobs.cluster.executor import BatchExecutor
from progressive_training.loop.jobs.cluster.ray import Ray
from progressive_training.loop.jobs.executor import Executor
from progressive_training.loop.jobs.job import JobStatus, Placement
from progressive_training.loop.jobs.logs import tail
from progressive_training.loop.jobs.runner import attempt_files as files
from progressive_training.loop.project.failures import process_failure
from support.clusters.placed import Placed
from support.clusters.ray import RayCluster, on_ray, ray
from support.jobs import FAMILY, STAY, alive, finish, job, pid_in, run, submit_and_die, wait_for

SAVES = STAY + "signal.signal(signal.SIGTERM, lambda *_: (print('saved', flush=True), exit(5))); stay('script')"


@pytest.fixture(autouse=True)
def cluster() -> Iterator[RayCluster]:
    running = ray()
    yield running
    with httpx2.Client(base_url=running.address, trust_env=False) as client:
        left = [one for one in client.get("/api/jobs/").json() if one["status"] in ("PENDING", "RUNNING")]
        for one in left:  # a failed test's
            client.post(f"/api/jobs/{one['submission_id']}/stop").raise_for_status()


def id_of(attempt: Path) -> str:
    return json.loads((attempt / submission.ACCEPTED).read_text())["id"]


def told_of(cluster: RayCluster, attempt: Path) -> dict[str, Any]:
    """What Ray says of the attempt's job."""
    return httpx2.get(f"{cluster.address}/api/jobs/{id_of(attempt)}", trust_env=False).json()


def ended(executor: Executor, attempt: Path) -> JobStatus:
    wait_for(lambda: executor.poll(attempt).state != "running", "the end of the job", 60)
    return executor.poll(attempt)


def failure_of(status: JobStatus) -> tuple[str, str]:
    failure = process_failure(status.outcome, "", limit_minutes=None, requested=False, detail=status.detail)
    assert failure is not None
    return failure.kind, failure.summary


# What is asked for


def test_ray_is_told_what_the_job_needs_and_how_long_its_end_may_take(
    cluster: RayCluster, attempt: Path, work: Path
) -> None:
    executor = on_ray(cpus=2, memory_gb=0.5)
    run(executor, attempt, job(work, "pass", grace=7.5))
    told = told_of(cluster, attempt)
    assert told["submission_id"] == json.loads((attempt / files.BATCH).read_text())["name"]
    assert told["metadata"] == {
        "job_name": told["submission_id"],
        "grace": "7.5",
        "cpus": "2",
        "memory": f"{2**29}",
    }
    assert told["runtime_env"] == {"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": "23"}}
    assert str(attempt / submission.SCRIPT).split("'")[0] in told["entrypoint"]


def test_setup_lines_run_on_the_node_and_their_variables_reach_the_job(attempt: Path, work: Path) -> None:
    executor = on_ray(setup=("export MADE='two words'", "echo from the setup"))
    script = "import os; print(os.environ['MADE'], 'RAY_ADDRESS' in os.environ, os.environ.get('OMP_NUM_THREADS'))"
    run(executor, attempt, replace(job(work, script), inherits=("RAY_ADDRESS", "OMP_NUM_THREADS")))
    assert tail(attempt / files.LOG) == "two words True 1\n"
    assert tail(attempt / submission.OUTPUT) == "from the setup\n"


def test_nothing_of_the_servers_environment_reaches_ray_or_the_job(
    cluster: RayCluster, attempt: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ANTHROPIC_API_KEY", "RAY_AUTH_TOKEN", "RAY_CANARY"):
        monkeypatch.setenv(name, "secret-canary")
    monkeypatch.setenv("RAY_JOB_HEADERS", '{"X-Canary": "secret-canary"}')
    seen = work / "of the node"
    executor = on_ray(setup=(f"env > {submission.shlex.quote(str(seen))}",))
    script = "import os; print(dict(os.environ)); print(open(f'/proc/{os.getppid()}/environ').read())"
    run(executor, attempt, replace(job(work, script), inherits=("RAY_*", "PATH")))
    assert "canary" not in json.dumps(told_of(cluster, attempt)).lower()
    written = [path for path in (work, *work.rglob("*")) if path.is_file()]
    assert {files.JOB, files.BATCH, files.LOG, "of the node"} <= {path.name for path in written}
    assert not any(b"canary" in path.read_bytes().lower() for path in written)


# Waiting


def test_a_job_larger_than_any_node_says_so_and_can_be_taken_back(
    cluster: RayCluster, attempt: Path, work: Path
) -> None:
    executor = on_ray(cpus=500, memory_gb=1e6)
    executor.submit(attempt, job(work, STAY + "stay('script')"))
    told = executor.poll(attempt).waiting or ""
    assert told.startswith("waits in Ray's queue: PENDING: Job has not started yet. It may be waiting for resources")
    assert "it asks for 500 CPU and no node has more than " in told
    assert "it asks for 1e+06 GiB of memory and no node has more than " in told
    status = executor.cancel(attempt)
    assert status.outcome is not None
    assert (status.state, status.outcome.reason, status.outcome.detail) == ("finished", "cancelled", "it had not begun")
    assert on_ray().poll(attempt) == status
    assert told_of(cluster, attempt)["status"] == "PENDING", "Ray itself can't take it back"


def test_a_queued_job_that_was_cancelled_never_runs_when_its_turn_comes(
    cluster: RayCluster, attempt: Path, work: Path
) -> None:
    executor, second, third = on_ray(cpus=2), attempt.with_name("002"), attempt.with_name("003")
    executor.submit(attempt, job(work, STAY + "stay('first')"))
    pid_in(work / "first")
    for folder in (second, third):
        executor.submit(folder, job(work, f"open('{folder.name}', 'w')"))
    assert "other job" in (on_ray().poll(second).waiting or "")
    cancelled = on_ray().cancel(second)
    assert cancelled.outcome is not None and cancelled.outcome.reason == "cancelled"
    executor.cancel(attempt)
    assert finish(executor, third).rc == 0
    wait_for(lambda: told_of(cluster, second)["status"] in ("STOPPED", "FAILED"), "its turn")
    assert not (work / "002").exists()
    assert on_ray().poll(second) == cancelled


# Ends that are not the script's own


def test_a_job_that_somebody_else_stops_may_save_and_is_nobodys_fault(
    cluster: RayCluster, attempt: Path, work: Path
) -> None:
    executor = on_ray()
    executor.submit(attempt, job(work, SAVES))
    pid = pid_in(work / "script")
    httpx2.post(f"{cluster.address}/api/jobs/{id_of(attempt)}/stop", trust_env=False).raise_for_status()
    status = ended(executor, attempt)
    assert not alive(pid)
    assert tail(attempt / files.LOG) == "saved\n"
    assert failure_of(status)[0] == "killed"


def test_a_runner_that_ray_had_to_kill_leaves_a_cancelled_job_and_no_process(
    cluster: RayCluster, attempt: Path, work: Path
) -> None:
    executor = Placed(Ray(cluster.address, margin_seconds=1), Placement("ray", address=cluster.address))
    deaf = FAMILY.replace("while True:", "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    while True:")
    executor.submit(attempt, job(work, deaf + "stay('script')", grace=0))
    pids = [pid_in(work / name) for name in ("script", "child", "grandchild", "daemon")]
    os.kill(json.loads((attempt / files.RUNNER).read_text())["pid"], signal.SIGSTOP)
    status = executor.cancel(attempt)
    assert status.outcome is not None
    assert (status.state, status.outcome.reason) == ("finished", "cancelled")
    assert "STOPPED: Job was intentionally stopped." in (status.outcome.detail or "")
    wait_for(lambda: not any(alive(pid) for pid in pids), "the end of its processes")


def test_a_dead_supervisor_takes_the_whole_tree_along_and_is_nobodys_fault(
    cluster: RayCluster, attempt: Path, work: Path
) -> None:
    executor = on_ray()
    executor.submit(attempt, job(work, FAMILY + "stay('script')", grace=1))
    pids = [pid_in(work / name) for name in ("script", "child", "grandchild", "daemon")]
    os.kill(cluster.supervisor(id_of(attempt)), signal.SIGKILL)
    status = ended(executor, attempt)
    assert not any(alive(pid) for pid in pids)
    kind, summary = failure_of(status)
    assert kind == "killed"
    assert summary.startswith("Ray ended it: FAILED: Job supervisor actor died: ")


def test_a_runner_that_dies_with_its_supervisor_is_lost(cluster: RayCluster, attempt: Path, work: Path) -> None:
    executor = on_ray()
    executor.submit(attempt, job(work, STAY + "stay('script')", grace=1))
    pid = pid_in(work / "script")
    runner = json.loads((attempt / files.RUNNER).read_text())["pid"]
    os.kill(runner, signal.SIGSTOP)
    os.kill(cluster.supervisor(id_of(attempt)), signal.SIGKILL)
    os.kill(runner, signal.SIGKILL)
    status = ended(executor, attempt)
    assert not alive(pid)
    kind, summary = failure_of(status)
    assert kind == "lost"
    assert summary.startswith("Ray: node failed (FAILED: Job supervisor actor died: ")


def test_a_lost_node_is_told_and_others_go_on(cluster: RayCluster, attempt: Path, work: Path) -> None:
    raylet = cluster.add_node(4)
    large, small = on_ray(cpus=4), on_ray(cpus=1)
    second = attempt.with_name("002")
    large.submit(attempt, job(work, FAMILY + "stay('script')", grace=1))
    pids = [pid_in(work / name) for name in ("script", "child", "grandchild", "daemon")]
    # The second node is full.
    small.submit(second, job(work, "import os, time\nwhile not os.path.exists('go'): time.sleep(0.01)"))
    wait_for((second / files.HEARTBEAT).exists, "its beginning")
    os.kill(raylet, signal.SIGKILL)
    status = ended(large, attempt)
    assert not any(alive(pid) for pid in pids)
    kind, summary = failure_of(status)
    assert kind == "killed" and summary.startswith("Ray ended it: FAILED: ")
    (work / "go").touch()
    assert finish(small, second).rc == 0


def test_a_folder_that_the_node_does_not_see_as_we_do_is_told(attempt: Path, work: Path) -> None:
    executor, second = on_ray(cpus=2), attempt.with_name("002")
    executor.submit(attempt, job(work, STAY + "stay('first')"))
    executor.submit(second, job(work, "open('second', 'w')"))
    pid_in(work / "first")
    (second / submission.TOKEN).write_text("of another folder\n")
    executor.cancel(attempt)
    status = ended(executor, second)
    assert status.state == "lost" and status.detail is not None
    assert "the project has to lie on a file system that the nodes share" in status.detail
    assert not (work / "second").exists()


# Servers that go away


def test_a_job_outlives_the_server_that_submitted_it(cluster: RayCluster, attempt: Path, work: Path) -> None:
    wait = "import os, time\nwhile not os.path.exists('go'): time.sleep(0.01)\nraise SystemExit(7)"
    placement = Placement("ray", address=cluster.address)
    submit_and_die(attempt, replace(job(work, wait), placement=placement))
    another = on_ray()
    wait_for((attempt / files.HEARTBEAT).exists, "its beginning")
    assert another.poll(attempt).state == "running"
    (work / "go").touch()
    assert finish(another, attempt).rc == 7


def test_a_job_whose_id_was_never_noted_is_found_by_its_name(attempt: Path, work: Path) -> None:
    on_ray().submit(attempt, job(work, STAY + "stay('script')"))
    name = id_of(attempt)
    (attempt / submission.ACCEPTED).unlink()
    pid = pid_in(work / "script")
    assert on_ray().poll(attempt).state == "running"
    assert id_of(attempt) == name
    (attempt / submission.ACCEPTED).unlink()
    outcome = on_ray().cancel(attempt).outcome
    assert outcome is not None and outcome.reason == "cancelled"
    assert not alive(pid)


def test_a_job_that_never_came_to_ray_is_lost(attempt: Path, work: Path) -> None:
    run(on_ray(), attempt, job(work, "pass"))
    (attempt / submission.ACCEPTED).unlink()
    record = json.loads((attempt / files.BATCH).read_text())
    (attempt / files.BATCH).write_text(json.dumps(record | {"name": "never-seen"}))
    (attempt / files.RESULT).unlink()
    status = on_ray().poll(attempt)
    assert (status.state, status.detail) == ("lost", "Ray knows nothing of the job any more, and it left no result")


# A protected cluster


@pytest.fixture
def protected() -> Iterator[RayCluster]:
    running = RayCluster(token="a-token-of-this-test")
    yield running
    running.stop()


def test_a_protected_cluster_takes_jobs_with_its_token_only(
    protected: RayCluster, attempt: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def executor() -> BatchExecutor:
        return Placed(Ray(protected.address), Placement("ray", address=protected.address))

    monkeypatch.setenv("HOME", str(work))
    with pytest.raises(RunError, match=r"refuses us \(401\): it wants a token\nNext: set RAY_AUTH_TOKEN or"):
        executor().submit(attempt, job(work, "pass"))
    monkeypatch.setenv("RAY_AUTH_TOKEN", "another token")
    with pytest.raises(RunError, match=r"refuses us \(403\): the token is not the cluster's"):
        executor().submit(attempt, job(work, "pass"))
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    (work / ".ray").mkdir()
    (work / ".ray" / "auth_token").write_text("a-token-of-this-test\n")
    assert run(executor(), attempt, job(work, "raise SystemExit(3)")).rc == 3
