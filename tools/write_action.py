"""Step 4: choose exactly one action."""

from typing import Annotated

from pydantic import Field

from ..loop.project.project import Project
from ..loop.store.paths import version_id
from ..loop.text import clean
from .results import StepResult, where_now, work


def write_action(
    project: Project,
    version: int,
    goal: str,
    change: str,
    where: Annotated[list[str], Field(description="symbols that will change, e.g. Net.forward, LR; +Name if new")],
    expected_impact: str,
    risk: str,
    verification: str,
    deferred: list[str] | None = None,
) -> StepResult:
    """Write action-extract.md: exactly ONE action (one hypothesis, however large) that keeps the user's rules."""
    action = work().Action(goal, change, tuple(where), expected_impact, risk, verification, tuple(deferred or ()))
    receipt, already_done = work().write_action(project, version, action)
    state = where_now(project)
    return StepResult(
        message=f"{version_id(version)}'s one action is selected: {clean(receipt.goal, 300)}",
        phase=state.phase,
        version=version,
        already_done=already_done,
        next=state.next,
    )
