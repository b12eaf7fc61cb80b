"""Receipts and files -> where the loop stands and which Step is legal next. Derived each time, stored never."""

from dataclasses import dataclass
from typing import Literal

from ..errors import OutOfOrder, ProjectError
from ..rules.reading import Rules
from ..store.paths import BASELINE_SCRIPT, STATE, version_id
from ..store.records import load
from .attempts import Attempt
from .project import Project
from .receipts import (
    INFRASTRUCTURE,
    ActionReceipt,
    AnalysisReceipt,
    EvalReceipt,
    LoopFile,
    ReportReceipt,
    TrainReceipt,
    Verdict,
)
from .version import Version

Phase = Literal[
    "start",
    "rehearsing",
    "train",
    "training",
    "repair",
    "stuck",
    "evaluate",
    "evaluating",
    "analysis",
    "action",
    "author",
    "report",
    "reporting",
    "done",
]
REPORT_RECEIPT = f"{STATE}/receipts/report.json"


@dataclass(frozen=True)
class NextStep:
    """The one legal call, ready to be made, and why."""

    tool: str
    version: int | None
    why: str


@dataclass(frozen=True)
class LoopState:
    """Where the loop stands. `cur` is the highest version, 0 before the start."""

    phase: Phase
    cur: int
    next: NextStep | None
    loop: LoopFile | None = None
    running: Attempt | None = None
    failed: Verdict | None = None
    train_attempts: int = 0

    @property
    def version_id(self) -> str | None:
        return version_id(self.cur) if self.cur else None


def report_receipt(project: Project) -> ReportReceipt | None:
    return load(project.workspace.tree, REPORT_RECEIPT, ReportReceipt)


def derive(project: Project, rules: Rules) -> LoopState:
    """Reads the present state. Raises `ProjectError` for a damaged receipt, or if there is nothing to start from."""
    loop = project.loop()
    versions = project.workspace.versions()
    cur = versions[-1] if versions else 0
    if loop is None:
        if not cur and not project.workspace.tree.is_file(BASELINE_SCRIPT):
            raise ProjectError(
                f"there is neither {BASELINE_SCRIPT} nor a 02_train_vNNN.py, so there is no loop to run",
                where=str(project.workspace.root),
                hint=f"put a working training script there as {BASELINE_SCRIPT} (see docs/contract.md)",
            )
        return LoopState("start", cur, NextStep("start_loop", None, "no loop has been started in this project"))
    if not cur:
        raise ProjectError(
            "the loop was started, but every 02_train_vNNN.py is gone",
            where=str(project.workspace.root),
            hint="restore the scripts (authored texts are kept in .progressive-training/authored/)",
        )
    report = report_receipt(project)
    if report is not None and report.last_version >= cur and not _goes_on(project, rules, report, cur):
        return LoopState("done", cur, None, loop)
    return _version_state(project, rules, loop, cur)


def _goes_on(project: Project, rules: Rules, report: ReportReceipt, cur: int) -> bool:
    """A loop that ended at max_versions goes on when the user raised it and an action waits."""
    # Of an older receipt only the reason is known; an agent's own words are longer than this one.
    at_most = report.ended_by == "max_versions" if report.ended_by else report.reason == "max_versions"
    return at_most and cur < rules.file.loop_config.max_versions


def _version_state(project: Project, rules: Rules, loop: LoopFile, cur: int) -> LoopState:
    if Version(project, cur).receipt(TrainReceipt) is None:
        return _training_state(project, rules, loop, cur)
    if Version(project, cur).receipt(EvalReceipt) is None:
        return _evaluation_state(project, rules, loop, cur)
    if Version(project, cur).receipt(AnalysisReceipt) is None:
        return LoopState("analysis", cur, NextStep("write_analysis", cur, "it is scored, and not yet analysed"), loop)
    if Version(project, cur).receipt(ActionReceipt) is None:
        return LoopState("action", cur, NextStep("write_action", cur, "choose exactly one action"), loop)
    most = rules.file.loop_config.max_versions
    if cur >= most:
        why = f"{version_id(cur)} is the last of max_versions = {most}"
        return LoopState("report", cur, NextStep("final_report", None, why), loop)
    why = f"apply the one selected action to make {version_id(cur + 1)}"
    return LoopState("author", cur, NextStep("author_next_version", cur, why), loop)


def _training_state(project: Project, rules: Rules, loop: LoopFile, cur: int) -> LoopState:
    tried = Version(project, cur).attempts("train")
    last = tried[-1] if tried else None
    verdict = last.verdict if last else None
    # Whoever cancels a run has not seen it fail.
    count = sum(attempt.verdict is None or attempt.verdict.kind != "cancelled" for attempt in tried)
    if last is None:
        return _untrained_state(project, rules, loop, cur)
    if verdict is None or verdict.status == "PASS":  # PASS without a receipt: a crash in between; collected again
        why = "its training runs or waits to be collected"
        return LoopState("training", cur, NextStep("run_train", cur, why), loop, last, None, count)
    if count >= rules.file.loop_config.max_attempts and verdict.kind != "cancelled":
        why = f"{count} attempts failed, and loop_config.max_attempts is {rules.file.loop_config.max_attempts}"
        return LoopState("stuck", cur, NextStep("final_report", None, why), loop, None, verdict, count)
    if verdict.kind in INFRASTRUCTURE:
        why = f"the last attempt ended by: {verdict.kind}; no code change is asked for"
        return LoopState("train", cur, NextStep("run_train", cur, why), loop, None, verdict, count)
    if last.repair is None:
        why = f"attempt {last.number} failed ({verdict.kind}); repair the same version's script"
        return LoopState("repair", cur, NextStep("repair_version", cur, why), loop, None, verdict, count)
    return LoopState("train", cur, NextStep("run_train", cur, "it was repaired"), loop, None, verdict, count)


def _untrained_state(project: Project, rules: Rules, loop: LoopFile, cur: int) -> LoopState:
    rehearsed = Version(project, cur).attempts("rehearse")
    if rehearsed and rehearsed[-1].verdict is None:
        following = NextStep("start_loop", None, "its rehearsal runs or waits to be collected")
        return LoopState("rehearsing", cur, following, loop, rehearsed[-1])
    if rehearsed and rehearsed[-1].repair is not None and rules.file.rehearse:
        following = NextStep("start_loop", None, "it was repaired after its rehearsal, and is rehearsed again")
        return LoopState("train", cur, following, loop)
    return LoopState("train", cur, NextStep("run_train", cur, "it is not trained yet"), loop)


def _evaluation_state(project: Project, rules: Rules, loop: LoopFile, cur: int) -> LoopState:
    tried = Version(project, cur).attempts("eval")
    last = tried[-1] if tried else None
    verdict = last.verdict if last else None
    if last is not None and verdict is None:
        why = "its evaluation runs or waits to be collected"
        return LoopState("evaluating", cur, NextStep("run_eval", cur, why), loop, last)
    # Whoever cancels one has not seen it fail, and of a rule that its checkpoint broke the training is to blame.
    failed = [found for one in tried if (found := one.verdict) and found.status == "FAIL"]
    own = [one for one in failed if one.kind not in ("cancelled", "rule violation")]
    count, most = len(own), rules.file.loop_config.max_attempts
    if verdict in own and count >= most:
        why = f"{count} evaluations failed, and loop_config.max_attempts is {most}"
        return LoopState("stuck", cur, NextStep("final_report", None, why), loop, None, verdict)
    if verdict is not None and verdict.status == "FAIL":
        why = f"evaluation attempt {len(tried)} failed ({verdict.kind}): {verdict.summary}"
        return LoopState("evaluate", cur, NextStep("run_eval", cur, why), loop, None, verdict)
    return LoopState("evaluate", cur, NextStep("run_eval", cur, "it is trained, and not yet scored"), loop)


def require(state: LoopState, tool: str, version: int, *phases: Phase) -> LoopFile:
    """The loop. Raises `OutOfOrder`, saying the present state and the legal next call, unless `tool` is legal now."""
    if state.loop is not None and state.phase in phases and version == state.cur:
        return state.loop
    if state.phase == "start":
        situation = "no loop has been started"
    elif version != state.cur:
        situation = f"the loop is at version {state.cur} (phase: {state.phase}), not at {version}"
    else:
        situation = f"version {state.cur} is in phase: {state.phase}"
    raise OutOfOrder(f"{tool}({version}) is not possible now: {situation}", hint=next_call(state))


def next_call(state: LoopState) -> str:
    """The legal next call in words."""
    if state.next is None:
        return "nothing is left to do; final_report returns the finished report"
    argument = "" if state.next.version is None else f"version={state.next.version}"
    return f"call {state.next.tool}({argument}): {state.next.why}"
