"""result-analysis.md and action-extract.md: the server fills the facts, the agent the judgement (A1, X1, X2)."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..author.one_action import require_one_action
from ..errors import DocumentError, RuleViolation
from ..project.integrity import require_intact
from ..project.project import Project
from ..project.receipts import ActionReceipt, AnalysisReceipt, save
from ..project.state import action_receipt, analysis_receipt, derive, require
from ..rules.reading import Rules
from ..script import Script
from ..script.fixed import synonyms
from ..script.settings import settings
from ..store import journal
from ..store.paths import version_id
from ..text import Say, words
from .comparison import Comparison, best_table, compare, previous_table, since_first

ANALYSIS_FILE = "result-analysis.md"
ACTION_FILE = "action-extract.md"
MAX_FIELD = 8_000


@dataclass(frozen=True)
class Analysis:
    summary: str
    evidence: str
    hypotheses: tuple[str, ...]
    next_focus_candidates: tuple[str, ...]


@dataclass(frozen=True)
class Action:
    goal: str
    change: str
    where: tuple[str, ...]
    expected_impact: str
    risk: str
    verification: str
    deferred: tuple[str, ...] = ()


def write_analysis(project: Project, cur: int, analysis: Analysis) -> tuple[AnalysisReceipt, bool]:
    """Writes result-analysis.md; the receipt, and whether it was written before this call.

    Raises `OutOfOrder`, `DocumentError` naming an empty or oversized part.
    """
    rules = project.rules()
    with project.mutation():
        state = derive(project, rules)
        if 1 <= cur <= state.cur and (receipt := analysis_receipt(project, cur)):
            return receipt, True
        loop = require(state, "write_analysis", cur, "analysis")
        require_intact(project, rules, loop)
        _require_text(summary=analysis.summary, evidence=analysis.evidence)
        _require_list(hypotheses=analysis.hypotheses, next_focus_candidates=analysis.next_focus_candidates)
        comparison = compare(project, rules, cur)
        assert comparison is not None, "the phase says that it is scored"
        document = _analysis_text(analysis, comparison, words(rules.file.report_language)).encode()
        project.workspace.tree.write(f"{project.workspace.artifacts(cur)}/{ANALYSIS_FILE}", document)
        receipt = AnalysisReceipt(
            document_sha256=hashlib.sha256(document).hexdigest(), summary=analysis.summary, at=journal.now()
        )
        save(project.workspace.tree, project.workspace.receipt(cur, "analysis"), receipt)
        journal.record(project.workspace, "analysed", version_id(cur))
        return receipt, False


def write_action(project: Project, cur: int, action: Action) -> tuple[ActionReceipt, bool]:
    """Writes action-extract.md with its one Selected Action; the receipt, and whether it was there already.

    Raises `OutOfOrder`, `DocumentError` (a part is missing, `where` names no symbol of the script),
    `RuleViolation` naming the rule that the action conflicts with.
    """
    rules = project.rules()
    with project.mutation():
        state = derive(project, rules)
        if 1 <= cur <= state.cur and (receipt := action_receipt(project, cur)):
            return receipt, True
        loop = require(state, "write_action", cur, "action")
        require_intact(project, rules, loop)
        _require_text(
            goal=action.goal,
            change=action.change,
            expected_impact=action.expected_impact,
            risk=action.risk,
            verification=action.verification,
        )
        _require_list(where=action.where)
        script = Script.parse(
            project.workspace.tree.read(project.workspace.script(cur)).decode("utf-8-sig"),
            project.workspace.script(cur),
        )
        require_symbols(script, action.where)
        require_rule_free(script, rules, action)
        require_one_action(script, action.goal, action.change, action.where)
        document = _action_text(action, cur, words(rules.file.report_language)).encode()
        project.workspace.tree.write(f"{project.workspace.artifacts(cur)}/{ACTION_FILE}", document)
        receipt = ActionReceipt(
            document_sha256=hashlib.sha256(document).hexdigest(),
            goal=action.goal,
            change=action.change,
            where=action.where,
            expected_impact=action.expected_impact,
            risk=action.risk,
            verification=action.verification,
            at=journal.now(),
        )
        save(project.workspace.tree, project.workspace.receipt(cur, "action"), receipt)
        journal.record(project.workspace, "action_selected", version_id(cur), goal=action.goal)
        return receipt, False


def require_symbols(script: Script, where: Sequence[str]) -> None:
    """Raises `DocumentError` for a name that the script neither has nor could get: a new symbol is written `+name`."""
    known = {symbol.name for symbol in script.symbols}
    unknown = [name for name in where if not name.startswith("+") and name not in known]
    if unknown:
        listed = ", ".join(sorted(known))
        raise DocumentError(
            f"where names what {script.name} doesn't have: {', '.join(unknown)}",
            where="where",
            hint=f"use its symbols, and +Name for one that the change adds. It has: {listed[:1500]}",
        )


def require_rule_free(script: Script, rules: Rules, action: Action) -> None:
    """Raises `RuleViolation` if the action aims at a value that the rules fix (X2).

    Decided where it can be: a `where` that is itself a fixed setting. What the code then does is checked on the diff.
    """
    stated = {setting.symbol: setting.name for setting in settings(script) if setting.kind in ("constant", "field")}
    for fixed in rules.fixed:
        names = synonyms(fixed.name, rules.file.synonyms)
        for symbol in action.where:
            last = re.sub(r"^\+", "", symbol).rsplit(".", 1)[-1]
            if last.lower() in names or stated.get(symbol, "").lower() in names:
                raise RuleViolation(
                    f"the action changes {symbol}, and the user fixed {fixed.rule} = {fixed.value!r}",
                    where="where",
                    hint="change the action so that it keeps the rule, or take the next best candidate",
                )


def _require_text(**parts: str) -> None:
    for name, text in parts.items():
        if not text.strip():
            raise DocumentError("is empty", where=name, hint="say it in a sentence or more")
        if len(text) > MAX_FIELD:
            raise DocumentError(f"is longer than {MAX_FIELD} characters", where=name, hint="shorten it")


def _require_list(**parts: tuple[str, ...]) -> None:
    for name, items in parts.items():
        if not items:
            raise DocumentError("is empty", where=name, hint="give at least one entry")
        for item in items:
            _require_text(**{name: item})


def _analysis_text(analysis: Analysis, comparison: Comparison, say: Say) -> str:
    before = comparison.previous
    latency = say("Latency: {latency:.4g} ms").format(latency=comparison.latency_ms)
    if comparison.previous_latency_ms is not None:
        latency += f" ({before}: {comparison.previous_latency_ms:.4g} ms)"
    parts = [
        say("# Result analysis of {version}").format(version=comparison.version),
        "## Summary",
        analysis.summary.strip(),
        "## Metric deltas",
        f"{before} → {comparison.version}" if before else say("This is the first version."),
        previous_table(comparison, say),
        latency,
    ]
    if comparison.best_before and comparison.best_before != before:
        parts += [say("Against the best so far:"), best_table(comparison, say)]
    if first := since_first(comparison, say):
        parts.append(first)
    if comparison.flags:
        parts.append("\n".join(f"- {flag.told(say)}" for flag in comparison.flags))
    parts += ["## Evidence", analysis.evidence.strip()]
    parts += ["## Hypotheses", bullets(analysis.hypotheses)]
    parts += ["## Next focus candidates", bullets(analysis.next_focus_candidates)]
    return "\n\n".join(parts) + "\n"


def _action_text(action: Action, cur: int, say: Say) -> str:
    parts = [say("# Action extract of {version}").format(version=version_id(cur)), "## Selected Action"]
    for title, text in (
        ("Goal", action.goal),
        ("Change", action.change),
        ("Where", bullets(tuple(f"`{symbol}`" for symbol in action.where))),
        ("Expected impact", action.expected_impact),
        ("Risk", action.risk),
        ("Verification", action.verification),
    ):
        parts += [f"### {title}", text.strip()]
    if action.deferred:
        parts += ["## Deferred Candidates", bullets(action.deferred)]
    return "\n\n".join(parts) + "\n"


def bullets(items: Sequence[str]) -> str:
    return "\n".join(f"- {' '.join(item.split())}" for item in items)
