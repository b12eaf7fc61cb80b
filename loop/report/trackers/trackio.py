"""trackio, in its local store: a version's run is deleted and logged anew, since its metrics can't be changed."""

import os
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Protocol, cast

from ...store.tree import Tree
from .tracker import Remember, package
from .version_as_run import RunView

# With one of these, trackio would log to a server, from which a run can't be taken back; `trackio sync` can do that.
_REMOTE = ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL")


class _Run(Protocol):
    """The part of trackio.Run that is used."""

    @property
    def name(self) -> str: ...

    def log(self, metrics: Mapping[str, float], step: int | None = None) -> None: ...

    def finish(self) -> None: ...

    def delete(self) -> bool: ...


class _Api(Protocol):
    def runs(self, project: str) -> Iterable[_Run]: ...


class _Package(Protocol):
    def Api(self) -> _Api: ...

    def init(
        self,
        project: str,
        *,
        name: str,
        group: str,
        config: Mapping[str, object],
        embed: bool,
        auto_log_gpu: bool,
        auto_log_cpu: bool,
    ) -> _Run: ...


class TrackioRuns:
    """A run's name is its id: version and loop."""

    def __init__(self, project: str) -> None:
        """Raises `Unreachable` if trackio is missing."""
        for name in _REMOTE:
            os.environ.pop(name, None)
        self._package = cast(_Package, package("trackio"))
        self._project = project

    @property
    def target(self) -> str:
        folder: object = import_module("trackio.utils").TRACKIO_DIR
        return f"project {self._project} in {folder}"

    def send(
        self, tree: Tree, run: RunView, run_id: str | None, parts: Mapping[str, str], remember: Remember
    ) -> tuple[str, ...]:
        """See `Tracker`. Files stay in the project: the run's config says where."""
        for old in self._runs():
            if old.name == run.name:
                old.delete()
        remember(run.name, {})
        files = {file.name: str(tree.path(file.source)) for file in run.files if not file.name.startswith("pictures/")}
        made = self._package.init(
            self._project,
            name=run.name,
            group=run.loop[:8],
            config={**run.params, **run.tags, "status": run.status, "note": run.note, "files": files},
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )
        epochs: dict[int, dict[str, float]] = {}
        for curve in run.curves:
            for epoch, value in curve.points:
                epochs.setdefault(epoch, {})[curve.name] = value
        last = max(epochs, default=0)
        epochs.setdefault(last, {}).update(run.score)
        for epoch, values in sorted(epochs.items()):
            made.log(values, step=epoch)
        made.finish()
        return ()

    def _runs(self) -> list[_Run]:
        try:
            return list(self._package.Api().runs(self._project))
        except ValueError:  # there is no such project yet
            return []
