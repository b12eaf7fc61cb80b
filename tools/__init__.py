"""The Steps, in the order of the loop: one module and one public function each.

A Step takes the project and its arguments, acts at once, and returns a `StepResult`; a Step that `waits` may find its
job still running and is simply called again. MCP tools, the command line and agents all call these functions.

Importing them doesn't load the loop: `work` does that at the first call of a Step.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, wraps
from inspect import signature
from typing import Concatenate, ParamSpec, TypeVar

from ..loop.errors import UserDecision
from ..loop.project.project import Project
from ..loop.report.trackers.notifications.start import notify_later
from ..loop.report.trackers.start_mirror import mirror_later
from .author_next_version import author_next_version
from .cancel_run import cancel_run
from .final_report import final_report
from .looking.explore import explore
from .looking.next_step import next_step
from .looking.read_rules import read_rules
from .repair_version import repair_version
from .results import StepResult
from .run_eval import run_eval
from .run_train import run_train
from .start_loop import start_loop
from .write_action import write_action
from .write_analysis import write_analysis
from .write_eval import write_eval

_P = ParamSpec("_P")
_R = TypeVar("_R", bound=StepResult)


def mirrored(
    step: Callable[Concatenate[Project, _P], _R], *, grows: bool = False
) -> Callable[Concatenate[Project, _P], _R]:
    """The Step, with the project's mirrors started after it, and its user told. `grows`: it may change what is done."""

    @wraps(step)
    def call(project: Project, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            result = step(project, *args, **kwargs)
        except UserDecision:
            notify_later(project)
            raise
        if result.state != "running" and (grows or not result.already_done):
            mirror_later(project)
            notify_later(project)
        return result

    return call


# After each Step that may change something, whoever calls it: the user's trackers, if the rules name any, hear of it.
start_loop, run_train, repair_version = mirrored(start_loop), mirrored(run_train), mirrored(repair_version)
run_eval, write_eval, cancel_run = mirrored(run_eval), mirrored(write_eval), mirrored(cancel_run)
write_analysis, write_action = mirrored(write_analysis), mirrored(write_action)
author_next_version, final_report = mirrored(author_next_version), mirrored(final_report, grows=True)


@dataclass(frozen=True)
class Step:
    """`read_only`: changes nothing. `destructive`: ends something that can't be taken up again as it was.

    A function's keyword-only parameters are for callers in this process; a client doesn't see them.
    """

    function: Callable[..., StepResult]
    waits: bool = False
    read_only: bool = False
    destructive: bool = False

    @property
    def name(self) -> str:
        return self.function.__name__


def attached(call: Callable[..., StepResult], result: StepResult) -> Callable[..., StepResult]:
    """The call to make while waiting for the jobs of `result`: one that never starts another in the place of one."""
    if result.job is None:
        return call
    known = signature(call).parameters
    if result.job.kind == "eval" and "attach_eval" in known:
        return partial(call, attach_eval=result.job.attempt)
    if "awaited" in known:
        return partial(call, awaited=result.folders)
    return partial(call, attach=result.job.attempt) if "attach" in known else call


STEPS: tuple[Step, ...] = (
    Step(read_rules, read_only=True),
    Step(start_loop, waits=True),
    Step(next_step, waits=True, read_only=True),
    Step(run_train, waits=True),
    Step(repair_version),
    Step(run_eval, waits=True),
    Step(write_eval),
    Step(explore, waits=True),
    Step(cancel_run, destructive=True),
    Step(write_analysis),
    Step(write_action),
    Step(author_next_version, waits=True),
    Step(final_report, waits=True),
)
