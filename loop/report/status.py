"""The whole loop at a glance: what `status --json` prints and the resource loop://status holds."""

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue

from ..judge.labels import recorded
from ..project.attempts import Attempt
from ..project.confinement import unconfined
from ..project.project import Project
from ..project.receipts import ActionReceipt, EvalReceipt, Metric, NextReceipt, Standing, TrainReceipt
from ..project.state import Next, derive, hours_since_start, report_receipt
from ..project.strays import remarks
from ..project.version import Version
from ..rules.ends import EndedBy
from ..script.fixed import Fixed
from ..train.verdicts import told
from .estimate import Estimate, estimate
from .rule_table import of_version
from .tracker_state import TrackerView, tracker_views

VersionState = Literal["authored", "training", "failed", "trained", "scored", "analysed"]


class _View(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class ActionView(_View):
    goal: str
    change: str
    where: tuple[str, ...]


class GainView(_View):
    """The primary metric beside the parent's, oriented so that positive is better; the interval is the 95 % one."""

    delta: float
    low: float | None
    high: float | None
    label: str | None
    called: str = ""
    """The label with its direction: "significantly worse"."""


class VerdictView(_View):
    """What became of one fixed value in a training; `verdict` is told in words, `standing` is for programs."""

    rule: str
    value: JsonValue
    standing: Standing
    verdict: str


class VersionView(_View):
    """`action` is the one selected for its successor; `symbols` and `gain` compare it with its parent."""

    version: int
    version_id: str
    status: VersionState
    attempts: int
    metrics: tuple[Metric, ...]
    latency_ms: float | None
    symbols: tuple[str, ...]
    gain: GainView | None
    action: ActionView | None
    rules: tuple[VerdictView, ...] = ()


class Status(_View):
    """`ended_by` says what ended the loop, `hours` how long ago it was started, and `estimate` when it will be over."""

    project: str
    phase: str
    version: int
    max_versions: int
    dataset_id: str | None
    primary_metric: str
    fixed: tuple[Fixed, ...]
    rules_changed: str | None
    versions: tuple[VersionView, ...]
    next: Next | None
    report: str | None
    trackers: tuple[TrackerView, ...] = ()
    estimate: Estimate | None = None
    remarks: tuple[str, ...] = ()
    unconfined: str | None = None
    ended_by: EndedBy | None = None
    hours: float | None = None
    max_hours: float | None = None


def status(project: Project) -> Status:
    """Raises `LoopError` for rules or receipts that can't be read."""
    rules = project.rules()
    state = derive(project, rules)
    report = report_receipt(project)
    return Status(
        project=str(project.workspace.root),
        phase=state.phase,
        version=state.cur,
        max_versions=rules.file.loop_config.max_versions,
        dataset_id=state.loop.dataset_id if state.loop else None,
        primary_metric=rules.file.eval_config.primary_metric,
        fixed=rules.fixed,
        rules_changed=project.rules_change(rules, state.loop) if state.loop else None,
        versions=tuple(
            version_view(Version(project, number), rules.file.eval_config.primary_metric)
            for number in project.versions()
        ),
        next=state.next,
        report=report.folder if report else None,
        trackers=tracker_views(project, rules),
        estimate=estimate(project, rules, state),
        remarks=tuple(map(str, remarks(project, state))),
        unconfined=None if (said := unconfined(rules.file.execution_config)) is None else str(said),
        ended_by=state.ended_by,
        hours=round(hours_since_start(state.loop), 3) if state.loop else None,
        max_hours=rules.file.loop_config.max_hours,
    )


def version_view(version: Version, primary: str) -> VersionView:
    """One version's line. Raises `ProjectError` for a damaged receipt."""
    scored, action = version.receipt(EvalReceipt), version.receipt(ActionReceipt)
    authored = version.parent.receipt(NextReceipt) if version.parent else None
    tried = version.attempts("train")
    return VersionView(
        version=version.number,
        version_id=version.id,
        status=_state(version, tried, scored=bool(scored), analysed=bool(action)),
        attempts=len(tried),
        metrics=scored.metrics if scored else (),
        latency_ms=scored.latency_ms if scored else None,
        symbols=authored.symbols if authored else (),
        gain=_gain(version, primary),
        action=ActionView(goal=action.goal, change=action.change, where=action.where) if action else None,
        rules=tuple(
            VerdictView(rule=one.rule, value=one.value, standing=one.standing, verdict=str(told(one)))
            for one in of_version(version)
        ),
    )


def _gain(version: Version, primary: str) -> GainView | None:
    parent = version.parent.id if version.parent else None
    for one in recorded(version):
        if (one.metric, one.against) == (primary, parent) and one.delta is not None:
            return GainView(delta=one.delta, low=one.low, high=one.high, label=one.label, called=one.called)
    return None


def _state(version: Version, tried: Sequence[Attempt], *, scored: bool, analysed: bool) -> VersionState:
    if analysed:
        return "analysed"
    if scored:
        return "scored"
    if version.receipt(TrainReceipt):
        return "trained"
    if not tried:
        return "authored"
    return "training" if tried[-1].verdict is None else "failed"
