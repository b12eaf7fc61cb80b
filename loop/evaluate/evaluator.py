"""Who writes 03_eval.py: our template or the agent, and nobody any more after the first score (E1)."""

import hashlib

from ..errors import EvaluationError, OutOfOrder
from ..project.project import Project
from ..project.receipts import EvalReceipt
from ..project.state import derive
from ..project.version import Version
from ..script.source import Script
from ..store import journal
from ..store.paths import EVAL_SCRIPT, version_id
from .evaluator_files import write_parts
from .evaluator_parts.tasks import SERVED, task_family

MAX_SOURCE_BYTES = 1 << 20


def has_evaluator(project: Project) -> bool:
    return project.workspace.tree.is_file(EVAL_SCRIPT)


def served_family(task_type: str | None) -> str | None:
    """The family of formulas that scores such a task, by its words; None for one that needs an evaluator of its own."""
    found = task_family(task_type)
    return found if found in SERVED else None


def write_evaluator(project: Project, source: str, *, author: str) -> bool:
    """Puts 03_eval.py into the project; False if the same text is there already.

    Raises `ScriptError` if it doesn't parse, `OutOfOrder` before the start, `EvaluationError` if it is empty, or once a
    score was published under another text: replacing the evaluator then is the user's decision.
    """
    data = source.encode()
    if not source.strip():
        raise EvaluationError("would be empty", where=EVAL_SCRIPT, hint="send the whole evaluation script as source")
    if len(data) > MAX_SOURCE_BYTES:
        raise EvaluationError("is larger than 1 MiB", where=EVAL_SCRIPT, hint="send the evaluation script alone")
    Script.parse(source, EVAL_SCRIPT)
    with project.mutation():
        tree = project.workspace.tree
        if derive(project, project.rules()).phase == "start":
            raise OutOfOrder("no loop has been started", hint="call start_loop first")
        if tree.is_file(EVAL_SCRIPT):
            if tree.read(EVAL_SCRIPT) == data:
                return False
            scored = [cur for cur in project.workspace.versions() if Version(project, cur).receipt(EvalReceipt)]
            if scored:
                raise EvaluationError(
                    f"{version_id(scored[0])} was scored with it already; scores compare only while it stays",
                    where=EVAL_SCRIPT,
                    hint="go on with it as it is; only the user may replace it, and every version is then scored again",
                )
        if author == "template":
            write_parts(tree)
        tree.write(EVAL_SCRIPT, data)
        journal.record(project.workspace, "evaluator_written", author=author, sha256=hashlib.sha256(data).hexdigest())
    return True
