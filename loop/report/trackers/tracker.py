"""The seam: what each tracker does with a version's run."""

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Protocol

from ...errors import LoopError
from ...store.tree import Tree
from ..tracker_state import TrackerName
from .version_as_run import RunView

Remember = Callable[[str, Mapping[str, str]], None]
"""Makes durable how far a run is: its id in the tracker, and the hashes of the parts that are there already."""


class Unreachable(LoopError):
    """The tracker can't be used now, for any version."""

    default_code = "tracker_unreachable"


class Tracker(Protocol):
    """`target` tells one place from another: under another target every run is sent again."""

    @property
    def target(self) -> str: ...

    def send(
        self, tree: Tree, run: RunView, run_id: str | None, parts: Mapping[str, str], remember: Remember
    ) -> tuple[str, ...]:
        """Makes the tracker's run what `run` says, and returns what the user should know about it.

        `run_id` and `parts` are what `remember` was last told. Whatever an earlier call that was cut off has left is
        found again: a version never has two runs. Raises `LoopError`; `Unreachable` where other versions need not be
        tried.
        """
        ...


_PACKAGES: Mapping[TrackerName, str] = {"tensorboard": "tensorboardX", "trackio": "trackio", "wandb": "wandb"}


def lacking(name: TrackerName) -> LoopError | None:
    """What to say of a tracker whose package is not installed here; None if nothing lacks."""
    needed = _PACKAGES.get(name)
    if needed is None or find_spec(needed) is not None:
        return None
    return Unreachable(f"{needed} is not installed", hint=f'pip install "progressive-training[{name}]"')


def package(name: TrackerName) -> ModuleType:
    """The tracker's own package. Raises `Unreachable` if it is not installed."""
    if (error := lacking(name)) is not None:
        raise error
    return import_module(_PACKAGES[name])
