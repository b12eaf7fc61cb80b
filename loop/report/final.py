"""The end of a loop: every version and external model under one protocol, the leaderboard, the best bundle (R1-R5)."""

import inspect
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile
from pathlib import Path

from ..errors import OutOfOrder
from ..evaluate.evaluation import require_weights
from ..judge.comparison import Comparison, comparisons
from ..judge.noise.verdict import NoiseVerdict
from ..project.integrity import require_intact
from ..project.project import Project
from ..project.receipts import ActionReceipt, AnalysisReceipt, EvalReceipt, NextReceipt, ReportReceipt, TrainReceipt
from ..project.state import REPORT_RECEIPT, LoopState, derive, next_call, report_receipt
from ..project.version import Version
from ..rules.reading import Rules
from ..store import journal, transaction
from ..store.paths import REPORT_SCRIPT, REPORTS, STATE
from ..text import Told
from . import externals, leaderboard, scoring
from .rule_table import RuleRow, rule_table
from .scoring import Rescoring
from .warnings import warnings


@dataclass(frozen=True)
class Ranked:
    """One row of the leaderboard with what explains it."""

    rank: int
    version_id: str
    metrics: tuple[tuple[str, float, bool], ...]
    latency_ms: float | None
    action: str | None
    change: str | None
    symbols: tuple[str, ...]
    diff: str
    analysis: str | None
    noise: NoiseVerdict | None
    external: bool = False


@dataclass(frozen=True)
class ReportData:
    """What final-analysis.md is rendered from. Rows are in the leaderboard's order."""

    reason: str
    dataset_id: str
    primary: str
    rows: tuple[Ranked, ...]
    best: str | None
    looks: int
    warnings: tuple[Told, ...]
    rules: tuple[RuleRow, ...] = ()

    @property
    def above(self) -> tuple[str, ...]:
        """External models that rank above the best version; all there are with the metric, where no version has it."""
        before = takewhile(lambda row: row.version_id != self.best, self.rows)
        return tuple(
            row.version_id for row in before if row.external and any(self.primary == m[0] for m in row.metrics)
        )


def advance(
    project: Project, stop_reason: str | None, awaited: Collection[str] = ()
) -> Rescoring | ReportData | ReportReceipt:
    """One step towards the report: the scorings that run, or all that the report says, or the finished report.

    Returns at once. `awaited` is as in `scoring.advance`. Raises `OutOfOrder` while the loop isn't over and no
    `stop_reason` ends it, `EvaluationError` if a version can't be scored under the present protocol.
    """
    rules = project.rules()
    state = derive(project, rules)
    if state.phase == "done":
        receipt = report_receipt(project)
        assert receipt is not None, "done means that there is a report"
        return receipt
    if state.loop is not None:
        project.require_unchanged_rules(rules, state.loop)
    reason = _reason(state, (stop_reason or "").strip())
    assert state.loop is not None, "a loop that can end was started"
    with project.mutation():
        require_intact(project, rules, state.loop)
        going_on = scoring.advance(project, rules, state.loop, awaited)
    return going_on or _data(project, rules, state, reason)


def _reason(state: LoopState, stop_reason: str) -> str:
    if state.phase == "report":
        return "max_versions"
    if state.phase == "stuck":
        return stop_reason or (state.next.why if state.next else "stuck")
    if stop_reason and state.phase not in ("start", "training", "evaluating"):
        return stop_reason[:2000]
    hint = next_call(state)
    if state.phase not in ("start", "training", "evaluating"):
        hint += ". To end the loop early, pass stop_reason"
    raise OutOfOrder(f"final_report is not possible now: the loop is not over (phase: {state.phase})", hint=hint)


def _data(project: Project, rules: Rules, state: LoopState, reason: str) -> ReportData:
    assert state.loop is not None, "a loop that can end was started"
    primary = rules.file.eval_config.primary_metric
    with project.mutation():
        models = externals.standing(project, rules, state.loop)
        externals.publish(project, models, state.loop.dataset_id)
    others = {model.name: model for model in models}
    ranked = leaderboard.rank(leaderboard.read_rows(project.workspace.root), primary)
    best = leaderboard.best_version(ranked, primary)
    if best is not None and (trained := Version(project, int(best[1:])).receipt(TrainReceipt)):
        require_weights(Version(project, int(best[1:])), trained)
    compared = comparisons(project, rules)
    rows = tuple(
        _external(place, others[str(row["version_id"])])
        if "external" in row
        else _ranked(project, compared, primary, place, str(row["version_id"]))
        for place, row in enumerate(ranked, 1)
    )
    return ReportData(
        reason=reason,
        dataset_id=state.loop.dataset_id,
        primary=primary,
        rows=rows,
        best=best,
        looks=rules.file.loop_config.max_versions,
        warnings=tuple(warnings(project, rules, models)),
        rules=rule_table(project),
    )


def _external(place: int, model: externals.External) -> Ranked:
    receipt = model.receipt
    return Ranked(
        rank=place,
        version_id=model.name,
        metrics=tuple((m.name, m.value, m.higher_is_better) for m in receipt.metrics) if receipt else (),
        latency_ms=receipt.latency_ms if receipt else None,
        action=None,
        change=None,
        symbols=(),
        diff="",
        analysis=None,
        noise=None,
        external=True,
    )


def _ranked(project: Project, compared: Mapping[int, Comparison], primary: str, place: int, name: str) -> Ranked:
    cur = int(name[1:])
    scored, authored = (
        Version(project, cur).receipt(EvalReceipt),
        Version(project, cur - 1).receipt(NextReceipt) if cur > 1 else None,
    )
    action = Version(project, cur - 1).receipt(ActionReceipt) if cur > 1 else None
    analysis = Version(project, cur).receipt(AnalysisReceipt)
    comparison = compared.get(cur)
    return Ranked(
        rank=place,
        version_id=name,
        metrics=tuple((m.name, m.value, m.higher_is_better) for m in scored.metrics) if scored else (),
        latency_ms=scored.latency_ms if scored else None,
        action=action.goal if action else None,
        change=action.change if action else None,
        symbols=authored.symbols if authored else (),
        diff=authored.diff if authored else "",
        analysis=analysis.summary if analysis else None,
        noise=comparison.verdict(primary, comparison.previous) if comparison else None,
    )


def publish(project: Project, data: ReportData, pages: Mapping[str, bytes]) -> ReportReceipt:
    """Builds the report folder aside; it, 04_final_report.py and the receipt appear together.

    `pages` are the documents and pictures that others made of `data`: path in the folder -> content.
    """
    rules = project.rules()
    with project.mutation():
        state = derive(project, rules)
        if state.phase == "done" and (receipt := report_receipt(project)):
            return receipt
        workspace = project.workspace
        building = f"{STATE}/report"
        workspace.tree.remove(building)
        workspace.tree.make_folder(building)
        folder = _free_folder(project)
        _fill(project, data, workspace.tree.path(building), workspace.root / folder, pages)
        receipt = ReportReceipt(
            folder=folder,
            last_version=state.cur,
            reason=data.reason,
            best=data.best,
            with_analysis=False,
            at=journal.now(),
        )
        transaction.commit(
            workspace,
            moved={building: folder},
            new={},
            changed={REPORT_SCRIPT: _report_script(data.primary)},
            records={REPORT_RECEIPT: receipt},
        )
        journal.record(workspace, "reported", folder=folder, best=data.best, reason=data.reason)
        return receipt


def _report_script(primary: str) -> str:
    default = f"PRIMARY_METRIC = {leaderboard.PRIMARY_METRIC!r}".replace("'", '"')
    source = inspect.getsource(leaderboard)
    assert default in source, "the script has a default to replace"
    return source.replace(default, f"PRIMARY_METRIC = {primary!r}", 1)


def _free_folder(project: Project) -> str:
    """`Models/Report/YYYY-MM-DD_HH-MM`, local time; a minute later where a report of this minute exists."""
    moment = datetime.now().astimezone()
    while True:
        folder = f"{REPORTS}/{moment:%Y-%m-%d_%H-%M}"
        if project.workspace.tree.kind(folder) is None:
            return folder
        moment += timedelta(minutes=1)


def _fill(project: Project, data: ReportData, building: Path, folder: Path, pages: Mapping[str, bytes]) -> None:
    for name, content in pages.items():
        (building / name).parent.mkdir(exist_ok=True)
        (building / name).write_bytes(content)
    if data.best is not None:
        _bundle(project.workspace.tree.path(f"Models/Artifacts/{data.best}"), building / "Artifacts" / data.best)
    leaderboard.write_leaderboard(project.workspace.root, folder, building / "leaderboard.csv", data.primary)


def _bundle(source: Path, bundle: Path) -> None:
    bundle.mkdir(parents=True)
    for name in ("best.ckpt", "spec.json"):
        # A version from before the loop may lack one; what the loop trained was checked.
        if (source / name).is_file():
            shutil.copyfile(source / name, bundle / name, follow_symlinks=False)
    assets = source / "additional_assets"
    if assets.is_dir():
        shutil.copytree(assets, bundle / "additional_assets", symlinks=True)
    else:
        (bundle / "additional_assets").mkdir()
