"""The brief of each Step: what to do now, with the evidence at hand. MCP prompts are the same texts."""

from collections.abc import Callable, Mapping

from ..loop.evaluate.evaluator import has_evaluator, task_family
from ..loop.judge.best import best_version
from ..loop.judge.comparison import compare
from ..loop.judge.tables import best_table, previous_table, since_first
from ..loop.project.attempts import failure_of
from ..loop.project.project import Project
from ..loop.project.receipts import ActionReceipt, AnalysisReceipt, EvalReceipt, NextReceipt, RehearsalReceipt
from ..loop.project.state import LoopState, report_receipt
from ..loop.project.version import Version
from ..loop.rehearse.page import page
from ..loop.rehearse.rehearsal import is_repairable
from ..loop.report.external_models import names, unready
from ..loop.rules.reading import Rules
from ..loop.store.paths import version_id
from . import evidence, render

Context = dict[str, object]


def brief(project: Project, rules: Rules, state: LoopState) -> str:
    """The brief for the present phase, as Markdown."""
    template = _TEMPLATE.get(state.phase, state.phase)
    context = _common(rules, state)
    if add := _EVIDENCE.get(template):
        context |= add(project, rules, state)
    return render(f"briefs/{template}.md.j2", **context)


def review(project: Project, rules: Rules, cur: int) -> str:
    """What is known of one version, for a person's question about it; it needs no score. Raises `LoopError`."""
    comparison, receipt = compare(Version(project, cur), rules), Version(project, cur).receipt(EvalReceipt)
    authored = Version(project, cur - 1).receipt(NextReceipt) if cur > 1 else None
    analysis, curves = Version(project, cur).receipt(AnalysisReceipt), evidence.curves_of(project, cur)
    failed = [failure for attempt in Version(project, cur).attempts("train") if (failure := failure_of(attempt))]
    return render(
        "briefs/review.md.j2",
        version=version_id(cur),
        action=Version(project, cur - 1).receipt(ActionReceipt) if cur > 1 else None,
        table=previous_table(comparison) if comparison else "",
        since_first=since_first(comparison) if comparison else "",
        flags=(*comparison.flags, *(receipt.warnings if receipt else ())) if comparison else (),
        diff=authored.diff if authored else "",
        curves=evidence.curve_table(curves),
        curve_note=evidence.overfitting_note(curves),
        analysis=analysis.summary if analysis else "",
        failures=failed,
    )


def _common(rules: Rules, state: LoopState) -> Context:
    return {
        "phase": state.phase,
        "cur": state.cur,
        "version": state.version_id or "",
        "next": state.next,
        "fixed": rules.fixed,
        "instruction": rules.instruction,
        "max_versions": rules.file.loop_config.max_versions,
        "max_attempts": rules.file.loop_config.max_attempts,
        "primary": rules.file.eval_config.primary_metric,
        "metrics": rules.metric_names,
        "failed": state.failed,
        "train_attempts": state.train_attempts,
    }


def _start(project: Project, rules: Rules, state: LoopState) -> Context:
    return {"has_scripts": bool(state.cur)}


def _train(project: Project, rules: Rules, state: LoopState) -> Context:
    """Before the first attempt: what the rehearsal found."""
    receipt = Version(project, state.cur).receipt(RehearsalReceipt) if not state.train_attempts else None
    told = page(version_id(state.cur), receipt) if receipt is not None else ""
    return {"rehearsal": told, "repairable": is_repairable(Version(project, state.cur)) is not None}


def _evaluate(project: Project, rules: Rules, state: LoopState) -> Context:
    task = state.loop.task_type if state.loop else None
    return {"has_evaluator": has_evaluator(project), "task_type": task, "family": task_family(task)}


def _repair(project: Project, rules: Rules, state: LoopState) -> Context:
    return {"script": Version(project, state.cur).script(authored=False)}


def _analysis(project: Project, rules: Rules, state: LoopState) -> Context:
    comparison = compare(Version(project, state.cur), rules)
    assert comparison is not None, "the phase says that it is scored"
    curves = evidence.curves_of(project, state.cur)
    receipt = Version(project, state.cur).receipt(EvalReceipt)
    return {
        "comparison": comparison,
        "table": previous_table(comparison),
        "best_table": best_table(comparison),
        "since_first": since_first(comparison),
        "curves": evidence.curve_table(curves),
        "curve_note": evidence.overfitting_note(curves),
        "worst": evidence.worst_table(evidence.worst_samples(project, state.cur)),
        "samples": evidence.infer_digest(project, state.cur),
        "warnings": receipt.warnings if receipt else (),
        "action": Version(project, state.cur - 1).receipt(ActionReceipt) if state.cur > 1 else None,
    }


def _action(project: Project, rules: Rules, state: LoopState) -> Context:
    analysis = Version(project, state.cur).receipt(AnalysisReceipt)
    best = best_version(project, rules)
    first = state.loop.first_version if state.loop else 1
    tried, left_out = evidence.tried_actions(project, rules, first, state.cur)
    return {
        "summary": analysis.summary if analysis else "",
        "tried": tried,
        "left_out": left_out,
        "symbols": evidence.symbol_list(Version(project, state.cur).script(authored=False)),
        "best": best.id if best else None,
        "script_name": project.workspace.script(state.cur),
    }


def _author(project: Project, rules: Rules, state: LoopState) -> Context:
    return {
        "action": Version(project, state.cur).receipt(ActionReceipt),
        "script": Version(project, state.cur).script(authored=False),
        "following": version_id(state.cur + 1),
    }


def _report(project: Project, rules: Rules, state: LoopState) -> Context:
    return {"unready": unready(project), "externals": names(project)}


def _done(project: Project, rules: Rules, state: LoopState) -> Context:
    return {"report": report_receipt(project)}


_TEMPLATE: Mapping[str, str] = {
    "rehearsing": "start",
    "training": "train",
    "evaluating": "evaluate",
    "reporting": "report",
    "stuck": "report",
}
_EVIDENCE: Mapping[str, Callable[[Project, Rules, LoopState], Context]] = {
    "start": _start,
    "train": _train,
    "repair": _repair,
    "evaluate": _evaluate,
    "analysis": _analysis,
    "action": _action,
    "author": _author,
    "report": _report,
    "done": _done,
}
