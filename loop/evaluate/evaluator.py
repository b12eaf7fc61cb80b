"""Who writes 03_eval.py: our template or the agent, and nobody any more once an action was carried out (E1)."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import EvaluationError, OutOfOrder
from ..project.disk import prune_trash
from ..project.evaluation_protocol import acceptance
from ..project.integrity import require_intact
from ..project.project import Project
from ..project.receipts import EvalReceipt, LoopFile
from ..project.state import next_call
from ..project.turn import Turn, turn
from ..project.version import Version
from ..script.source import Script
from ..store import journal, transaction
from ..store.paths import EVAL_SCRIPT, version_id
from ..store.tree import Tree
from ..text import describe
from . import withdrawal
from .evaluator_files import is_the_loops_own, parts, shape_of
from .evaluator_parts.tasks import SERVED, task_family

MAX_SOURCE_BYTES = 1 << 20
_Setting = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+$")]


def has_evaluator(project: Project) -> bool:
    return project.workspace.tree.is_file(EVAL_SCRIPT)


def served_family(task_type: str | None) -> str | None:
    """The family of formulas that scores such a task, by its words; None for one that needs an evaluator of its own."""
    found = task_family(task_type)
    return found if found in SERVED else None


class EvalSettings(BaseModel):
    """What the user's agent knows better than the loop's own evaluator; None is found by the evaluator itself.

    `output`: what the model gives: "forward", "forward[1]", "forward.logits", or "step" for what validation_step gives
    to its loss. `target`: where the truth is in a batch: "[1]", "label". `delimiter`: the vocabulary's between words.
    `formula`: whose metrics: the server's, or the script's own as it logs them. `loader`: which of several validation
    loaders, by its number or name. `higher`, `lower`: the metrics of which more, or less, is better.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    output: _Setting | None = None
    target: _Setting | None = None
    delimiter: _Setting | None = None
    formula: Literal["server", "script"] | None = None
    loader: _Setting | None = None
    higher: _Setting | None = None
    lower: _Setting | None = None


def read_settings(values: Mapping[str, object]) -> EvalSettings:
    """Raises `EvaluationError` that names what is wrong, with the keys that there are."""
    try:
        return EvalSettings.model_validate(values)
    except ValidationError as error:
        keys = ", ".join(EvalSettings.model_fields)
        hint = f"the keys are {keys}, each a short text; leave out what the evaluator shall find itself"
        raise EvaluationError(describe(error), where="settings", hint=hint) from error


def renewable(project: Project, loop: LoopFile) -> EvalSettings | None:
    """The settings of the loop's own evaluator where it may be made anew from the rules as they are now.

    None where it has scored, or where it is somebody's own or isn't as the loop wrote it.
    """
    tree = project.workspace.tree
    if loop.agreed is not None or acceptance(project) is not None or not tree.is_file(EVAL_SCRIPT):
        return None
    text = tree.read(EVAL_SCRIPT)
    written = [one.detail for one in journal.events(project.workspace) if one.event == "evaluator_written"]
    if not written or not is_the_loops_own(project, text.decode("utf-8", "replace")):
        return None
    if written[-1].get("sha256") != hashlib.sha256(text).hexdigest():
        return None
    return EvalSettings.model_validate(written[-1].get("settings") or {})


@dataclass(frozen=True)
class Written:
    """`changed`: not so if the same text was there already. `withdrawn`: the version that has to be scored again."""

    changed: bool
    withdrawn: str | None = None


def write_evaluator(project: Project, source: str, *, author: str, settings: EvalSettings | None = None) -> Written:
    """Puts 03_eval.py into the project. As long as no action was carried out, that takes back the first score.

    Raises `ScriptError` if it doesn't parse, `OutOfOrder` before the start and while an evaluation runs,
    `UserDecision` if a scored project was changed by hand, `EvaluationError` if it is empty, or where replacing it is
    the user's decision.
    """
    data = source.encode()
    if not source.strip():
        raise EvaluationError("would be empty", where=EVAL_SCRIPT, hint="send the whole evaluation script as source")
    if len(data) > MAX_SOURCE_BYTES:
        raise EvaluationError("is larger than 1 MiB", where=EVAL_SCRIPT, hint="send the evaluation script alone")
    Script.parse(source, EVAL_SCRIPT)
    with turn(project, "write_eval") as t:
        if t.state.loop is None:
            raise OutOfOrder("no loop has been started", hint="call start_loop first")
        tree = project.workspace.tree
        before = tree.read(EVAL_SCRIPT) if tree.is_file(EVAL_SCRIPT) else None
        own = author == "template" or settings is not None or is_the_loops_own(project, source)
        machinery = {name: part.decode() for name, part in parts()} if own else {}
        if before == data and all(_holds(tree, name, text) for name, text in machinery.items()):
            return Written(changed=False)
        _require_free(t)
        gone = withdrawal.moves(t.version)
        if gone:
            require_intact(project, t.rules, t.state.loop)
        _commit(t, {**machinery, EVAL_SCRIPT: source}, before, gone)
        withdrawn = t.version.id if t.version.receipt_file(EvalReceipt) in gone else None
        if withdrawn:
            t.version.record("score_withdrawn", kept=withdrawal.aside(t.version))
        journal.record(
            project.workspace,
            "evaluator_written",
            author=author,
            sha256=hashlib.sha256(data).hexdigest(),
            settings=settings.model_dump(exclude_none=True) if settings else None,
            shape=shape_of(source) if own else None,
        )
    return Written(changed=True, withdrawn=withdrawn)


def _require_free(t: Turn) -> None:
    if t.state.phase == "evaluating":
        raise OutOfOrder(
            "an evaluation runs, by the 03_eval.py that is there",
            hint=f"{next_call(t.state)}; or end it with cancel_run. Then send this again",
        )
    project = t.version.project
    scored = [cur for cur in project.versions() if Version(project, cur).receipt(EvalReceipt)]
    # Where the user agreed to go on without the one that is gone, another one is written and tried.
    is_gone = acceptance(project) is None and not has_evaluator(project)
    if scored and not t.state.nothing_compared and not is_gone:
        raise EvaluationError(
            f"{version_id(scored[0])} was scored with it already; scores compare only while it stays",
            where=EVAL_SCRIPT,
            hint="go on with it as it is; only the user may replace it, and every version is then scored again",
        )


def _holds(tree: Tree, name: str, text: str) -> bool:
    return tree.is_file(name) and tree.read(name) == text.encode()


def _commit(t: Turn, files: Mapping[str, str], before: bytes | None, gone: Mapping[str, str]) -> None:
    workspace, kept = t.version.project.workspace, withdrawal.aside(t.version)
    if gone:
        workspace.tree.remove(kept)
    old = {f"{kept}/{EVAL_SCRIPT}": before.decode("utf-8", "replace")} if gone and before is not None else {}
    records = withdrawal.verdicts(t.version)
    transaction.commit(workspace, moved=gone, new={}, changed={**old, **files}, records=records)
    if gone:
        prune_trash(workspace, t.rules.file.execution_config)
