"""Where a job goes by the rules: this machine or a cluster, and who starts a training's processes."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from ..rules.execution import ExecutionConfig
from .job import Job
from .placement import Placement

# How a machine is set up: a node's own count, not those of the machine that the server runs on.
_OF_THE_NODE = (
    *("PATH", "LD_LIBRARY_PATH", "HOME", "USER", "LOGNAME", "SHELL", "HOSTNAME", "VIRTUAL_ENV"),
    *("CUDA_*", "NVIDIA_*", "ROCR_*", "HIP_*", "GPU_DEVICE_ORDINAL", "NCCL_*", "UCX_*", "FI_*", "OMPI_*", "PMI*"),
    *("CONDA_*", "MODULE*", "LOADEDMODULES", "LMOD_*", "_LMFILES_", "OMP_NUM_THREADS"),
)
_OF_THE_SCHEDULER: Mapping[Literal["slurm", "ray"], tuple[str, ...]] = {
    "slurm": ("SLURM_*", "SLURMD_*", "SRUN_*"),
    "ray": ("RAY_ADDRESS", "RAY_JOB_ID"),
}
_NOT_SENT = ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "LD_LIBRARY_PATH", "OMP_NUM_THREADS")


def command(config: ExecutionConfig, python: str, script: str) -> tuple[str, ...]:
    """How a training is started: as it is, or once for each of its processes."""
    if config.launched_by == "torchrun":
        # By the machine's name the ranks would wait for each other for ever in a sandbox without a network.
        alone = ("--standalone", "--local_addr=127.0.0.1")
        return (python, "-m", "torch.distributed.run", *alone, f"--nproc_per_node={config.processes}", script)
    if config.launched_by == "srun":
        # Since --export=NONE is sbatch's, it would be srun's as well, and since Slurm 22.05 --cpus-per-task is not.
        share = (
            () if (cpus := config.resources.cpus) is None else (f"--cpus-per-task={max(1, cpus // config.processes)}",)
        )
        # A rank that fails ends the others, which would wait for it for ever.
        return ("srun", "--export=ALL", "--kill-on-bad-exit=1", "--mpi=none", *share, python, script)
    return (python, script)


def placed(job: Job, config: ExecutionConfig) -> Job:
    """The same job for the executor of the rules. Evaluations take one node and at most one GPU."""
    if config.executor == "local":
        return job
    train, asked, slurm = job.kind == "train", config.resources, config.slurm
    minutes = asked.minutes
    if minutes is None and job.timeout_seconds is not None:
        # The runner's own limit ends the job sooner, and says so.
        minutes = math.ceil((job.timeout_seconds + 2 * job.grace_seconds) / 60) + 1
    limit = job.timeout_seconds
    if config.executor == "ray" and asked.minutes is not None:
        # Ray has no time limit: the runner keeps it.
        limit = min(limit or math.inf, asked.minutes * 60)
    placement = Placement(
        backend=config.executor,
        gpus=asked.gpus if train else min(asked.gpus, 1),
        cpus=asked.cpus,
        memory_gb=asked.memory_gb,
        minutes=minutes,
        nodes=asked.nodes if train else 1,
        tasks=config.processes if train and config.launched_by == "srun" else 1,
        partition=slurm.partition,
        account=slurm.account,
        qos=slurm.qos,
        extra=slurm.extra,
        address=config.ray.address if config.executor == "ray" else None,
        setup=config.setup,
    )
    return replace(
        job,
        timeout_seconds=limit,
        env={name: value for name, value in job.env.items() if name not in _NOT_SENT},
        inherits=(*_OF_THE_NODE, *_OF_THE_SCHEDULER[config.executor], *config.env),
        placement=placement,
        imports=None,
    )
