"""What a report says: every version and external model under one protocol, in the leaderboard's order (R1, R2, R4)."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import takewhile

from ..errors import OutOfOrder
from ..judge.best import scored_versions
from ..judge.checkpoint import chosen
from ..judge.comparison import Comparison, comparisons
from ..judge.noise.verdict import NoiseVerdict
from ..project.integrity import require_intact
from ..project.project import Project
from ..project.receipts import ActionReceipt, AnalysisReceipt, EvalReceipt, NextReceipt, ReportReceipt
from ..project.state import LoopState, derive, ending, next_call, report_receipt
from ..project.strays import without_weights
from ..project.version import Version
from ..rules.ends import EndedBy
from ..rules.reading import Rules
from ..store.paths import version_id, version_number
from ..text import Told
from . import external_models, leaderboard, rescoring
from .bundle import gather
from .rescoring import Rescoring
from .rule_table import RuleRow, rule_table
from .warnings import leaks_told, warnings

EXPLAINED = 3
"""So many of the first rows are explained at length."""
_RUNNING = ("start", "rehearsing", "training", "evaluating")


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
    script_formulas: tuple[str, ...] = ()
    checkpoint: tuple[Told, ...] = ()
    actions: int = 1


@dataclass(frozen=True)
class ReportData:
    """What final-analysis.md is rendered from. Rows are in the leaderboard's order; `bundle` is a folder to move.

    `apart` are versions that were measured by other targets than the first one: they rank last.
    """

    ended_by: EndedBy | None
    reason: Told
    dataset_id: str
    primary: str
    rows: tuple[Ranked, ...]
    best: str | None
    bundle: str | None
    looks: int
    warnings: tuple[Told, ...]
    rules: tuple[RuleRow, ...] = ()
    leaks: tuple[Told, ...] = ()
    apart: tuple[str, ...] = ()

    @property
    def versions(self) -> tuple[str, ...]:
        """Those that have a row, in their own order."""
        return tuple(sorted((row.version_id for row in self.rows if not row.external), key=lambda name: int(name[1:])))

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

    Returns at once. `awaited` is as in `rescoring.advance`. Raises `OutOfOrder` while the loop isn't over and no
    `stop_reason` ends it, `EvaluationError` if a version can't be scored under the present protocol, `StillReading`
    while large files are copied and read, `GuardError` if the best version's files aren't those that were trained.
    """
    rules = project.rules()
    state = derive(project, rules)
    if state.phase == "done":
        receipt = report_receipt(project)
        assert receipt is not None, "done means that there is a report"
        return receipt
    if state.loop is not None:
        project.require_unchanged_rules(rules, state.loop)
    ended = _ended(project, rules, state, stop_reason)
    assert state.loop is not None, "a loop that can end was started"
    with project.mutation():
        require_intact(project, rules, state.loop)
        going_on = rescoring.advance(project, rules, state.loop, awaited)
    return going_on or _data(project, rules, state, *ended)


def _ended(project: Project, rules: Rules, state: LoopState, stop_reason: str | None) -> tuple[EndedBy | None, Told]:
    """What ended the loop, as a code and in words. Raises `OutOfOrder` where nothing did."""
    stop_reason, why = (stop_reason or "").strip(), state.next.why if state.next else ""
    if state.phase == "report":
        before, by = report_receipt(project), state.ended_by
        if before is not None and before.last_version >= state.cur:  # it is made again
            return by, _said(before.reason)
        assert state.loop is not None, "a loop that can end was started"
        end = ending(Version(project, state.cur), rules, state.loop)
        return by, end.told if end is not None and end.by == by else _said(why)
    if state.phase == "stuck":
        return "stuck", _said(stop_reason or why)
    if stop_reason and state.phase not in _RUNNING:
        return "stop_reason", _said(stop_reason[:2000])
    hint = next_call(state)
    if state.phase not in _RUNNING:
        hint += ". To end the loop early, pass stop_reason"
    raise OutOfOrder(f"final_report is not possible now: the loop is not over (phase: {state.phase})", hint=hint)


def _said(text: str) -> Told:
    """Somebody's words, which are in no language of ours."""
    return Told("{said}", {"said": text})


def _data(project: Project, rules: Rules, state: LoopState, ended_by: EndedBy | None, reason: Told) -> ReportData:
    assert state.loop is not None, "a loop that can end was started"
    primary = rules.file.eval_config.primary_metric
    with project.mutation():
        models = external_models.standing(project, rules, state.loop)
        external_models.publish(project, models, state.loop.dataset_id)
    others = {model.name: model for model in models}
    apart = tuple(one.version.id for one in scored_versions(project) if one.receipt.other_targets is not None)
    ranked = leaderboard.rank(leaderboard.read_rows(project.workspace.root, _with_weights(project)), primary, apart)
    best = leaderboard.best_version(ranked, primary, apart)
    bundle = gather(_version(project, best)) if best is not None else None
    compared = comparisons(project, rules)
    rows: list[Ranked] = []
    for place, found in enumerate(ranked, 1):
        if "external" in found:
            rows.append(_external(place, others[str(found["version_id"])]))
        else:
            version = _version(project, str(found["version_id"]))
            row = _ranked(place, version, compared.get(version.number), primary)
            picked = chosen(version, rules) if place <= EXPLAINED else None
            rows.append(replace(row, checkpoint=tuple(picked.said)) if picked is not None else row)
    return ReportData(
        ended_by=ended_by,
        reason=reason,
        dataset_id=state.loop.dataset_id,
        primary=primary,
        rows=tuple(rows),
        best=best,
        bundle=bundle,
        looks=rules.file.loop_config.max_versions,
        warnings=tuple(warnings(project, rules, models)),
        rules=rule_table(project),
        leaks=leaks_told(project, state.loop.first_version),
        apart=apart,
    )


def _with_weights(project: Project) -> list[str]:
    """The versions but those whose weights are gone since they were scored."""
    gone = {version.number for version in without_weights(project)}
    return [version_id(number) for number in project.versions() if number not in gone]


def _version(project: Project, name: str) -> Version:
    number = version_number(name)
    assert number is not None, "the leaderboard names a version by its id"
    return Version(project, number)


def _external(place: int, model: external_models.External) -> Ranked:
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


def _ranked(place: int, version: Version, comparison: Comparison | None, primary: str) -> Ranked:
    scored, analysis = version.receipt(EvalReceipt), version.receipt(AnalysisReceipt)
    authored = version.parent.receipt(NextReceipt) if version.parent else None
    action = version.parent.receipt(ActionReceipt) if version.parent else None
    return Ranked(
        rank=place,
        version_id=version.id,
        metrics=tuple((m.name, m.value, m.higher_is_better) for m in scored.metrics) if scored else (),
        latency_ms=scored.latency_ms if scored else None,
        action=action.goal if action else None,
        change=action.change if action else None,
        symbols=authored.symbols if authored else (),
        diff=authored.diff if authored else "",
        analysis=analysis.summary if analysis else None,
        noise=comparison.verdict(primary, comparison.previous) if comparison else None,
        script_formulas=scored.by_script if scored else (),
        actions=len(action.parts) or 1 if action else 1,
    )
