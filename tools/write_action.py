"""Step 4: choose exactly one action."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ..loop.project.project import Project
from ..loop.store.paths import version_id
from ..loop.text import clean
from .results import StepResult, where_now, work

if TYPE_CHECKING:
    from ..loop.author.action import Action


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
    action = work().Action(
        *(goal, change, tuple(where), expected_impact, risk, verification, tuple(deferred or ())), further_actions(also)
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


def further_actions(also: "Sequence[Mapping[str, object]] | None") -> "tuple[Action, ...]":
    """What `also` holds. Raises `DocumentError` for an entry that isn't an action."""
    return tuple(work().further_action(one, f"also[{at}]") for at, one in enumerate(also or ()))
