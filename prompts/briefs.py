"""The brief of each Step: what to do now, with the evidence at hand. MCP prompts are the same texts."""

from collections.abc import Callable, Mapping

from ..loop.evaluate.evaluator import has_evaluator, served_family
from ..loop.judge.best import best_version
from ..loop.judge.checkpoint import chosen
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
from ..loop.report.rule_table import of_version
from ..loop.rules.reading import Rules
from ..loop.text import Told
from ..loop.train.verdicts import told
from . import evidence, render

Context = dict[str, object]


def brief(project: Project, rules: Rules, state: LoopState) -> str:
    """The brief for the present phase, as Markdown."""
    template = _TEMPLATE.get(state.phase, state.phase)
    context = _common(rules, state) | _measured(project)
    if add := _EVIDENCE.get(template):
        context |= add(Version(project, state.cur), rules, state)
    return render(f"briefs/{template}.md.j2", **context)


def whole_brief(project: Project, rules: Rules, state: LoopState) -> str:
    """The brief with what the rest of a version needs too, for who makes it in one call: its script."""
    text = brief(project, rules, state)
    if state.phase != "analysis" or state.cur >= rules.file.loop_config.max_versions:
        return text
    version = Version(project, state.cur)
    return text + render("briefs/one_call.md.j2", **_common(rules, state), script=version.script(authored=False))


def review(version: Version, rules: Rules) -> str:
    """What is known of one version, for a person's question about it; it needs no score. Raises `LoopError`."""
    comparison, receipt = compare(version, rules), version.receipt(EvalReceipt)
    authored = version.parent.receipt(NextReceipt) if version.parent else None
    analysis, curves = version.receipt(AnalysisReceipt), evidence.curves_of(version)
    return render(
        "briefs/review.md.j2",
        version=version.id,
        action=_led_here(version),
        table=previous_table(comparison) if comparison else "",
        since_first=since_first(comparison) if comparison else "",
        flags=(*comparison.flags, *(receipt.warnings if receipt else ())) if comparison else (),
        diff=authored.diff if authored else "",
        curves=evidence.curve_table(curves),
        curve_note=evidence.overfitting_note(curves),
        analysis=analysis.summary if analysis else "",
        failures=[failure for attempt in version.attempts("train") if (failure := failure_of(attempt))],
    )


def _led_here(version: Version) -> ActionReceipt | None:
    """The action that made this version of its parent."""
    return version.parent.receipt(ActionReceipt) if version.parent else None


def _common(rules: Rules, state: LoopState) -> Context:
    return {
        "phase": state.phase,
        "cur": state.cur,
        "version": state.version_id or "",
        "next": state.next,
        "ended_by": state.ended_by,
        "fixed": rules.fixed,
        "instruction": rules.instruction,
        "max_versions": rules.file.loop_config.max_versions,
        "actions": rules.file.loop_config.actions_per_version,
        "max_attempts": rules.file.loop_config.max_attempts,
        "primary": rules.file.eval_config.primary_metric,
        "metrics": rules.metric_names,
        "failed": state.failed,
        "train_attempts": state.train_attempts,
        "trained": state.trained,
        "repairable": state.repairable,
        "correctable": state.nothing_compared,
    }


def _measured(project: Project) -> Context:
    """What became of the fixed values in the newest training."""
    for number in reversed(project.versions()):
        version = Version(project, number)
        if verdicts := tuple(of_version(version)):
            unverified = any(one.standing == "not verified" for one in verdicts)
            shown = [{"rule": one.rule, "value": one.value, "verdict": str(told(one))} for one in verdicts]
            return {"measured": shown, "measured_in": version.id, "unverified": unverified}
    return {"measured": (), "measured_in": "", "unverified": False}


def _start(version: Version, rules: Rules, state: LoopState) -> Context:
    return {"has_scripts": bool(state.cur)}


def _train(version: Version, rules: Rules, state: LoopState) -> Context:
    """Before the first attempt: what the rehearsal found."""
    receipt = version.receipt(RehearsalReceipt) if not state.train_attempts else None
    found = page(version.id, receipt) if receipt is not None else ""
    return {"rehearsal": found, "repairable": is_repairable(version) is not None}


def _evaluate(version: Version, rules: Rules, state: LoopState) -> Context:
    task = state.loop.task_type if state.loop else None
    return {"has_evaluator": has_evaluator(version.project), "task_type": task, "family": served_family(task)}


def _repair(version: Version, rules: Rules, state: LoopState) -> Context:
    return {"script": version.script(authored=False)}


def _analysis(version: Version, rules: Rules, state: LoopState) -> Context:
    comparison = compare(version, rules)
    assert comparison is not None, "the phase says that it is scored"
    curves, receipt = evidence.curves_of(version), version.receipt(EvalReceipt)
    erring = evidence.errors_of(version, rules)
    return {
        "comparison": comparison,
        "table": previous_table(comparison),
        "best_table": best_table(comparison),
        "since_first": since_first(comparison),
        "curves": evidence.curve_table(curves),
        "curve_note": evidence.overfitting_note(curves),
        "errors": evidence.error_tables(erring),
        "worst": evidence.worst_table(version, erring.hardest if erring else ()),
        "samples": evidence.infer_digest(version),
        "checkpoint": _checkpoint(version, rules),
        "warnings": receipt.warnings if receipt else (),
        "action": _led_here(version),
    }


def _action(version: Version, rules: Rules, state: LoopState) -> Context:
    analysis, best = version.receipt(AnalysisReceipt), best_version(version.project, rules)
    tried, left_out = evidence.tried_actions(version, rules, state.loop.first_version if state.loop else 1)
    return {
        "summary": analysis.summary if analysis else "",
        "tried": tried,
        "left_out": left_out,
        "symbols": evidence.symbol_list(version.script(authored=False)),
        "best": best.id if best else None,
        "script_name": version.script_name,
        "following": version.child.id,
        "deferred": led.deferred if (led := _led_here(version)) else (),
        "checkpoint": _checkpoint(version, rules),
    }


def _checkpoint(version: Version, rules: Rules) -> tuple[Told, ...]:
    """How best.ckpt was chosen, what that cost, and what may be done about it."""
    found = chosen(version, rules)
    return tuple(found.said) if found is not None else ()


def _author(version: Version, rules: Rules, state: LoopState) -> Context:
    return {
        "action": version.receipt(ActionReceipt),
        "script": version.script(authored=False),
        "following": version.child.id,
    }


def _report(version: Version, rules: Rules, state: LoopState) -> Context:
    return {"unready": unready(version.project), "externals": names(version.project)}


def _done(version: Version, rules: Rules, state: LoopState) -> Context:
    return {"report": report_receipt(version.project)}


_TEMPLATE: Mapping[str, str] = {
    "rehearsing": "start",
    "training": "train",
    "evaluating": "evaluate",
    "reporting": "report",
    "stuck": "report",
}
_EVIDENCE: Mapping[str, Callable[[Version, Rules, LoopState], Context]] = {
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
