"""How confined user code runs: the sandbox that the rules ask for, and its limits on processes and disk."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import RunError
from ..project.attempts import Attempt
from ..project.project import Project
from ..rules.execution import ExecutionConfig
from ..rules.reading import Rules
from ..store.paths import EXTERNAL, PREPDATA, RULES_FILE
from . import sandbox
from .job import Job
from .placing import placed
from .runner.attempt_files import SCRATCH

_GIB = 1 << 30


@dataclass(frozen=True)
class Level:
    """`name` is what receipts record: "bubblewrap", or "none: …" with the reason."""

    name: str
    confined: bool


def level(config: ExecutionConfig) -> Level:
    """What the rules ask for and this machine can do. Raises `RunError` if they require what it can't."""
    if config.sandbox == "off":
        return Level(f"none: execution_config.sandbox is off in {RULES_FILE}", confined=False)
    if config.executor != "local" and config.sandbox == "auto":
        told = f"jobs on {config.executor} have what their node gives them; sandbox: require asks for bubblewrap there"
        return Level(f"none: {told}", confined=False)
    problem = sandbox.problem(network=config.network)
    if problem is None:
        return Level("bubblewrap, network allowed" if config.network else "bubblewrap", confined=True)
    if config.sandbox == "require":
        raise RunError(
            f"the rules require a sandbox, and {problem}",
            where="execution_config.sandbox",
            hint=f"{sandbox.INSTALL}, or ask the user to set it to auto; nothing was started",
        )
    return Level(f"none: {problem}", confined=False)


def confined(job: Job, attempt: Attempt, rules: Rules, writable: tuple[str, ...]) -> Job:
    """The same job as it is run: inside the sandbox and its limits, and where the rules place it.

    `writable` are folders of the project, which must exist.

    Raises `RunError` as level() does.
    """
    config = rules.file.execution_config
    tree = attempt.project.workspace.tree
    folders = tuple(tree.path(name) for name in writable)
    most = round(config.max_artifact_gb * _GIB)
    job = replace(
        job,
        max_processes=config.max_processes,
        max_threads=config.max_processes * 32,
        max_file_bytes=most,
        watched=tuple(str(folder) for folder in folders),
        max_watched_bytes=most,
    )
    if not level(config).confined:
        return placed(job, config)
    confines = sandbox.Confines(
        scratch=attempt.path / SCRATCH,
        writable=folders,
        readable=_readable(attempt.project, job.argv[0]),
        network=config.network,
    )
    return placed(replace(job, wrapper=sandbox.wrapper(confines), env=_environment(job.env)), config)


def _environment(env: Mapping[str, str]) -> Mapping[str, str]:
    return {**sandbox.ENVIRONMENT, **env}


def _readable(project: Project, python: str) -> tuple[Path, ...]:
    """The project, what its links lead to, and both interpreters: the script's and the runner's."""
    root = project.workspace.root
    linked = sandbox.links_out((root, root / "dataset", root / PREPDATA, root / EXTERNAL))
    own = sandbox.interpreter_folders(sys.executable)
    return (*own, *sandbox.interpreter_folders(python), *linked, root)
