"""execution_config of the user's rules: who runs the scripts, where, and within which limits."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

# What submit.sh says by itself; a second word of the user's would make one of the two void.
_OURS = ("--job-name", "--output", "--error", "--export", "--chdir", "--requeue", "--no-requeue", "--array", "--wait")


class Section(BaseModel):
    """Strict about the keys that it knows; unknown keys are kept, so that read_rules can show them."""

    model_config = ConfigDict(frozen=True, strict=True, extra="allow", defer_build=True)


class _Exact(Section):
    """Refuses unknown keys: a misspelt one would let a job run elsewhere, or with less, than the user meant."""

    model_config = ConfigDict(extra="forbid")


def _server_address(text: str) -> str:
    if not re.fullmatch(r"https?://[^/@?#\s]+(/[^@?#\s]*)?", text):
        raise ValueError("must be http://HOST:PORT or https://…; name and password belong in the environment")
    return text


def _line(text: str) -> str:
    if not text.strip() or "\n" in text or "\0" in text:
        raise ValueError("must be one line of shell")
    return text


def _word(text: str) -> str:
    if not re.fullmatch(r"[\w.,@+-]+", text) or text.startswith("-"):
        raise ValueError("must be a name without spaces")
    return text


def _option(text: str) -> str:
    if not re.fullmatch(r"--[a-z][a-z-]*(=[^\n\0]+)?", text):
        raise ValueError("must be one option of sbatch, as --name or --name=value")
    if text.partition("=")[0] in _OURS:
        raise ValueError("is set by the loop itself")
    return text


def _mount(text: str) -> str:
    whole = text.startswith(("/", "~/")) and ".." not in text.split("/") and "\0" not in text and "\n" not in text
    if not whole or not text.strip("~/"):
        raise ValueError("must be the whole path of one folder or file, from / or ~/ on")
    return text


ServerAddress = Annotated[str, AfterValidator(_server_address)]
_Word = Annotated[str, AfterValidator(_word)]


class Resources(_Exact):
    """What one training asks of a cluster; `gpus`, `cpus` and `memory_gb` are for each node."""

    gpus: Annotated[int, Field(ge=0, le=1024)] = 0
    cpus: Annotated[int, Field(ge=1, le=100_000)] | None = None
    memory_gb: Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)] | None = None
    minutes: Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)] | None = None
    nodes: Annotated[int, Field(ge=1, le=100_000)] = 1


class SlurmConfig(_Exact):
    partition: _Word | None = None
    account: _Word | None = None
    qos: _Word | None = None
    extra: tuple[Annotated[str, AfterValidator(_option)], ...] = ()


class RayConfig(_Exact):
    # No token in it: agents are shown the rules. docs/clusters.md says where it comes from.
    address: ServerAddress = "http://127.0.0.1:8265"


class ExecutionConfig(_Exact):
    python: Annotated[str, Field(min_length=1)] | None = None
    env: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    executor: Literal["local", "slurm", "ray"] = "local"
    resources: Resources = Field(default_factory=Resources)
    slurm: SlurmConfig = Field(default_factory=SlurmConfig)
    ray: RayConfig = Field(default_factory=RayConfig)
    setup: tuple[Annotated[str, AfterValidator(_line)], ...] = ()
    launcher: Literal["script", "torchrun", "srun"] | None = None
    max_parallel: Annotated[int, Field(ge=1, le=1000)] | None = None
    processes_per_node: Annotated[int, Field(ge=1, le=1024)] | None = None
    sandbox: Literal["auto", "require", "off"] = "auto"
    network: bool = False
    mounts: tuple[Annotated[str, AfterValidator(_mount)], ...] = ()
    warm_start: bool = True
    max_processes: Annotated[int, Field(ge=1, le=1_000_000)] = 2048
    max_files: Annotated[int, Field(ge=100, le=100_000_000)] = 100_000
    max_artifact_gb: Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)] = 100.0
    min_free_gb: Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)] = 1.0
    trash_gb: Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)] = 5.0
    allow_network_filesystem: bool = False

    @property
    def launched_by(self) -> Literal["script", "torchrun", "srun"]:
        """Who starts the processes of a training: the script itself, unless it runs on several nodes."""
        return self.launcher or ("script" if self.resources.nodes == 1 else "srun")

    @property
    def processes(self) -> int:
        """How many `torchrun` or `srun` start on each node: one for each GPU."""
        return self.processes_per_node or max(1, self.resources.gpus)

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        nodes, by = self.resources.nodes, self.launched_by
        if nodes > 1 and self.executor != "slurm":
            raise ValueError(f"resources.nodes is {nodes}, and executor {self.executor} gives one; slurm gives more")
        if nodes > 1 and by != "srun":
            raise ValueError(f"launcher {by} starts a training on one node, and resources.nodes is {nodes}; use srun")
        if by == "srun" and self.executor != "slurm":
            raise ValueError(f"launcher srun is Slurm's, and executor is {self.executor}; torchrun works everywhere")
        if by == "srun" and self.sandbox == "require":
            raise ValueError("launcher srun can't start processes from inside the sandbox, which sandbox requires")
        if by == "script" and self.processes_per_node is not None:
            raise ValueError("processes_per_node is for launcher torchrun or srun; a script starts its own processes")
        return self
