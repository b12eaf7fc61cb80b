"""What runs on a cluster leaves its facts as what runs here: the variables go with the job to each process."""

import json
import os
import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from loop.record.conftest import COMMON

from progressive_training.loop.jobs.backends import Backends, batch
from progressive_training.loop.jobs.job import Recording
from progressive_training.loop.jobs.logs import tail
from progressive_training.loop.jobs.placing import command, placed
from progressive_training.loop.jobs.runner import attempt_files as files
from progressive_training.loop.record import injection
from progressive_training.loop.record.ranks import RunFacts, run_facts
from progressive_training.loop.rules.execution import ExecutionConfig
from support.clusters.ray import ray
from support.clusters.slurm import slurm
from support.jobs import finish, job
from support.several import LIGHTNING

LOOP = """
model = nn.Linear(4, 2)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for inputs, labels in DataLoader(samples(100, 1), 20):
    F.cross_entropy(model(inputs), labels).backward()
    optimizer.step()
"""


def recorded(work: Path, text: str, config: dict[str, Any]) -> RunFacts:
    facts = work / "facts"
    facts.mkdir()
    (work / "train.py").write_text(text)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        meet = f"export MASTER_ADDR=127.0.0.1 MASTER_PORT={free.getsockname()[1]}"
    rules = ExecutionConfig.model_validate_json(json.dumps({**config, "setup": [meet]}))
    python_path = str(injection.RECORDER / "site")
    recording = Recording({injection.FACTS: str(facts)}, python_path, injection.late_install(facts))
    planned = replace(
        job(work, "", timeout=200.0),
        argv=command(rules, sys.executable, "train.py"),
        env={"PATH": os.environ["PATH"], "HOME": str(work), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        recording=recording,
    )
    executor = Backends()
    executor.submit(work / "attempt", placed(planned, rules))
    outcome = finish(executor, work / "attempt", 200.0)
    assert outcome.rc == 0, tail(work / "attempt" / files.LOG, 16_384)
    return run_facts(facts)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    batch.cache_clear()
    folder = tmp_path / "it's a 한글 folder"
    folder.mkdir()
    return folder


@pytest.mark.whole
def test_the_ranks_of_two_slurm_nodes_are_one_run(work: Path) -> None:
    cluster = slurm()
    try:
        config = {"executor": "slurm", "resources": {"cpus": 1, "memory_gb": 2, "nodes": 2}}
        run = recorded(work, LIGHTNING, config)
    finally:
        cluster.drain()
    assert not run.problems
    (fit,) = run.fits
    assert (run.world_size, len(fit.ranks), fit.epochs_run, fit.steps) == (2, 2, 1, 4)
    assert fit.first.settings is not None and fit.first.settings.num_nodes == 2
    assert fit.samples_per_epoch == 64


def test_a_job_on_ray_leaves_its_facts(work: Path) -> None:
    run = recorded(
        work, COMMON + LOOP, {"executor": "ray", "ray": {"address": ray().address}, "resources": {"cpus": 1}}
    )
    assert not run.problems
    (loop,) = run.loops
    assert (loop.steps, loop.loaders[0].sizes) == (5, ((20, 5),))
