"""Trainings of several processes: started on every node, one failure told for all, none left behind."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from progressive_training.loop.jobs import sandbox, view
from progressive_training.loop.jobs.backends import Backends, batch
from progressive_training.loop.jobs.job import Job, Outcome
from progressive_training.loop.jobs.logs import tail
from progressive_training.loop.jobs.placing import command, placed
from progressive_training.loop.jobs.runner import attempt_files as files
from progressive_training.loop.project.failures import Failure, process_failure
from progressive_training.loop.project.receipts import TrainReceipt
from progressive_training.loop.project.version import Version
from progressive_training.loop.rules.execution import ExecutionConfig
from support.clusters.slurm import slurm
from support.jobs import STAY, alive, finish, job, pid_in, wait_for
from support.projects import STATE, Folder, connected
from support.several import LIGHTNING, RANKS, SHARED

TORCHRUN: dict[str, Any] = {"launcher": "torchrun", "processes_per_node": 2}
ON_SLURM: dict[str, Any] = {"executor": "slurm", "resources": {"cpus": 2, "memory_gb": 2}}
SRUN: dict[str, Any] = {**ON_SLURM, "launcher": "srun", "processes_per_node": 2}


@pytest.fixture(autouse=True)
def cluster() -> Iterator[None]:
    running = slurm()
    batch.cache_clear()
    yield
    running.drain()


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "it's a 한글 folder"
    folder.mkdir()
    return folder


def of_several(work: Path, text: str, config: dict[str, Any], *arguments: str) -> Job:
    (work / "train.py").write_text(text)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        # The nodes of the tests' cluster have no names of their own; a real cluster's have.
        meet = f"export MASTER_ADDR=127.0.0.1 MASTER_PORT={free.getsockname()[1]}"
    rules = ExecutionConfig.model_validate_json(json.dumps({**config, "setup": [meet] if "executor" in config else []}))
    argv = (*command(rules, sys.executable, "train.py"), *arguments)
    environment = {"PATH": os.environ["PATH"], "HOME": str(work), "OMP_NUM_THREADS": "1"}
    return placed(replace(job(work, "", timeout=150.0), argv=argv, env=environment), rules)


def run(work: Path, planned: Job) -> tuple[Outcome, str]:
    executor = Backends()
    executor.submit(work / "attempt", planned)
    return finish(executor, work / "attempt", 180.0), tail(work / "attempt" / files.LOG, 16_384)


def told(outcome: Outcome, log: str) -> Failure:
    failure = process_failure(outcome, log, limit_minutes=None)
    assert failure is not None
    return failure


def numbers(folder: Folder) -> list[float]:
    """What the only training of the project has logged, row by row."""
    (log,) = folder.root.glob("Models/Artifacts/*/logs/version_0/metrics.csv")
    return [float(value) for line in log.read_text().splitlines()[1:] for value in line.split(",")]


@pytest.mark.parametrize("config", [TORCHRUN, SRUN], ids=["torchrun", "srun"])
@pytest.mark.whole(but="torchrun")
def test_the_failure_of_one_rank_is_the_cause_whatever_the_launcher_and_the_others_say(
    work: Path, config: dict[str, Any]
) -> None:
    outcome, log = run(work, of_several(work, RANKS, config, "raise ValueError('of rank 1')"))
    failure = told(outcome, log)
    assert (failure.kind, failure.summary) == ("code error", f"exit code {outcome.rc}: ValueError: of rank 1"), log
    assert "of rank 1" in failure.trace


@pytest.mark.parametrize("config", [{**ON_SLURM, **TORCHRUN}, SRUN], ids=["torchrun", "srun"])
@pytest.mark.whole(but="torchrun")
def test_two_ranks_find_each_other_and_a_cancellation_ends_both(work: Path, config: dict[str, Any]) -> None:
    executor = Backends()
    text = RANKS + STAY + "stay(f'rank{rank}')"
    executor.submit(work / "attempt", of_several(work, text, config))
    pids = [pid_in(work / f"rank{rank}") for rank in (0, 1)]
    both = ("rank 0 of 2: 3", "rank 1 of 2: 3")  # two write at once, so that a line may hold what both say
    wait_for(lambda: all(one in tail(work / "attempt" / files.LOG) for one in both), "what both say")
    outcome = executor.cancel(work / "attempt").outcome
    assert outcome is not None and outcome.reason == "cancelled"
    assert not any(alive(pid) for pid in pids)


@pytest.mark.anyio
@pytest.mark.parametrize(("rule", "within"), [("require", "bubblewrap"), ("off", "none: ")], ids=["inside", "outside"])
@pytest.mark.whole
async def test_two_ranks_on_this_machine_learn_what_one_learns_inside_the_sandbox_and_without(
    folder: Folder, rule: str, within: str
) -> None:
    subprocess.run([sys.executable, "02_train_baseline.py"], cwd=folder.root, check=True, stdout=subprocess.DEVNULL)
    alone = numbers(folder)
    shutil.rmtree(folder.path("Models"))
    folder.write("02_train_baseline.py", SHARED)
    folder.set_rules(execution_config={**TORCHRUN, "sandbox": rule})
    async with connected(folder) as agent:
        await agent.call("start_loop")
        answer = await agent.train()
    said = tail(folder.path(f"{STATE}/attempts/v001/train-001") / files.LOG)
    assert (answer["state"], answer.get("epochs")) == ("done", 3), said
    assert all(f"rank {rank} of 2: 5 samples" in said for rank in (0, 1)), said
    receipt = Version(folder.project(), 1).receipt(TrainReceipt)
    assert receipt is not None and receipt.sandbox.startswith(within)
    assert numbers(folder) == pytest.approx(alone)


@pytest.mark.whole
def test_ranks_find_each_other_where_the_network_does_not_know_this_machines_name(work: Path) -> None:
    own = (work, *view.interpreter_folders(sys.executable))
    inside = sandbox.wrapper(view.Confines(work / "attempt" / files.SCRATCH, (work,), own, network=False))
    planned = replace(of_several(work, RANKS, TORCHRUN), wrapper=(*inside, "--unshare-uts", "--hostname", "elsewhere"))
    outcome, log = run(work, replace(planned, timeout_seconds=60.0))
    assert outcome.rc == 0, log
    assert {"rank 0 of 2: 3", "rank 1 of 2: 3"} <= set(log.splitlines())


@pytest.mark.whole
def test_lightning_trains_on_two_nodes_with_one_result(work: Path) -> None:
    config = {**ON_SLURM, "resources": {"cpus": 1, "memory_gb": 2, "nodes": 2}}
    outcome, log = run(work, of_several(work, LIGHTNING, config))
    assert outcome.rc == 0, log
    ends = re.findall(r"^rank (\d) of 2: 4 steps, (\S+)$", log, re.MULTILINE)
    assert sorted(rank for rank, _ in ends) == ["0", "1"], log
    assert len({weights for _, weights in ends}) == 1


def test_a_rank_that_was_killed_is_told_apart_from_one_that_failed() -> None:
    killed = "\n".join(
        (
            "[rank0]: Traceback (most recent call last):",
            '[rank0]:   File "train.py", line 7, in <module>',
            "[rank0]: RuntimeError: Connection closed by peer",
            "srun: error: node7: task 1: {how}",
            "srun: error: node7: task 0: Exited with exit code 1",
        )
    )
    outcome = Outcome(137, None, None, "exited", 1.0, 1.0, 1, (), None, None, log_truncated=False)
    assert told(outcome, killed.format(how="Killed")).kind == "killed"
    assert told(outcome, killed.format(how="Out Of Memory")).kind == "out of memory"
    assert told(outcome, killed.format(how="Exited with exit code 1")).kind == "code error"


@pytest.mark.parametrize("together", ["0-1", "0,1", "0-3,7"])
def test_of_ranks_that_srun_names_together_the_first_to_fail_is_the_cause(together: str) -> None:
    log = "\n".join(
        (
            "[rank1]: Traceback (most recent call last):",
            '[rank1]:   File "train.py", line 8, in <module>',
            "[rank1]: ValueError: of rank 1",
            "[rank0]: Traceback (most recent call last):",
            '[rank0]:   File "train.py", line 9, in <module>',
            "[rank0]: RuntimeError: Connection closed by peer",
            f"srun: error: node7: tasks {together}: Exited with exit code 1",
        )
    )
    outcome = Outcome(1, None, None, "exited", 1.0, 1.0, 1, (), None, None, log_truncated=False)
    assert told(outcome, log).summary == "exit code 1: ValueError: of rank 1"
