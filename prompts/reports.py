"""final-analysis.md from what the report knows (R6)."""

from dataclasses import dataclass
from typing import NamedTuple

from ..loop.deltas import interval, label
from ..loop.report.final import ANALYSIS_CLOSE, ANALYSIS_OPEN, Ranked, ReportData
from . import render


class _Row(NamedTuple):
    rank: int
    version_id: str
    values: dict[str, str]
    latency: str
    goal: str
    change: str
    symbols: str
    diff: str
    analysis: str
    interval: str
    label: str


@dataclass(frozen=True)
class _View:
    dataset_id: str
    reason: str
    primary: str
    best: str | None
    warnings: tuple[str, ...]
    looks: int
    rows: tuple[_Row, ...]

    @property
    def top(self) -> tuple[_Row, ...]:
        return self.rows[:3]


def final_analysis(data: ReportData) -> str:
    """The whole document, with the place where the agent's analysis goes."""
    names = list(dict.fromkeys(name for row in data.rows for name, _, _ in row.metrics))
    view = _View(
        data.dataset_id,
        data.reason,
        data.primary,
        data.best,
        data.warnings,
        data.looks,
        tuple(_row(row, names) for row in data.rows),
    )
    return render("final_analysis.md.j2", data=view, names=names, opened=ANALYSIS_OPEN, closed=ANALYSIS_CLOSE)


def _row(row: Ranked, names: list[str]) -> _Row:
    values = {name: f"{value:.6g}" for name, value, _ in row.metrics}
    return _Row(
        rank=row.rank,
        version_id=row.version_id,
        values={name: values.get(name, "") for name in names},
        latency="" if row.latency_ms is None else f"{row.latency_ms:.4g}",
        goal=_cell(row.action),
        change=_cell(row.change),
        symbols=", ".join(row.symbols),
        diff=row.diff,
        analysis=" ".join((row.analysis or "").split()),
        interval=interval(row.noise),
        label=_cell(label(row.noise)),
    )


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")
