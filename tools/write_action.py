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
    also: Annotated[
        list[dict[str, object]] | None, Field(description="further actions, same fields; actions_per_version allows")
    ] = None,
) -> StepResult:
    """Write action-extract.md: exactly ONE action (one hypothesis, however large) that keeps the user's rules."""
    further = tuple(work().further_action(one, f"also[{at}]") for at, one in enumerate(also or ()))
    action = work().Action(
        goal, change, tuple(where), expected_impact, risk, verification, tuple(deferred or ()), further
    )
    receipt, already_done = work().write_action(project, version, action)
    state = where_now(project)
    counted = f"{len(receipt.parts)} actions are" if receipt.parts else "one action is"
    return StepResult(
        message=f"{version_id(version)}'s {counted} selected: {clean(receipt.goal, 300)}",
        phase=state.phase,
        version=version,
        already_done=already_done,
        next=state.next,
    )
