"""Receipts and files -> where the loop stands and which Step is legal next. Derived each time, stored never."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from ..errors import OutOfOrder, ProjectError
from ..rules.ends import BY_RULE, End, EndedBy, Reached, Value, first_end, time_is_up
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
    NextReceipt,
    ReportReceipt,
    TrainReceipt,
    Verdict,
)
from .version import EDITED, Version

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


class Next(BaseModel):
    """The one legal call, ready to be made, and why.

    `adopts`: made as it stands here, it takes what somebody wrote with an editor.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    tool: str
    arguments: Mapping[str, int]
    why: str
    adopts: bool = False


@dataclass(frozen=True)
class LoopState:
    """Where the loop stands. `cur` is the highest version, 0 before the start.

    `trained`: it waits for a score. `repairable`: its evaluation failed, and its code may be the cause. `ended_by`:
    what ended the loop, or will with its report, where that is all that is left to do.
    """

    phase: Phase
    cur: int
    next: Next | None
    loop: LoopFile | None = None
    running: Attempt | None = None
    failed: Verdict | None = None
    train_attempts: int = 0
    trained: bool = False
    repairable: bool = False
    ended_by: EndedBy | None = None

    @property
    def version_id(self) -> str | None:
        return version_id(self.cur) if self.cur else None

    @property
    def nothing_compared(self) -> bool:
        """Whether no action was carried out yet: a correction of the evaluator then costs no comparison.

        An evaluator that the user has agreed to stays the user's.
        """
        loop = self.loop
        return loop is not None and loop.agreed is None and self.cur == loop.first_version and self.phase != "done"


def report_receipt(project: Project) -> ReportReceipt | None:
    return load(project.workspace.tree, REPORT_RECEIPT, ReportReceipt)


def derive(project: Project, rules: Rules) -> LoopState:
    """Where the loop is now. Raises `ProjectError` for a damaged receipt, or if there is nothing to start from."""
    loop, versions = project.loop(), project.versions()
    cur = versions[-1] if versions else 0
    if loop is None:
        if not cur and not project.workspace.tree.is_file(BASELINE_SCRIPT):
            raise ProjectError(
                f"there is neither {BASELINE_SCRIPT} nor a 02_train_vNNN.py, so there is no loop to run",
                where=str(project.workspace.root),
                hint=f"put a working training script there as {BASELINE_SCRIPT} (see docs/contract.md)",
            )
        following = Next(tool="start_loop", arguments={}, why="no loop has been started in this project")
        return LoopState("start", cur, following)
    report = report_receipt(project)
    if report is not None and report.last_version >= cur and not _goes_on(report, Version(project, cur), rules, loop):
        following = None
        if lost := _lost_of(project, report):
            following = _report(f"{lost} is gone; the report is made again")
        return LoopState("report" if following else "done", cur, following, loop, ended_by=_ended_by(report))
    return _version_state(Version(project, cur), rules, loop)


def _lost_of(project: Project, report: ReportReceipt) -> str | None:
    """What is no more there of the report, as far as a look at its main files tells."""
    best = f"Artifacts/{report.best}"
    names = ["leaderboard.csv", "final-analysis.md", *([best] if report.best else [])]
    places = (f"{report.folder}/{name}" for name in names)
    return next((one for one in places if project.workspace.tree.known.stamp(one) is None), None)


def _goes_on(report: ReportReceipt, version: Version, rules: Rules, loop: LoopFile) -> bool:
    """A loop that ended by a rule goes on when the user changed that and an action waits."""
    return _ended_by(report) in BY_RULE and ending(version, rules, loop) is None


def _ended_by(report: ReportReceipt) -> EndedBy | None:
    # Of an older receipt only the reason is known; an agent's own words are longer than this one.
    return report.ended_by or ("max_versions" if report.reason == "max_versions" else None)


def ending(version: Version, rules: Rules, loop: LoopFile) -> End | None:
    """What of the user's rules ends the loop once this version's action is written; None while it goes on."""
    config = rules.file.loop_config
    analysed = version.receipt(AnalysisReceipt) if config.patience is not None else None
    reached = Reached(
        version=version.number,
        version_id=version.id,
        hours=hours_since_start(loop),
        idle=version.number - analysed.last_gain if analysed is not None and analysed.last_gain is not None else 0,
        scores=_scores(version),
    )
    return first_end(config, reached, rules.file.eval_config.primary_metric)


def hours_since_start(loop: LoopFile) -> float:
    """By the clock, pauses and all."""
    return max(0.0, (datetime.now().astimezone() - datetime.fromisoformat(loop.started_at)).total_seconds() / 3600)


def _scores(version: Version) -> Iterator[tuple[str, Mapping[str, Value]]]:
    """Of this version and the earlier ones that were scored as it was, newest first."""
    newest = version.receipt(EvalReceipt)
    for number in reversed(version.project.versions()):
        scored = (one := Version(version.project, number)).receipt(EvalReceipt)
        alike = scored is not None and newest is not None and scored.fingerprint == newest.fingerprint
        if scored is not None and alike and not scored.other_targets:
            yield one.id, {metric.name: (metric.value, metric.higher_is_better) for metric in scored.metrics}


def _version_state(version: Version, rules: Rules, loop: LoopFile) -> LoopState:
    cur = version.number
    if (trained := version.receipt(TrainReceipt)) is None:
        return _training_state(version, rules, loop)
    if version.receipt(EvalReceipt) is None:
        return _evaluation_state(version, trained, rules, loop)
    if version.receipt(AnalysisReceipt) is None:
        return LoopState("analysis", cur, _call("write_analysis", cur, "it is scored, and not yet analysed"), loop)
    if version.receipt(ActionReceipt) is None:
        return LoopState("action", cur, _call("write_action", cur, "choose exactly one action"), loop)
    if (end := ending(version, rules, loop)) is not None:
        return LoopState("report", cur, _report(str(end.told)), loop, ended_by=end.by)
    return _authoring_state(version, loop)


def _authoring_state(version: Version, loop: LoopFile) -> LoopState:
    """Before the child is made: also where another script lies in the place of the one that was, and nothing ran."""
    child, tree = version.child, version.project.workspace.tree
    if version.receipt(NextReceipt) is not None:
        why = f"{child.script_name} {EDITED}. Without diff it is taken as it is, where it is the one action; or"
        why += f" {child.way_back()}"
    elif tree.kind(child.script_name) is not None:
        why = f"{child.script_name} is there, and no Step made it. Without diff it is taken as {child.id}, where it is"
        why += " the one action; with a diff it is put aside"
    elif version.is_edited:
        why = (
            f"{version.script_name} {EDITED}. Without diff the edit is taken as {child.id}, where it is the one action;"
        )
        why += f" or {version.way_back()}"
    else:
        why = f"apply the one selected action to make {child.id}"
        return LoopState("author", version.number, _call("author_next_version", version.number, why), loop)
    following = _call("author_next_version", version.number, why, adopts=True)
    return LoopState("author", version.number, following, loop)


def _training_state(version: Version, rules: Rules, loop: LoopFile) -> LoopState:
    cur, tried, most = version.number, version.attempts("train"), rules.file.loop_config.max_attempts
    last, verdict, count = (tried[-1], tried[-1].verdict, len(tried)) if tried else (None, None, 0)

    def ended(phase: Phase, following: Next, by: EndedBy | None = None) -> LoopState:
        return LoopState(phase, cur, following, loop, failed=verdict, train_attempts=count, ended_by=by)

    if last is not None and (verdict is None or verdict.status == "PASS"):
        # PASS without a receipt: a crash in between; collected again
        following = _call("run_train", cur, "its training runs or waits to be collected")
        return LoopState("training", cur, following, loop, running=last, train_attempts=count)
    if last is None and (rehearsing := _rehearsing_state(version, loop)) is not None:
        return rehearsing
    if cur > rules.file.loop_config.max_versions:
        return ended("report", _report(f"{version.id} is beyond max_versions, so it isn't trained"), "max_versions")
    if (end := time_is_up(rules.file.loop_config, hours_since_start(loop))) is not None:
        return ended("report", _report(f"{end.told}, so {version.id} isn't trained"), end.by)
    if last is None or verdict is None:
        return _untrained_state(version, rules, loop)
    if count >= most:  # cancelled ones among them: who cancels has seen how it went
        return ended(
            "stuck",
            _report(f"{count} attempts failed or were cancelled, and loop_config.max_attempts is {most}"),
            "stuck",
        )
    if verdict.kind in INFRASTRUCTURE:
        why = f"the last attempt ended by: {verdict.kind}; no code change is asked for"
        return _edited_state(version, loop) or ended("train", _call("run_train", cur, why))
    if version.is_edited:
        why = f"{version.script_name} {EDITED}. Without diff the edit is taken as the repair; or {version.way_back()}"
        return ended("repair", _call("repair_version", cur, why, adopts=True))
    if last.repair is None:
        why = f"attempt {last.number} failed ({verdict.kind}); repair the same version's script"
        return ended("repair", _call("repair_version", cur, why))
    return ended("train", _call("run_train", cur, "it was repaired"))


def _edited_state(version: Version, loop: LoopFile) -> LoopState | None:
    """Where the script of a version that nothing speaks against was edited before it was trained; else None.

    Of the first one nothing was made yet. Another one is not the parent's one action any more: it is authored anew.
    """
    if not version.is_edited:
        return None
    if version.number > loop.first_version and version.parent is not None:
        return _authoring_state(version.parent, loop)
    why = f"{version.script_name} {EDITED}. It is taken as the first version, as it is; or {version.way_back()}"
    return LoopState("train", version.number, _start(why, adopts=True), loop)


def _rehearsing_state(version: Version, loop: LoopFile) -> LoopState | None:
    rehearsed = version.attempts("rehearse")
    if not rehearsed or rehearsed[-1].verdict is not None:
        return None
    following = _start("its rehearsal runs or waits to be collected")
    return LoopState("rehearsing", version.number, following, loop, running=rehearsed[-1])


def _untrained_state(version: Version, rules: Rules, loop: LoopFile) -> LoopState:
    """Before the first training, when its rehearsal is over, if there was one."""
    cur, rehearsed = version.number, version.attempts("rehearse")
    if (edited := _edited_state(version, loop)) is not None:
        return edited
    if rehearsed and rehearsed[-1].repair is not None and rules.file.rehearse:
        again = "it was repaired after its rehearsal, and is rehearsed again"
        return LoopState("train", cur, _start(again), loop)
    return LoopState("train", cur, _call("run_train", cur, "it is not trained yet"), loop)


def _evaluation_state(version: Version, trained: TrainReceipt, rules: Rules, loop: LoopFile) -> LoopState:
    cur, tried, most = version.number, version.attempts("eval"), rules.file.loop_config.max_attempts
    trainings = len(version.attempts("train"))

    def waiting(phase: Phase, following: Next, failed: Verdict | None = None, *, repairable: bool = False) -> LoopState:
        running = tried[-1] if phase == "evaluating" else None
        by: EndedBy | None = "stuck" if phase == "stuck" else None
        return LoopState(phase, cur, following, loop, running, failed, trainings, True, repairable, by)

    if lost := version.gone() if not tried or tried[-1].verdict is not None else ():
        verb = "is" if len(lost) == 1 else "are"
        why = f"{' and '.join(lost)} {verb} missing, though training left it: put it back, or train again"
        return LoopState("train", cur, _call("run_train", cur, why), loop, train_attempts=trainings)
    if not tried or not _is_of(tried[-1], trained):
        return waiting("evaluate", _call("run_eval", cur, "it is trained, and not yet scored"))
    verdict = tried[-1].verdict
    if verdict is None:
        return waiting("evaluating", _call("run_eval", cur, "its evaluation runs or waits to be collected"))
    if verdict.status == "PASS":
        return waiting("evaluate", _call("run_eval", cur, "it is trained, and not yet scored"))
    # Of a rule that its checkpoint broke the training is to blame.
    failed = [found for one in tried if (found := one.verdict) and found.status == "FAIL"]
    own = [one for one in failed if one.kind != "rule violation"]
    if verdict in own and len(own) >= most:
        why = f"{len(own)} evaluations failed or were cancelled, and loop_config.max_attempts is {most}"
        return waiting("stuck", _report(why), verdict)
    told = "was ended" if verdict.kind == "cancelled" else f"failed ({verdict.kind})"
    why = f"evaluation attempt {tried[-1].number} {told}: {verdict.summary}"
    if verdict.script_at_fault and trainings >= most:
        return waiting(
            "stuck", _report(f"{why}; {trainings} were trained, and loop_config.max_attempts is {most}"), verdict
        )
    if verdict.script_at_fault:
        return waiting("repair", _call("repair_version", cur, why), verdict, repairable=True)
    repairable = verdict.kind not in (*INFRASTRUCTURE, None) and trainings < most
    return waiting("evaluate", _call("run_eval", cur, why), verdict, repairable=repairable)


def _is_of(attempt: Attempt, trained: TrainReceipt) -> bool:
    """Whether an evaluation is of these weights, and not of an earlier training's; an older release didn't say."""
    plan = attempt.eval_plan
    return plan is None or plan.trained is None or plan.trained == trained.attempt


def _call(tool: str, version: int, why: str, *, adopts: bool = False) -> Next:
    return Next(tool=tool, arguments={"version": version}, why=why, adopts=adopts)


def _start(why: str, *, adopts: bool = False) -> Next:
    return Next(tool="start_loop", arguments={}, why=why, adopts=adopts)


def _report(why: str) -> Next:
    return Next(tool="final_report", arguments={}, why=why)


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
    arguments = ", ".join(f"{name}={value}" for name, value in state.next.arguments.items())
    return f"call {state.next.tool}({arguments}): {state.next.why}"
