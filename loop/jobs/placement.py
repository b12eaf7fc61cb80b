"""Where a job runs that doesn't run on this machine, and what it asks for there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import ConfigDict

Backend = Literal["slurm", "ray"]


@dataclass(frozen=True)
class Placement:
    """What the scheduler is asked for; None = what it gives by itself.

    `gpus` and `cpus` are for each node, and so is `memory_gb`. `minutes` is the scheduler's own time limit. `tasks` is
    how many processes `srun` starts on each node. `setup` are shell lines that run on the node before the job.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(strict=True, extra="forbid", defer_build=True)

    backend: Backend
    gpus: int = 0
    cpus: int | None = None
    memory_gb: float | None = None
    minutes: float | None = None
    nodes: int = 1
    tasks: int = 1
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    extra: tuple[str, ...] = ()
    address: str | None = None
    setup: tuple[str, ...] = ()
