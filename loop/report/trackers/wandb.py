"""Weights & Biases: offline by default, in .progressive-training/tracking/wandb, from where `wandb sync` sends it.

Online it takes WANDB_API_KEY of this process's environment. A run's id is made of loop and version, so that W&B itself
takes a run that is sent again for the same one.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol, cast

from ...rules.schema import WandbConfig
from ...store.tree import Tree
from .start_mirror import FOLDER
from .tracker import Remember, package
from .version_as_run import RunView

_HOME = f"{FOLDER}/wandb"
_MOST_FILE_BYTES = 64 * 1024 * 1024


class _Summary(Protocol):
    def update(self, values: Mapping[str, object]) -> None: ...


class _Run(Protocol):
    """The part of wandb.Run that is used."""

    @property
    def starting_step(self) -> int:
        """One more than the last step that W&B has of a resumed run, 0 for a new one."""
        ...

    @property
    def summary(self) -> _Summary: ...

    def define_metric(self, name: str, *, step_metric: str) -> object: ...

    def log(self, data: Mapping[str, float | int], step: int) -> None: ...

    def save(self, glob_str: str, *, base_path: str, policy: Literal["now"]) -> object: ...

    def finish(self, exit_code: int) -> None: ...


class _Package(Protocol):
    def init(
        self,
        *,
        project: str,
        id: str,
        name: str,
        group: str,
        dir: str,
        mode: str,
        resume: str | None,
        config: Mapping[str, object],
        allow_val_change: bool,
        notes: str,
        tags: Sequence[str],
        settings: Mapping[str, object],
    ) -> _Run: ...


class WandbRuns:
    def __init__(self, config: WandbConfig, folder: str) -> None:
        """Raises `Unreachable` if wandb is missing."""
        self._package = cast(_Package, package("wandb"))
        self._mode, self._project = config.mode, config.project or _as_project(folder)

    @property
    def target(self) -> str:
        return f"project {self._project}, {self._mode}"

    def send(
        self, tree: Tree, run: RunView, run_id: str | None, parts: Mapping[str, str], remember: Remember
    ) -> tuple[str, ...]:
        """See `Tracker`. Offline the folder that an earlier call wrote for the run goes first."""
        own = hashlib.sha256(f"{run.loop} {run.version_id}".encode()).hexdigest()[:16]
        tree.make_folder(f"{_HOME}/wandb")
        for name in tree.names(f"{_HOME}/wandb"):
            if name.startswith("offline-run-") and name.endswith(f"-{own}"):
                tree.remove(f"{_HOME}/wandb/{name}")
        remember(own, {})
        made = self._package.init(
            project=self._project,
            id=own,
            name=run.name,
            group=run.loop[:8],
            dir=str(tree.path(_HOME)),
            mode=self._mode,
            resume="allow" if self._mode == "online" else None,
            config={**run.params, **run.tags},
            allow_val_change=True,
            notes=run.note,
            tags=[run.version_id, run.status],
            settings=_SETTINGS,
        )
        self._log(made, run)
        notes = self._save_files(made, tree, run, own)
        made.finish(1 if run.status == "failed" else 0)
        return notes

    def _log(self, made: _Run, run: RunView) -> None:
        """A step is an epoch, and W&B's history only grows: what it has of a run that goes on online stays."""
        made.define_metric("curve/*", step_metric="epoch")
        epochs: dict[int, dict[str, float | int]] = {}
        for curve in run.curves:
            for epoch, value in curve.points:
                epochs.setdefault(epoch, {"epoch": epoch})[curve.name] = value
        for epoch, values in sorted(epochs.items()):
            if epoch >= made.starting_step:
                made.log(values, step=epoch)
        made.summary.update(run.score)

    def _save_files(self, made: _Run, tree: Tree, run: RunView, own: str) -> tuple[str, ...]:
        """W&B links to what it is to send, so it gets copies, which a wiped version doesn't take away.

        No hard links: they would change the files' change time, by which a tampering training is found out.
        """
        staged, left_out = f"{_HOME}/files/{own}", list[str]()
        tree.remove(staged)
        for file in run.files:
            if file.size > _MOST_FILE_BYTES:
                left_out.append(f"{run.version_id}'s {file.name} is too large to be copied for W&B, and left out")
                continue
            target = f"{staged}/{file.name}"
            tree.write(target, tree.read(file.source, limit=_MOST_FILE_BYTES))
            made.save(str(tree.path(target)), base_path=str(tree.path(staged)), policy="now")
        return tuple(left_out)


# Nothing of the machine, and nothing that is not the version's own.
_SETTINGS: Mapping[str, object] = {
    "silent": True,
    "console": "off",
    "disable_git": True,
    "save_code": False,
    "x_disable_stats": True,
    "x_disable_meta": True,
}


def _as_project(folder: str) -> str:
    """W&B takes no project name with one of these."""
    return "".join("-" if character in "/\\#?%:" else character for character in folder)[:128]
