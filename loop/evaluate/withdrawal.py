"""Takes the first version's score back, with all that was said of it: its evaluator was wrong, and is corrected.

Everything goes into the trash in one step with the new evaluator, or nothing does.
"""

from pathlib import PurePosixPath

from ..project.evaluation_protocol import FROZEN
from ..project.evaluation_protocol import RECEIPT as ACCEPTANCE
from ..project.receipts import ActionReceipt, AnalysisReceipt, EvalReceipt, Verdict
from ..project.version import Version
from ..store.journal import now
from ..store.paths import ACTION_FILE, ANALYSIS_FILE
from ..store.records import Record
from .seed_repeats import RECEIPT as SEED_NOISE


def moves(version: Version) -> dict[str, str]:
    """What a withdrawal moves, from where to where in the trash; empty where no evaluator was accepted."""
    workspace = version.project.workspace
    receipts = [version.receipt_file(kind) for kind in (EvalReceipt, AnalysisReceipt, ActionReceipt)]
    shown = [f"{version.artifacts}/{name}" for name in ("eval_score.json", "infer_samples", ANALYSIS_FILE, ACTION_FILE)]
    scores = PurePosixPath(workspace.sample_scores(version.number)).parent.as_posix()
    # The score's receipt first: a reader without the lock sees a version that waits for its score.
    found = [
        one
        for one in (*receipts, ACCEPTANCE, FROZEN, SEED_NOISE, scores, *shown)
        if workspace.tree.kind(one) is not None
    ]
    if version.receipt_file(EvalReceipt) not in found and ACCEPTANCE not in found:
        return {}
    return {one: f"{aside(version)}/{one.lstrip('.')}" for one in found}


def aside(version: Version) -> str:
    """The folder in the trash that keeps what is withdrawn."""
    tried = version.attempts("eval")
    return f"{version.project.workspace.trash}/{version.id}-eval-{tried[-1].number if tried else 0:03d}"


def verdicts(version: Version) -> dict[str, Record]:
    """What becomes of the last evaluation's verdict: it is withdrawn, or was another evaluator's word."""
    tried = version.attempts("eval")
    verdict = tried[-1].verdict if tried else None
    if verdict is None:
        return {}
    where = f"{tried[-1].relative}/verdict.json"
    if verdict.status == "PASS":
        said = "its score was withdrawn, since 03_eval.py was corrected"
        return {where: Verdict(status="FAIL", kind="cancelled", summary=said, advice="call run_eval", at=now())}
    return {where: verdict.model_copy(update={"script_at_fault": False})} if verdict.script_at_fault else {}
