"""A project as every Step sees it: its folder, the user's rules as they are now, and who runs its jobs."""

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ProjectError, UserDecision
from ..jobs.backends import Backends
from ..jobs.executor import Executor
from ..jobs.local import LocalExecutor
from ..rules.reading import Rules, read_rules
from ..store import lock, transaction
from ..store.paths import STATE, Workspace, version_number
from ..store.records import load
from .disk import give_up_reserve, require_local
from .receipts import LoopFile

if TYPE_CHECKING:
    from ..jobs.warm.server_keeper import Keeper

# What user code gets of our environment. Everything else, API keys first of all, stays here; the user adds names in
# execution_config.env.
_ENVIRONMENT = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TERM"),
    *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "CUDA_HOME", "CUDA_PATH"),
    *("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"),
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "PYTHONDONTWRITEBYTECODE", "XDG_CACHE_HOME"),
)
# Open MPI's: where mpi4py is installed, Lightning starts MPI, which as root needs them.
_ENVIRONMENT_PREFIXES = ("LC_", "NCCL_", "TORCH_", "PYTORCH_", "OMPI_", "PMIX_")


@dataclass(frozen=True)
class Project:
    """Immutable; everything that can change is read from disk when it is asked for."""

    root: Path
    skill_folders: tuple[Path, ...] = ()
    executor: Executor = field(default_factory=Backends)

    def kept_warm(self) -> "Project":
        """The same project for a server: its jobs start in interpreters that have imported torch and the like already.

        A project with an executor of its own is returned unchanged.
        """

        def keeper() -> "Keeper":
            from ..jobs.warm.server_keeper import Keeper

            return Keeper()

        usual = type(self.executor) is Backends
        return replace(self, executor=Backends(LocalExecutor(keeper=keeper))) if usual else self

    @cached_property
    def workspace(self) -> Workspace:
        return Workspace(self.root)

    def rules(self) -> Rules:
        """The rules as they are on disk now. Raises `RulesError`."""
        return read_rules(self.workspace.root, self.skill_folders)

    def loop(self) -> LoopFile | None:
        """loop.json, or None before `start_loop`."""
        return load(self.workspace.tree, self.workspace.loop_file, LoopFile)

    def versions(self) -> list[int]:
        """The numbers of the versions that receipts tell of, ascending and without a gap; a script alone is none.

        Before the start these are the scripts in the root, the highest of which `start_loop` adopts.
        """
        first = self.first_version()
        if first is None:
            return self.workspace.numbered_scripts()
        known, number = self.workspace.tree.known, first
        while known.stamp(self.workspace.receipt(number, "next")) is not None:
            number += 1
        return list(range(first, number + 1))

    def first_version(self) -> int | None:
        """The version that the loop began with; None before the start."""
        if (loop := self.loop()) is not None:
            return loop.first_version
        # loop.json is gone and the rest is there: start_loop goes on with it.
        names = self.workspace.tree.names(f"{STATE}/receipts")
        return min((number for name in names if (number := version_number(name))), default=None)

    @property
    def dataset_id(self) -> str:
        """The loop's data set. Raises `ProjectError` before `start_loop`."""
        loop = self.loop()
        if loop is None:
            raise ProjectError("no loop was started here", hint="call start_loop")
        return loop.dataset_id

    def rules_change(self, rules: Rules, loop: LoopFile) -> str | None:
        """Which of the user's two files differ from what the loop started under; None if neither does."""
        changed = [
            name
            for name, was, now in (
                ("user_defined_rules.json", loop.rules_sha256, rules.rules_sha256),
                ("user_instruction.md", loop.instruction_sha256, rules.instruction_sha256),
            )
            if was != now
        ]
        return " and ".join(changed) or None

    def rules_decision(self, rules: Rules, loop: LoopFile) -> UserDecision | None:
        """What the user has to decide if their files changed since the loop started or a person last accepted them."""
        changed = self.rules_change(rules, loop)
        if changed is None:
            return None
        versions = (loop.rules_sha256, loop.instruction_sha256, rules.rules_sha256, rules.instruction_sha256)
        since = "this loop started; only the user may decide to go on"
        return UserDecision(changed, since, subject="rules", versions=versions)

    def require_unchanged_rules(self, rules: Rules, loop: LoopFile) -> None:
        """Raises the `UserDecision` of `rules_decision`, if there is one."""
        if decision := self.rules_decision(rules, loop):
            raise decision

    @contextmanager
    def mutation(self, *, wait_seconds: float = lock.WAIT_SECONDS) -> Generator[None]:
        """Holds the project's lock, after finishing what a crash left half done.

        Raises `Busy` where another process keeps it so long, `ProjectError` on a network file system that the rules
        don't allow.
        """
        _ = self._on_a_fit_disk
        give_up_reserve(self.workspace)
        with lock.locked(self.workspace, wait_seconds=wait_seconds):
            transaction.finish(self.workspace)
            yield

    @cached_property
    def _on_a_fit_disk(self) -> bool:
        """True; raises `ProjectError` otherwise. Checked once, since a project doesn't move."""
        config = self.rules().file.execution_config
        for folder in (self.workspace.root, self.workspace.root / STATE, self.workspace.root / "Models"):
            require_local(folder, config)
        return True

    def interpreter(self, rules: Rules) -> str:
        """The Python that runs user code: `execution_config.python`, else the project's `.venv`, else ours.

        Raises `ProjectError` if the named one can't be run.
        """
        named = rules.file.execution_config.python
        if named is not None:
            # Without "..", which would lead through folders that the sandbox doesn't hold.
            path = Path(os.path.normpath(self.workspace.root / Path(named).expanduser()))
            if not os.access(path, os.X_OK):
                raise ProjectError(
                    "execution_config.python can't be run", where=str(path), hint="name a Python interpreter"
                )
            return str(path)
        own = self.workspace.root / ".venv" / "bin" / "python"
        return str(own) if os.access(own, os.X_OK) else os.path.normpath(sys.executable)

    def environment(self, rules: Rules) -> dict[str, str]:
        """The whole environment of user code, by an allow-list."""
        allowed = {*_ENVIRONMENT, *rules.file.execution_config.env}
        return {
            name: value
            for name, value in os.environ.items()
            if name in allowed or name.startswith(_ENVIRONMENT_PREFIXES)
        }
