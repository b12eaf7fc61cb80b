"""result-analysis.md: the server fills in the facts, the agent the judgement (A1)."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from ..project.project import Project
from ..project.receipts import AnalysisReceipt
from ..project.turn import turn
from ..store import journal
from ..store.paths import ANALYSIS_FILE
from ..text import Say, Told, bullets, require_list, require_text, words
from .checkpoint import chosen
from .comparison import Comparison, compare
from .gain import last_gain
from .tables import best_table, previous_table, since_first


@dataclass(frozen=True)
class Analysis:
    summary: str
    evidence: str
    hypotheses: tuple[str, ...]
    next_focus_candidates: tuple[str, ...]


def write_analysis(project: Project, number: int, analysis: Analysis) -> tuple[AnalysisReceipt, bool]:
    """Writes result-analysis.md; the receipt, and whether it was written before this call.

    Raises `OutOfOrder`, `DocumentError` naming an empty or oversized part.
    """
    with turn(project, "write_analysis", number) as t:
        if receipt := t.done(AnalysisReceipt):
            return receipt, True
        t.begin("analysis")
        require_text(summary=analysis.summary, evidence=analysis.evidence)
        require_list(hypotheses=analysis.hypotheses, next_focus_candidates=analysis.next_focus_candidates)
        comparison = compare(t.version, t.rules)
        assert comparison is not None, "the phase says that it is scored"
        picked = chosen(t.version, t.rules)
        say = words(t.rules.file.report_language)
        document = _analysis_text(analysis, comparison, tuple(picked.said) if picked else (), say).encode()
        where = f"{t.version.artifacts}/{ANALYSIS_FILE}"
        project.workspace.tree.write(f"{project.workspace.authored}/{where}", document, durable=False)
        project.workspace.tree.write(where, document)
        receipt = AnalysisReceipt(
            document_sha256=hashlib.sha256(document).hexdigest(),
            summary=analysis.summary,
            last_gain=last_gain(t.version, comparison, t.rules),
            at=journal.now(),
        )
        t.version.save(receipt)
        t.version.record("analysed")
        return receipt, False


def _analysis_text(analysis: Analysis, comparison: Comparison, checkpoint: Sequence[Told], say: Say) -> str:
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
    if facts := (*comparison.flags, *checkpoint):
        parts.append("\n".join(f"- {one.told(say)}" for one in facts))
    parts += ["## Evidence", analysis.evidence.strip()]
    parts += ["## Hypotheses", bullets(analysis.hypotheses)]
    parts += ["## Next focus candidates", bullets(analysis.next_focus_candidates)]
    return "\n\n".join(parts) + "\n"
