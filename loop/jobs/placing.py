"""What the rules make of a job: its command line, its place (this machine or a cluster), its sandbox, its limits."""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ..errors import RunError
from ..record.injection import RECORDER
from ..rules.execution import ExecutionConfig
from ..store.paths import ARTIFACTS, RULES_FILE, Workspace
from . import fallback, sandbox
from .job import Job, Placement
from .runner.attempt_files import SCRATCH
from .view import Confines, ProjectView, holds_a_home, interpreter_folders, libraries

_GIB = 1 << 30
# In every sandbox, since one that waits is not yet of any job.
_RECORDER = RECORDER.resolve()

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


@dataclass(frozen=True)
class Level:
    """`name` is what receipts record: "bubblewrap", "Landlock: …" with what that doesn't hold, or "none: …" with the
    reason. `lacks` is why it isn't bubblewrap, where the rules would have it."""

    name: str
    confined: bool
    kind: Literal["bubblewrap", "landlock", "none"] = "none"
    lacks: str | None = None


def level(config: ExecutionConfig) -> Level:
    """The sandbox that jobs get: what the rules ask for, as far as this machine can do it.

    Raises `RunError` if they require what it can't.
    """
    if config.sandbox == "off":
        return Level(f"none: execution_config.sandbox is off in {RULES_FILE}", confined=False)
    if config.executor != "local" and config.sandbox == "auto":
        given = f"jobs on {config.executor} have what their node gives them"
        return Level(f"none: {given}; sandbox: require asks for bubblewrap there", confined=False)
    problem = sandbox.problem(network=config.network)
    if problem is None:
        name = "bubblewrap, network allowed" if config.network else "bubblewrap"
        return Level(name, confined=True, kind="bubblewrap")
    if config.sandbox == "require":
        raise RunError(
            f"the rules require a sandbox, and {problem}",
            where="execution_config.sandbox",
            hint=f"{sandbox.INSTALL}, or ask the user to set it to auto; nothing was started",
        )
    held = fallback.holds()
    if held.problem is not None:
        return Level(f"none: {problem}; {held.problem}", confined=False, lacks=problem)
    name = f"Landlock: {problem}; not kept from a job: {held.told(network=config.network)}"
    return Level(name, confined=True, kind="landlock", lacks=problem)


@dataclass(frozen=True)
class Needs:
    """What one job has of its project besides what all have; paths relative to it, of what exists.

    `writable` are folders. `own` it may read, though nobody else's job does: its attempt, the weights that it scores.
    """

    dataset_id: str
    writable: tuple[str, ...]
    own: tuple[str, ...] = ()


def confined(job: Job, attempt: Path, workspace: Workspace, config: ExecutionConfig, needs: Needs) -> Job:
    """The job as the rules let it run: inside the sandbox and its limits, on this machine or a cluster.

    `attempt` is the attempt's folder.

    Raises `RunError` as level() does, and for one of execution_config.mounts that isn't there.
    """
    folders = tuple(workspace.tree.path(name) for name in needs.writable)
    most = round(config.max_artifact_gb * _GIB)
    job = replace(
        job,
        max_processes=config.max_processes,
        max_threads=config.max_processes * 32,
        max_file_bytes=most,
        max_files=config.max_files,
        watched=tuple(str(folder) for folder in folders),
        max_watched_bytes=most,
    )
    found = level(config)
    if not found.confined:
        return placed(job, config)
    workspace.tree.make_folder(ARTIFACTS)
    confines = seen(job.argv[0], job.env, attempt, workspace, config, needs)
    if found.kind == "landlock":
        return placed(
            replace(job, landlock=fallback.of(confines, one_process=config.launched_by == "script"), imports=None),
            config,
        )
    return placed(replace(job, wrapper=sandbox.wrapper(confines), env=_environment(job.env)), config)


def seen(
    python: str, env: Mapping[str, str], attempt: Path, workspace: Workspace, config: ExecutionConfig, needs: Needs
) -> Confines:
    """What a job with this interpreter and these variables sees in a sandbox. Raises `RunError` as confined() does."""
    places = (workspace.tree.path(name).resolve() for name in needs.own)  # an external model may be a link
    own = tuple(path for path in places if path.exists() and not holds_a_home(path))
    readable = (
        *(place for path in mounts(config) for place in (path, path.resolve())),
        *interpreter_folders(sys.executable),
        *interpreter_folders(python),
        *libraries(env),
        _RECORDER,
    )
    confines = Confines(
        scratch=attempt / SCRATCH,
        writable=tuple(workspace.tree.path(name) for name in needs.writable),
        readable=readable,
        network=config.network,
    )
    return confines.with_project(ProjectView(workspace, needs.dataset_id, own))


def mounts(config: ExecutionConfig) -> tuple[Path, ...]:
    """What the user adds to the sandbox, to be read. Raises `RunError` for what isn't there."""
    found = tuple(Path(text).expanduser() for text in config.mounts)
    for path in found:
        if not path.exists():
            raise RunError(
                f"{path} isn't there",
                where="execution_config.mounts",
                hint=f"name a folder or a file that is, or ask the user to take it out of {RULES_FILE}",
            )
    return found


def _environment(env: Mapping[str, str]) -> Mapping[str, str]:
    return {**sandbox.ENVIRONMENT, **env}
