"""Step 6: author the next version; with analysis, action and training in the same call where they are given."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from ..loop.errors import DocumentError
from ..loop.project.project import Project
from ..loop.store.paths import version_id
from .parts import Parts, parsed
from .results import where_now, work
from .run_train import TrainResult, run_train
from .write_action import further_actions, write_action
from .write_analysis import write_analysis

if TYPE_CHECKING:
    from ..loop.author.action import Action


class AuthorResult(TrainResult):
    """`checked`: nothing was written, and this is what would be. `diff` is left out where the training goes on."""

    script: str | None = None
    symbols: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    diff: str = ""
    checked: bool = False


def author_next_version(
    project: Project,
    version: int,
    diff: Annotated[
        str | None,
        Field(description="unified diff or SEARCH/REPLACE (whole lines) against it; without: adopt an editor's script"),
    ] = None,
    analysis: Annotated[dict[str, Any] | None, Field(description="what write_analysis takes, first")] = None,
    action: Annotated[dict[str, Any] | None, Field(description="what write_action takes, then")] = None,
    train: Annotated[bool, Field(description="go on: train, evaluate, next brief")] = False,
    check: Annotated[bool, Field(description="only try the diff; write nothing")] = False,
    *,
    attach: int | None = None,
    attach_eval: int | None = None,
) -> AuthorResult:
    """Make the next version from this one and the selected action's diff, and only that."""
    parts = Parts(named=train or analysis is not None or action is not None)
    if check:
        return _checked(project, version, diff, action, parts)
    before = _documents(project, version, analysis, action, parts)
    if diff is None and before and (state := where_now(project)).phase == "report":
        return AuthorResult(
            message=f"{version_id(version)}'s {' and '.join(parts.finished)} are written; it is the last version.",
            phase=state.phase,
            version=version,
            already_done=all(before),
            next=state.next,
        )
    authored, already = parts.do("diff", lambda: _authored(project, version, diff))
    authored = authored.model_copy(update={"already_done": already and all(before)})
    if not train:
        return authored
    trained = parts.do(
        "training",
        lambda: run_train(project, version + 1, then_evaluate=True, brief=True, attach=attach, attach_eval=attach_eval),
    )
    return authored.model_copy(
        update={
            **{name: getattr(trained, name) for name in type(trained).model_fields},
            "message": f"{authored.message}\n{trained.message}",
            "already_done": authored.already_done and trained.already_done,
            "diff": "",
        }
    )


def _documents(
    project: Project,
    version: int,
    analysis: Mapping[str, Any] | None,
    action: Mapping[str, Any] | None,
    parts: Parts,
) -> list[bool]:
    """Writes those that were sent; of each, whether it was there already."""
    before = list[bool]()
    if analysis is not None:
        said = parts.do("analysis", lambda: parsed(analysis, work().Analysis, "write_analysis"), finished=False)
        sent: dict[str, Any] = {**vars(said), "hypotheses": list(said.hypotheses)}
        sent["next_focus_candidates"] = list(said.next_focus_candidates)
        before.append(parts.do("analysis", lambda: write_analysis(project, version, **sent)).already_done)
    if action is not None:
        chosen = parts.do("action", lambda: _action(action), finished=False)
        fields: dict[str, Any] = {**vars(chosen), "where": list(chosen.where), "deferred": list(chosen.deferred)}
        fields["also"] = action.get("also")
        before.append(parts.do("action", lambda: write_action(project, version, **fields)).already_done)
    return before


def _action(given: Mapping[str, Any]) -> "Action":
    first = {name: value for name, value in given.items() if name != "also"}
    chosen = parsed(first, work().Action, "write_action")
    return replace(chosen, also=further_actions(given.get("also")))


def _authored(project: Project, version: int, diff: str | None) -> tuple[AuthorResult, bool]:
    receipt, already_done = work().author_next_version(project, version, diff)
    state = where_now(project)
    late = work().late_warning(project, project.rules(), state)
    made = AuthorResult(
        message=f"{version_id(version + 1)} is authored: {', '.join(receipt.symbols) or 'imports'} changed.",
        phase=state.phase,
        version=version + 1,
        script=project.workspace.script(version + 1),
        symbols=receipt.symbols,
        notes=(*map(str, receipt.notes), *((late,) if late else ())),
        diff=receipt.diff[:4000],
        next=state.next,
    )
    return made, already_done


def _checked(
    project: Project, version: int, diff: str | None, action: Mapping[str, Any] | None, parts: Parts
) -> AuthorResult:
    if diff is None:
        raise DocumentError("is missing, and a check is of a diff", where="diff", hint="send the diff to be tried")
    chosen = None
    if action is not None:
        chosen = parts.do("action", lambda: _action(action))
    trial = parts.do("diff", lambda: work().try_diff(project, version, diff, chosen))
    state = where_now(project)
    return AuthorResult(
        message=f"{version_id(version + 1)} would change {', '.join(trial.symbols)}: the diff applies, parses, and"
        " keeps the rules and the action. Nothing was run or written.",
        phase=state.phase,
        version=version,
        script=project.workspace.script(version + 1),
        symbols=trial.symbols,
        notes=tuple(str(note) for note in trial.notes),
        diff=trial.diff[:4000],
        checked=True,
        next=state.next,
    )
