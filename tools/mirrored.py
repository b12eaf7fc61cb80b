"""After each Step that changed something, the user's trackers hear of it."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from ..loop.project.project import Project
from ..loop.report.trackers.start_mirror import mirror_later
from .results import StepResult

_P = ParamSpec("_P")
_R = TypeVar("_R", bound=StepResult)


def mirrored(
    step: Callable[Concatenate[Project, _P], _R], *, grows: bool = False
) -> Callable[Concatenate[Project, _P], _R]:
    """The Step, with the project's mirrors started after it. `grows`: it may change something that is already done."""

    @wraps(step)
    def call(project: Project, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        result = step(project, *args, **kwargs)
        if result.state != "running" and (grows or not result.already_done):
            mirror_later(project)
        return result

    return call
