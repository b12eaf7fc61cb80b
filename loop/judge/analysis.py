"""result-analysis.md and action-extract.md: the server fills the facts, the agent the judgement (A1, X1, X2)."""

import hashlib
from dataclasses import dataclass

from ..project.integrity import require_intact
from ..project.project import Project
from ..project.receipts import AnalysisReceipt
from ..project.state import analysis_receipt, derive, require
from ..store import journal
from ..store.paths import version_id
from ..store.records import save
from ..text import Say, bullets, require_list, require_text, words
from .comparison import Comparison, compare
from .tables import best_table, previous_table, since_first

ANALYSIS_FILE = "result-analysis.md"


@dataclass(frozen=True)
class Analysis:
    summary: str
    evidence: str
    hypotheses: tuple[str, ...]
    next_focus_candidates: tuple[str, ...]


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
        require_text(summary=analysis.summary, evidence=analysis.evidence)
        require_list(hypotheses=analysis.hypotheses, next_focus_candidates=analysis.next_focus_candidates)
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
