"""execution_config: where jobs run, what they ask for, and what is refused."""

import json
from dataclasses import replace

import pytest

from progressive_training.loop.errors import RulesError
from progressive_training.loop.jobs.job import Job
from progressive_training.loop.jobs.placing import command, placed
from progressive_training.loop.rules.execution import ExecutionConfig
from progressive_training.loop.rules.reading import parse_rules

JOB = Job(
    kind="train",
    version_id="v001",
    attempt=1,
    argv=("/usr/bin/python3", "02_train_v001.py"),
    cwd="/tmp/내 project",
    env={"PATH": "/usr/bin", "CUDA_VISIBLE_DEVICES": "0", "HF_HOME": "/data/hf"},
    timeout_seconds=600,
    imports=("torch",),
)


def config(**execution: object) -> ExecutionConfig:
    text = json.dumps({"execution_config": execution}, ensure_ascii=False)
    return parse_rules(text.encode(), "user_defined_rules.json").execution_config


@pytest.mark.parametrize(
    ("execution", "told"),
    [
        ({"executer": "slurm"}, "execution_config.executer: there is no such key"),
        ({"executor": "kubernetes"}, "execution_config.executor: input should be 'local', 'slurm' or 'ray'"),
        ({"resources": {"gpu": 1}}, "execution_config.resources.gpu: there is no such key"),
        ({"resources": {"gpus": -1}}, "execution_config.resources.gpus: input should be greater than or equal to 0"),
        ({"resources": {"cpus": 0}}, "greater than or equal to 1"),
        ({"resources": {"memory_gb": 0}}, "greater than 0"),
        ({"resources": {"minutes": "60"}}, "execution_config.resources.minutes"),
        ({"resources": {"nodes": 2}}, "resources.nodes is 2, and executor local gives one; slurm gives more"),
        ({"executor": "ray", "resources": {"nodes": 2}}, "executor ray gives one"),
        (
            {"executor": "slurm", "resources": {"nodes": 2}, "launcher": "script"},
            "launcher script starts a training on",
        ),
        ({"launcher": "srun"}, "launcher srun is Slurm's, and executor is local; torchrun works everywhere"),
        (
            {"executor": "slurm", "launcher": "srun", "sandbox": "require"},
            "can't start processes from inside the sandbox",
        ),
        ({"processes_per_node": 2}, "processes_per_node is for launcher torchrun or srun"),
        ({"slurm": {"partition": "a b"}}, "execution_config.slurm.partition: must be a name without spaces"),
        ({"slurm": {"extra": ["--output=elsewhere"]}}, "is set by the loop itself"),
        ({"slurm": {"extra": ["-p main"]}}, "must be one option of sbatch"),
        ({"slurm": {"extra": ["--comment=a\nrm -rf /"]}}, "must be one option of sbatch"),
        ({"ray": {"address": "http://me:secret@host:8265"}}, "name and password belong in the environment"),
        ({"ray": {"token": "secret"}}, "execution_config.ray.token: there is no such key"),
        ({"setup": ["module load cuda\nrm -rf /"]}, "must be one line of shell"),
    ],
)
def test_what_is_misspelt_or_impossible_is_refused_with_its_place_and_reason(
    execution: dict[str, object], told: str
) -> None:
    with pytest.raises(RulesError) as refused:
        config(**execution)
    assert told in str(refused.value)
    assert "user_defined_rules.json:1:" in str(refused.value), "the place in the file"


def test_a_job_of_this_machine_is_left_as_it_is() -> None:
    assert placed(JOB, config(resources={"gpus": 4})) == JOB


def test_a_job_of_a_cluster_asks_for_what_the_rules_say_and_takes_its_nodes_variables() -> None:
    asked = {"gpus": 2, "cpus": 8, "memory_gb": 32.5, "nodes": 2}
    slurm = {"partition": "gpu", "account": "us", "qos": "high", "extra": ["--constraint=a100&ib"]}
    job = placed(
        JOB, config(executor="slurm", resources=asked, slurm=slurm, setup=["module load cuda"], env=["HF_HOME"])
    )
    found = job.placement
    assert found is not None
    assert (found.gpus, found.cpus, found.memory_gb, found.nodes, found.tasks) == (2, 8, 32.5, 2, 2)
    assert (found.partition, found.account, found.qos) == ("gpu", "us", "high")
    assert found.extra == ("--constraint=a100&ib",) and found.setup == ("module load cuda",)
    assert found.minutes == 12, "above the job's own limit, which ends it sooner and says so"
    assert job.env == {"PATH": "/usr/bin", "HF_HOME": "/data/hf"}, "this machine's GPUs say nothing about the node's"
    assert {"HF_HOME", "SLURM_*", "CUDA_*"} <= set(job.inherits)
    assert job.imports is None, "no interpreter waits on a node that isn't given yet"
    assert Job.from_json(job.to_json()) == job


@pytest.mark.parametrize(
    ("minutes", "seconds"), [(2.5, 150.0), (1000.0, JOB.timeout_seconds), (None, JOB.timeout_seconds)]
)
def test_on_ray_the_runner_keeps_the_time_that_the_rules_allow(minutes: float | None, seconds: float) -> None:
    asked = {} if minutes is None else {"minutes": minutes}
    assert placed(JOB, config(executor="ray", resources=asked)).timeout_seconds == seconds
    assert placed(JOB, config(executor="slurm", resources=asked)).timeout_seconds == JOB.timeout_seconds


def test_an_evaluation_takes_one_node_and_at_most_one_gpu() -> None:
    job = placed(replace(JOB, kind="eval"), config(executor="slurm", resources={"gpus": 8, "nodes": 4}))
    assert job.placement is not None
    assert (job.placement.gpus, job.placement.nodes, job.placement.tasks) == (1, 1, 1)


@pytest.mark.parametrize(
    ("execution", "expected"),
    [
        ({"resources": {"gpus": 4}}, "python train.py"),
        (
            {"launcher": "torchrun"},
            "python -m torch.distributed.run --standalone --local_addr=127.0.0.1 --nproc_per_node=1 train.py",
        ),
        (
            {"launcher": "torchrun", "resources": {"gpus": 4}},
            "python -m torch.distributed.run --standalone --local_addr=127.0.0.1 --nproc_per_node=4 train.py",
        ),
        (
            {"executor": "slurm", "resources": {"nodes": 2}},
            "srun --export=ALL --kill-on-bad-exit=1 --mpi=none python train.py",
        ),
        (
            {"executor": "slurm", "launcher": "srun", "resources": {"gpus": 4, "cpus": 32}},
            "srun --export=ALL --kill-on-bad-exit=1 --mpi=none --cpus-per-task=8 python train.py",
        ),
    ],
)
def test_who_starts_the_processes_of_a_training(execution: dict[str, object], expected: str) -> None:
    assert " ".join(command(config(**execution), "python", "train.py")) == expected
